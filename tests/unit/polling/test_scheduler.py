"""The ticker over a real APScheduler: what it waits for, what it does not, and what it tells."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tracker.daemon.database import clock
from tracker.errors import StoreError
from tracker.polling.scheduler import Ticker

pytestmark = pytest.mark.anyio

SOON = 0.01  # seconds
SELDOM = 3600.0
LONG = 60.0  # more than any test has
PATIENCE = 5.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def ticker() -> AsyncIterator[Ticker]:
    ticker = Ticker(clock)
    yield ticker
    await ticker.stop(patience=PATIENCE)


class Work:
    """Something to be done now and then: it counts, waits for `gate`, and fails while `failure` is set."""

    def __init__(self, *, opened: bool = True, failure: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.failure = failure
        self.begun = self.ended = self.cancelled = self.at_once = self.most_at_once = 0
        self._news = asyncio.Event()
        if opened:
            self.gate.set()

    async def __call__(self) -> None:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self._news.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        self.ended += 1
        self._news.set()
        if self.failure is not None:
            raise self.failure

    async def until(self, begun: int = 0, ended: int = 0) -> None:
        """Wait until it has begun, and ended, so many times."""
        async with asyncio.timeout(PATIENCE):
            while self.begun < begun or self.ended < ended:
                self._news.clear()
                await self._news.wait()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("errand", [False, True])
async def test_it_calls_at_once_and_then_again_and_again(ticker: Ticker, *, errand: bool) -> None:
    often, seldom = Work(), Work()
    ticker.every(SOON, "often", often, errand=errand)
    ticker.every(SELDOM, "seldom", seldom)
    ticker.start()
    assert ticker.is_running
    await often.until(ended=3)
    await seldom.until(ended=1)
    assert (often.most_at_once, seldom.begun) == (1, 1)


@pytest.mark.parametrize("errand", [False, True])
async def test_never_two_of_the_same_at_a_time(ticker: Ticker, *, errand: bool) -> None:
    slow, other = Work(opened=False), Work()
    ticker.every(SOON, "slow", slow, errand=errand)
    ticker.every(SOON, "other", other)
    ticker.start()
    await other.until(ended=5)
    assert slow.begun == 1
    slow.gate.set()
    await slow.until(ended=2)
    assert slow.most_at_once == 1


async def test_a_tick_that_hangs_is_a_silence(ticker: Ticker) -> None:
    hung, other = Work(opened=False), Work()
    ticker.every(SOON, "hung", hung)
    ticker.every(SOON, "other", other)
    ticker.start()
    started = now()
    await other.until(ended=5)
    assert ticker.silence >= now() - started
    hung.gate.set()
    await hung.until(ended=2)
    assert ticker.silence < now() - started


async def test_an_errand_that_hangs_or_comes_seldom_is_none(ticker: Ticker) -> None:
    hung, seldom, other = Work(opened=False), Work(), Work()
    ticker.every(SOON, "hung", hung, errand=True)
    ticker.every(SELDOM, "seldom", seldom, errand=True)
    ticker.every(SOON, "other", other)
    ticker.start()
    started = now()
    await other.until(ended=5)
    await seldom.until(ended=1)
    assert hung.begun == 1
    assert ticker.silence < now() - started


async def test_a_failed_tick_is_no_silence(ticker: Ticker) -> None:
    failing = Work(failure=StoreError("the database is away"))
    ticker.every(SOON, "failing", failing)
    ticker.start()
    started = now()
    await failing.until(ended=3)
    assert ticker.silence < now() - started


async def test_a_stop_cancels_errands_at_once(ticker: Ticker) -> None:
    hung = Work(opened=False)
    ticker.every(SOON, "hung", hung, errand=True)
    ticker.start()
    await hung.until(begun=1)
    async with asyncio.timeout(PATIENCE):
        await ticker.stop(patience=LONG)
    await asyncio.sleep(0)  # APScheduler's own end comes with the loop's next turn
    assert (hung.cancelled, hung.ended, ticker.is_running) == (1, 0, False)


async def test_a_stop_waits_for_an_ordinary_tick(ticker: Ticker) -> None:
    slow, errand = Work(opened=False), Work(opened=False)
    ticker.every(SOON, "slow", slow)
    ticker.every(SOON, "errand", errand, errand=True)
    ticker.start()
    await slow.until(begun=1)
    await errand.until(begun=1)
    stop = asyncio.create_task(ticker.stop(patience=LONG))
    finished, _ = await asyncio.wait([stop], timeout=10 * SOON)
    assert not finished
    assert (errand.cancelled, slow.cancelled) == (1, 0)
    slow.gate.set()
    async with asyncio.timeout(PATIENCE):
        await stop
    assert (slow.begun, slow.ended, errand.begun) == (1, 1, 1)  # and nothing was started anew


async def test_a_stop_waits_no_longer_than_its_patience(ticker: Ticker) -> None:
    slow = Work(opened=False)
    ticker.every(SOON, "slow", slow)
    ticker.start()
    await slow.until(begun=1)
    async with asyncio.timeout(PATIENCE):
        await ticker.stop(patience=SOON)
    assert (slow.cancelled, slow.ended) == (0, 0)  # it goes on to its end all the same
    slow.gate.set()
    await slow.until(ended=1)


@pytest.mark.parametrize("errand", [False, True])
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (StoreError("the database is away"), {"error": "the database is away"}),
        (ValueError("a slip"), {"exc_info": True}),
    ],
)
async def test_a_failure_and_its_end_are_told_once(
    ticker: Ticker, failure: Exception, said: dict[str, object], *, errand: bool
) -> None:
    work = Work(failure=failure)
    ticker.every(SOON, "work", work, errand=errand)
    with capture_logs() as logs:
        ticker.start()
        await work.until(ended=3)
        work.failure = None
        await work.until(ended=work.ended + 3)
    assert logs == [
        {"event": "tick failed", "log_level": "error", "tick": "work", **said},
        {"event": "tick recovered", "log_level": "warning", "tick": "work"},
    ]
