"""Webhooks without an end, run inside the box by the system's Python: `stream.py ORDER`, ORDER being JSON.

Each has a connection of its own, as from a sender that keeps none, and is sent when its time has come,
whatever became of those before. At the end of standard input the last line says what became of them.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from typing import Any

PATIENCE = 60.0  # seconds for one webhook, from connecting to the answer's end


class Stream:
    """`rate` webhooks a second to 127.0.0.1:`port`; their ids are `prefix` and a number."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.ended = asyncio.Event()
        self.acknowledged: list[str] = []
        self.failed: dict[str, str] = {}
        self.slowest = 0.0

    async def run(self) -> dict[str, Any]:
        tasks: list[asyncio.Task[None]] = []
        start = time.monotonic()
        while not self.ended.is_set():
            number = len(tasks)
            await asyncio.sleep(max(0.0, start + number / self.order["rate"] - time.monotonic()))
            tasks.append(asyncio.create_task(self.send(f"{self.order['prefix']}-{number}")))
        seconds = time.monotonic() - start
        await asyncio.gather(*tasks)
        return {
            "sent": len(tasks),
            "seconds": seconds,
            "acknowledged": self.acknowledged,
            "failed": self.failed,
            "slowest": self.slowest,
        }

    async def send(self, video_translate_id: str) -> None:
        began = time.monotonic()
        try:
            status = await asyncio.wait_for(self.exchange(video_translate_id), PATIENCE)
        except (OSError, EOFError, ValueError) as error:
            self.failed[video_translate_id] = repr(error)
            return
        self.slowest = max(self.slowest, time.monotonic() - began)
        if status == 200:
            self.acknowledged.append(video_translate_id)
        else:
            self.failed[video_translate_id] = f"HTTP {status}"

    async def exchange(self, video_translate_id: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.order["port"])
        try:
            writer.write(self.request(video_translate_id))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.read()  # to the end: the listener closes
            return int(head.split(b" ")[1])
        finally:
            writer.close()

    def request(self, video_translate_id: str) -> bytes:
        data = {"video_translate_id": video_translate_id, "url": "https://files.example/a.mp4"}
        body = json.dumps({"event_type": "video_translate.success", "event_data": data}).encode()
        signature = hmac.new(self.order["secret"].encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST {self.order['path']} HTTP/1.1\r\nHost: tracker\r\nContent-Type: application/json\r\n"
            f"Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def main() -> None:
    stream = Stream(json.loads(sys.argv[1]))
    asyncio.get_running_loop().add_reader(sys.stdin, stream.ended.set)
    print(json.dumps(await stream.run()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
