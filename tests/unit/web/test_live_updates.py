"""The hub over news that a test tells: who hears, how often, and what a database that is away does to it."""

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
A_WHILE = 0.05  # seconds in which news that were coming would have come


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeNews:
    """News that come when a test says so; `broken` is raised when it is entered, or in the midst."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.door: asyncio.Event | None = None  # entering waits for it
        self.opened_at: list[float] = []
        self.listeners = 0
        self.heard = 0
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
        self.heard += 1
        return True

    def tell(self) -> None:
        self._event.set()


class QuickHub(LiveUpdates):
    gap_seconds = 0.0
    first_pause, longest_pause = timedelta(seconds=0.01), timedelta(seconds=0.04)


def join(live_updates: LiveUpdates) -> Stream:
    stream = live_updates.join()
    assert stream is not None
    return stream


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def listening(live_updates: LiveUpdates) -> Stream:
    """A stream that has had its first news: from now on it misses nothing."""
    stream = join(live_updates)
    assert await stream.told(DEADLINE)
    return stream


async def test_one_listens_for_all_from_the_first_page_to_the_last() -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
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


async def test_every_page_is_told_once_of_each_piece_of_news() -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
    streams = [await listening(live_updates) for _ in range(3)]

    for _ in range(2):
        source.tell()
        assert await asyncio.gather(*(stream.told(DEADLINE) for stream in streams)) == [True] * 3
    assert await asyncio.gather(*(stream.told(A_WHILE) for stream in streams)) == [False] * 3
    await live_updates.close()


async def test_a_slow_page_misses_nothing_and_nothing_piles_up_for_it() -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
    slow = await listening(live_updates)

    for number in range(1, 51):
        source.tell()
        await until(lambda number=number: source.heard == number)  # type: ignore[misc]
    await asyncio.sleep(A_WHILE)

    assert await slow.told(0.001)
    assert not await slow.told(A_WHILE)
    await live_updates.close()


async def test_a_burst_of_changes_is_few_pieces_of_news() -> None:
    source = FakeNews()
    live_updates = LiveUpdates(source)
    stream = await listening(live_updates)
    loop = asyncio.get_running_loop()
    source.tell()
    assert await stream.told(DEADLINE)

    began = loop.time()
    source.tell()

    assert await stream.told(DEADLINE)
    assert loop.time() - began >= LiveUpdates.gap_seconds * 0.9
    await live_updates.close()


async def test_more_pages_than_there_is_room_for_are_refused_until_one_leaves() -> None:
    live_updates = QuickHub(FakeNews(), most=2)
    first, _second = join(live_updates), join(live_updates)

    assert live_updates.join() is None
    live_updates.leave(first)
    assert live_updates.join() is not None
    assert live_updates.join() is None
    await live_updates.close()


async def test_while_the_database_is_away_pages_stay_and_it_is_tried_ever_more_seldom() -> None:
    source = FakeNews()
    source.broken = STORE_IS_DOWN
    live_updates = QuickHub(source)
    with capture_logs() as lines:
        stream = join(live_updates)
        await until(lambda: len(source.opened_at) >= 6)
        assert not stream.has_ended
        source.broken = None
        assert await stream.told(DEADLINE)
        source.tell()
        assert await stream.told(DEADLINE)

    waited = [later - sooner for sooner, later in zip(source.opened_at, source.opened_at[1:], strict=False)]
    for seconds, least in zip(waited, [0.01, 0.02, 0.04, 0.04, 0.04], strict=False):
        assert seconds >= least * 0.9
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("no word of changes", "warning"),
        ("word of changes again", "warning"),
    ]
    assert (lines[0]["error"], lines[0]["exc_info"]) == (str(STORE_IS_DOWN), False)
    await live_updates.close()


@pytest.mark.parametrize("trouble", [STORE_IS_DOWN, ZeroDivisionError("nobody thought of it")])
async def test_what_breaks_in_the_midst_is_opened_anew_and_the_pages_look_again(trouble: Exception) -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
    stream = await listening(live_updates)
    with capture_logs() as lines:
        source.broken = trouble
        source.tell()
        await until(lambda: len(source.opened_at) >= 3)
        assert source.listeners == 0
        late = join(live_updates)
        assert not await late.told(A_WHILE)
        source.broken = None

        assert await stream.told(DEADLINE)
        assert await late.told(DEADLINE)

    assert [line["exc_info"] for line in lines if "exc_info" in line] == [trouble is not STORE_IS_DOWN]
    source.tell()
    assert await stream.told(DEADLINE)
    await live_updates.close()


async def test_at_the_end_every_stream_ends_and_nobody_listens_or_joins() -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
    streams = [await listening(live_updates) for _ in range(2)]

    await live_updates.close()

    assert source.listeners == 0
    assert await asyncio.gather(*(stream.told(DEADLINE) for stream in streams)) == [True] * 2
    assert all(stream.has_ended for stream in streams)
    for stream in streams:
        live_updates.leave(stream)
    assert live_updates.join() is None


async def test_the_end_does_not_wait_for_a_database_that_is_still_sought() -> None:
    source = FakeNews()
    source.door = asyncio.Event()
    live_updates = QuickHub(source)
    stream = join(live_updates)
    await until(lambda: source.opened_at)

    async with asyncio.timeout(DEADLINE):
        await live_updates.close()

    assert (stream.has_ended, source.listeners) == (True, 0)


async def test_pages_whose_streams_are_ended_may_come_again() -> None:
    source = FakeNews()
    live_updates = QuickHub(source)
    stream = await listening(live_updates)

    live_updates.end_streams()

    assert stream.has_ended
    live_updates.leave(stream)
    await listening(live_updates)
    await live_updates.close()
