"""Live updates over a fake change feed: who is notified, how often, and after an outage of the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes import STORE_IS_DOWN
from tracker.domain.ports import WaitForChange
from tracker.web.live_updates import LiveUpdates, Stream

pytestmark = pytest.mark.anyio

DEADLINE = 10.0
A_WHILE = 0.05  # seconds in which a pending notification would have arrived


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeFeed:
    """A change feed that a test triggers; `broken` is raised on entering it, or on the next change."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.door: asyncio.Event | None = None  # entering waits for it
        self.opened_at: list[float] = []
        self.listeners = 0
        self.changes = 0
        self._event = asyncio.Event()

    @asynccontextmanager
    async def news(self) -> AsyncIterator[WaitForChange]:
        self.opened_at.append(asyncio.get_running_loop().time())
        if self.door is not None:
            await self.door.wait()
        if self.broken is not None:
            raise self.broken
        self.listeners += 1
        try:
            yield self._wait
        finally:
            self.listeners -= 1

    async def _wait(self, seconds: float) -> bool:
        async with asyncio.timeout(DEADLINE):
            await self._event.wait()
        self._event.clear()
        if self.broken is not None:
            raise self.broken
        self.changes += 1
        return True

    def trigger(self) -> None:
        self._event.set()


class QuickUpdates(LiveUpdates):
    gap_seconds = 0.0
    first_pause, longest_pause = timedelta(seconds=0.01), timedelta(seconds=0.04)


def join(live_updates: LiveUpdates) -> Stream:
    stream = live_updates.join()
    assert stream is not None
    return stream


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.001)


async def listening(live_updates: LiveUpdates) -> Stream:
    """A stream after its first notification, which misses no change."""
    stream = join(live_updates)
    assert await stream.wait(DEADLINE)
    return stream


async def test_one_listener_serves_all_pages_from_the_first_to_the_last() -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    await asyncio.sleep(A_WHILE)
    assert source.opened_at == []

    streams = [await listening(live_updates) for _ in range(3)]
    assert (len(source.opened_at), source.listeners) == (1, 1)
    for stream in streams[:2]:
        live_updates.leave(stream)
    await asyncio.sleep(A_WHILE)
    assert source.listeners == 1

    live_updates.leave(streams[2])
    await until(lambda: source.listeners == 0)
    again = await listening(live_updates)
    assert (len(source.opened_at), source.listeners) == (2, 1)
    live_updates.leave(again)
    live_updates.leave(again)
    await live_updates.close()


async def test_every_page_is_notified_once_of_each_change() -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    streams = [await listening(live_updates) for _ in range(3)]

    for _ in range(2):
        source.trigger()
        assert await asyncio.gather(*(stream.wait(DEADLINE) for stream in streams)) == [True] * 3
    assert await asyncio.gather(*(stream.wait(A_WHILE) for stream in streams)) == [False] * 3
    await live_updates.close()


async def test_slow_page_is_notified_once_of_many_changes() -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    slow = await listening(live_updates)

    for number in range(1, 51):
        source.trigger()
        await until(lambda number=number: source.changes == number)  # type: ignore[misc]
    await asyncio.sleep(A_WHILE)

    assert await slow.wait(0.001)
    assert not await slow.wait(A_WHILE)
    await live_updates.close()


async def test_burst_of_changes_sends_few_notifications() -> None:
    source = FakeFeed()
    live_updates = LiveUpdates(source)
    stream = await listening(live_updates)
    loop = asyncio.get_running_loop()
    source.trigger()
    assert await stream.wait(DEADLINE)

    began = loop.time()
    source.trigger()

    assert await stream.wait(DEADLINE)
    assert loop.time() - began >= LiveUpdates.gap_seconds * 0.9
    await live_updates.close()


async def test_pages_over_the_limit_are_refused_until_one_leaves() -> None:
    live_updates = QuickUpdates(FakeFeed(), most=2)
    first, _second = join(live_updates), join(live_updates)

    assert live_updates.join() is None
    live_updates.leave(first)
    assert live_updates.join() is not None
    assert live_updates.join() is None
    await live_updates.close()


async def test_pages_stay_open_and_reconnects_back_off_while_the_database_is_down() -> None:
    source = FakeFeed()
    source.broken = STORE_IS_DOWN
    live_updates = QuickUpdates(source)
    with capture_logs() as lines:
        stream = join(live_updates)
        await until(lambda: len(source.opened_at) >= 6)
        assert not stream.has_ended
        source.broken = None
        assert await stream.wait(DEADLINE)
        source.trigger()
        assert await stream.wait(DEADLINE)

    waited = [later - sooner for sooner, later in zip(source.opened_at, source.opened_at[1:], strict=False)]
    for seconds, least in zip(waited, [0.01, 0.02, 0.04, 0.04, 0.04], strict=False):
        assert seconds >= least * 0.9
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("change notifications lost", "warning"),
        ("change notifications restored", "warning"),
    ]
    assert (lines[0]["error"], lines[0]["exc_info"]) == (str(STORE_IS_DOWN), False)
    await live_updates.close()


@pytest.mark.parametrize("trouble", [STORE_IS_DOWN, ZeroDivisionError("unexpected")])
async def test_listener_reconnects_after_an_error_and_notifies_every_page(trouble: Exception) -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    stream = await listening(live_updates)
    with capture_logs() as lines:
        source.broken = trouble
        source.trigger()
        await until(lambda: len(source.opened_at) >= 3)
        assert source.listeners == 0
        late = join(live_updates)
        assert not await late.wait(A_WHILE)
        source.broken = None

        assert await stream.wait(DEADLINE)
        assert await late.wait(DEADLINE)

    assert [line["exc_info"] for line in lines if "exc_info" in line] == [trouble is not STORE_IS_DOWN]
    source.trigger()
    assert await stream.wait(DEADLINE)
    await live_updates.close()


async def test_close_ends_every_stream_and_refuses_new_pages() -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    streams = [await listening(live_updates) for _ in range(2)]

    await live_updates.close()

    assert source.listeners == 0
    assert await asyncio.gather(*(stream.wait(DEADLINE) for stream in streams)) == [True] * 2
    assert all(stream.has_ended for stream in streams)
    for stream in streams:
        live_updates.leave(stream)
    assert live_updates.join() is None


async def test_close_does_not_wait_for_a_reconnect() -> None:
    source = FakeFeed()
    source.door = asyncio.Event()
    live_updates = QuickUpdates(source)
    stream = join(live_updates)
    await until(lambda: source.opened_at)

    async with asyncio.timeout(DEADLINE):
        await live_updates.close()

    assert (stream.has_ended, source.listeners) == (True, 0)


async def test_page_can_reconnect_after_its_stream_was_ended() -> None:
    source = FakeFeed()
    live_updates = QuickUpdates(source)
    stream = await listening(live_updates)

    live_updates.end_streams()

    assert stream.has_ended
    live_updates.leave(stream)
    await listening(live_updates)
    await live_updates.close()
