"""What an open page receives as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Scope

from tracker.domain.ports import WaitForChange
from tracker.web.event_stream import CHANGE, HEARTBEAT, HEARTBEAT_SECONDS, RETRY, EventStream
from tracker.web.live_updates import LiveUpdates, Stream

pytestmark = pytest.mark.anyio

DEADLINE = 10.0
SCOPE: Scope = {"type": "http", "method": "GET", "path": "/api/news", "headers": []}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Silence:
    """A change feed without changes."""

    @asynccontextmanager
    async def news(self) -> AsyncIterator[WaitForChange]:
        yield self._wait

    async def _wait(self, seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return False


class Browser:
    """The other side of one stream: what it was sent, and whether it has gone."""

    def __init__(self, heartbeat_seconds: float = DEADLINE) -> None:
        self.live_updates = LiveUpdates(Silence(), most=1)
        stream = self.live_updates.join()
        assert stream is not None
        self.stream: Stream = stream
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.serving = asyncio.create_task(
            EventStream(self.live_updates, stream, heartbeat_seconds)(SCOPE, self._receive, self.sent.put)
        )

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Message:
        async with asyncio.timeout(DEADLINE):
            return await self.sent.get()

    async def text(self) -> str:
        return str((await self.next())["body"], "utf-8")

    async def is_released(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            await self.serving
        return self.live_updates.join() is not None


async def test_stream_sends_its_headers_then_each_change() -> None:
    browser = Browser()
    headers = dict((await browser.next())["headers"])
    assert headers == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-store",
        b"x-accel-buffering": b"no",
    }
    assert await browser.text() == RETRY == "retry: 2000\n\n"

    assert await browser.text() == CHANGE == "event: change\ndata: {}\n\n"
    browser.stream.notify()
    assert await browser.text() == CHANGE
    await browser.live_updates.close()


async def test_idle_stream_sends_heartbeats() -> None:
    browser = Browser(heartbeat_seconds=0.01)
    await browser.next()
    texts = [await browser.text() for _ in range(5)]

    assert texts[-3:] == [HEARTBEAT] * 3
    assert HEARTBEAT.startswith(":")
    assert 15 <= HEARTBEAT_SECONDS <= 30
    await browser.live_updates.close()


async def test_closed_page_frees_its_stream() -> None:
    browser = Browser()
    assert browser.live_updates.join() is None

    browser.gone.set()

    assert await browser.is_released()
    await browser.live_updates.close()


async def test_ended_stream_completes_its_response() -> None:
    browser = Browser()
    for _ in range(3):
        await browser.next()

    browser.live_updates.end_streams()

    assert await browser.next() == {"type": "http.response.body", "body": b"", "more_body": False}
    assert await browser.is_released()
    await browser.live_updates.close()
