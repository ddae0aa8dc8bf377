"""HeyGen's side, run inside the box by the system's Python: `proxy_sender.py send|slow|stream ORDER`.

ORDER is JSON; `send` reads a list of orders from standard input. Only the standard library is there.
Every answer is one line of JSON.
"""

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import sys
import threading
import time
from typing import Any

HOST = "tracker.example"
PATIENCE = 40.0  # longer than any time-out of the proxy


def connect(order: dict[str, Any]) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=order["ca"])
    source = (order["source"], 0) if "source" in order else None
    return http.client.HTTPSConnection(HOST, timeout=PATIENCE, context=context, source_address=source)


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def send(order: dict[str, Any]) -> dict[str, Any]:
    """One request on a connection of its own; `pieces` are sent as chunks."""
    body = base64.b64decode(order["body"])
    headers = dict(order.get("headers", {}))
    if order["secret"] is not None:
        headers["Heygen-Signature"] = sign(body, order["secret"])
    connection, start = connect(order), time.monotonic()
    try:
        chunked = bool(order.get("chunked"))
        pieces = [body[at : at + 7000] for at in range(0, len(body), 7000)] if chunked else body
        connection.request("POST", order["path"], pieces, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return {
            "status": answer.status,
            "text": answer.read().decode(errors="replace"),
            "seconds": time.monotonic() - start,
        }
    except OSError as error:
        return {"status": 0, "text": repr(error), "seconds": time.monotonic() - start}
    finally:
        connection.close()


def slow(order: dict[str, Any]) -> None:
    """Half a body; the rest once standard input says so, or never where it is told to wait."""
    body = base64.b64decode(order["body"])
    connection = connect(order)
    connection.putrequest("POST", order["path"])
    connection.putheader("Heygen-Signature", sign(body, order["secret"]))
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[: len(body) // 2])
    print(json.dumps({"sent": len(body) // 2}), flush=True)
    if sys.stdin.readline() == "rest\n":
        connection.send(body[len(body) // 2 :])
    try:
        print(json.dumps({"status": connection.getresponse().status}), flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(json.dumps({"status": 0, "text": repr(error)}), flush=True)
    finally:
        connection.close()


def stream(order: dict[str, Any]) -> None:
    """Signed webhooks, `rate` a second in all, until standard input ends; then what became of them."""
    ended, answers = threading.Event(), []

    def sender(number: int) -> None:
        count = 0
        while not ended.wait(order["threads"] / order["rate"]):
            count += 1
            one = {"video_translate_id": f"s-{number}-{count}", "url": "https://files.example/a.mp4"}
            body = json.dumps({"event_type": "video_translate.success", "event_data": one}).encode()
            answers.append(send({**order, "body": base64.b64encode(body).decode()}))

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(order["threads"])]
    for thread in threads:
        thread.start()
    print(json.dumps({"started": len(threads)}), flush=True)
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    bad = [answer for answer in answers if answer["status"] != 200]
    print(json.dumps({"sent": len(answers), "bad": bad[:10], "bad_count": len(bad)}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        print(json.dumps([send(order) for order in json.load(sys.stdin)]))
    else:
        {"slow": slow, "stream": stream}[sys.argv[1]](json.loads(sys.argv[2]))
