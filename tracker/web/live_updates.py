"""Word of stored changes: heard once for the whole process, passed on to every page that is open."""

import asyncio
from datetime import timedelta

import structlog

from tracker.domain.ports import ChangeFeed
from tracker.domain.schedule import back_off
from tracker.errors import StoreError

log = structlog.get_logger("tracker.hub")

MOST_STREAMS = 100
HEAR_SECONDS = 5.0  # of one waiting for news


class Stream:
    """What one page is told: that something is new since it was last told; more than that nobody queues."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self.has_ended = False

    def tell(self) -> None:
        self._told.set()

    def end(self) -> None:
        self.has_ended = True
        self._told.set()

    async def told(self, seconds: float) -> bool:
        """Wait for news, so many seconds at most; True also where it was the stream's end that came."""
        try:
            async with asyncio.timeout(seconds):
                await self._told.wait()
        except TimeoutError:
            return False
        self._told.clear()
        return True


class LiveUpdates:
    """Listens from the first page's coming to the last one's going, and again where the database was away.

    A stream's first news say that from now on it misses nothing.
    """

    gap_seconds = 0.2  # after each piece of news: a burst of changes is few of them
    first_pause, longest_pause = timedelta(seconds=1), timedelta(seconds=15)  # before it listens again

    def __init__(self, source: ChangeFeed, *, most: int = MOST_STREAMS) -> None:
        self._source, self.most = source, most
        self._streams: set[Stream] = set()
        self._listening: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._hears = self._is_closed = False
        self._lost: str | None = None  # why; None while all is well

    def join(self) -> Stream | None:
        """A stream for one more page; None where there are `most`, or at the end. `leave` gives it back."""
        if self._is_closed or len(self._streams) >= self.most:
            return None
        stream = Stream()
        self._streams.add(stream)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="hub")
        elif self._hears:
            stream.tell()
        return stream

    def leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._hang_up()

    def end_streams(self) -> None:
        """Every page has to come again, and to show again that it may."""
        for stream in self._streams:
            stream.end()

    async def close(self) -> None:
        """End every stream and take no more; nobody waits for a browser."""
        self._is_closed = True
        self.end_streams()
        self._hang_up()
        if self._ending:
            await asyncio.wait(self._ending)

    def _hang_up(self) -> None:
        if self._listening is not None:
            self._ending.add(self._listening)
            self._listening.add_done_callback(self._ending.discard)
            self._listening.cancel()
            self._listening, self._hears = None, False

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._source.news() as news:
                    self._tell_all()
                    while True:
                        is_new = await news(HEAR_SECONDS)
                        self._well_again()
                        failures = 0
                        if is_new:
                            self._tell_all()
                            await asyncio.sleep(self.gap_seconds)
            except Exception as error:
                self._tell_lost(error)
            failures += 1
            await asyncio.sleep(back_off(failures, self.first_pause, self.longest_pause).total_seconds())

    def _tell_all(self) -> None:
        self._hears = True
        for stream in self._streams:
            stream.tell()

    def _tell_lost(self, error: Exception) -> None:
        """Once per trouble: it is tried again and again."""
        self._hears = False
        if self._lost is None:
            is_strange = not isinstance(error, StoreError)
            log.warning("no word of changes", error=str(error), exc_info=is_strange)
        self._lost = str(error)

    def _well_again(self) -> None:
        if self._lost is not None:
            log.warning("word of changes again")
        self._lost = None
