"""Change notifications: one database listener for the whole process, shared by every open page."""

import asyncio
from datetime import timedelta

import structlog

from tracker.domain.ports import ChangeFeed
from tracker.domain.schedule import back_off
from tracker.errors import StoreError

log = structlog.get_logger("tracker.live_updates")

MOST_STREAMS = 100
WAIT_SECONDS = 5.0  # longest single wait for a notification


class Stream:
    """The notifications of one open page. Nothing is queued: changes between two waits count as one."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.has_ended = False

    def notify(self) -> None:
        self._changed.set()

    def end(self) -> None:
        self.has_ended = True
        self._changed.set()

    async def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for a change; True also if the stream ended."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class LiveUpdates:
    """Listens while at least one page is open, and reconnects after the database was unreachable.

    After its first notification a stream misses no change.
    """

    gap_seconds = 0.2  # after each notification, so that a burst of changes sends only a few
    first_pause, longest_pause = timedelta(seconds=1), timedelta(seconds=15)  # before reconnecting

    def __init__(self, source: ChangeFeed, *, most: int = MOST_STREAMS) -> None:
        self._source, self.most = source, most
        self._streams: set[Stream] = set()
        self._listening: asyncio.Task[None] | None = None
        self._cancelled: set[asyncio.Task[None]] = set()
        self._is_connected = self._is_closed = False
        self._error: str | None = None  # of the lost connection; None while connected

    def join(self) -> Stream | None:
        """A stream for one more page, released by `leave`; None if `most` are open, or after `close`."""
        if self._is_closed or len(self._streams) >= self.most:
            return None
        stream = Stream()
        self._streams.add(stream)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="live-updates")
        elif self._is_connected:
            stream.notify()
        return stream

    def leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._stop_listening()

    def end_streams(self) -> None:
        """Every page has to reconnect and authenticate again."""
        for stream in self._streams:
            stream.end()

    async def close(self) -> None:
        """End every stream and accept no more, without waiting for browsers."""
        self._is_closed = True
        self.end_streams()
        self._stop_listening()
        if self._cancelled:
            await asyncio.wait(self._cancelled)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._cancelled.add(self._listening)
            self._listening.add_done_callback(self._cancelled.discard)
            self._listening.cancel()
            self._listening, self._is_connected = None, False

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._source.news() as wait_for_change:
                    self._notify_all()
                    while True:
                        has_changed = await wait_for_change(WAIT_SECONDS)
                        self._log_restored()
                        failures = 0
                        if has_changed:
                            self._notify_all()
                            await asyncio.sleep(self.gap_seconds)
            except Exception as error:
                self._log_lost(error)
            failures += 1
            await asyncio.sleep(back_off(failures, self.first_pause, self.longest_pause).total_seconds())

    def _notify_all(self) -> None:
        self._is_connected = True
        for stream in self._streams:
            stream.notify()

    def _log_lost(self, error: Exception) -> None:
        """Log the first failure only; the retries that fail, too, are not logged."""
        self._is_connected = False
        if self._error is None:
            is_unexpected = not isinstance(error, StoreError)
            log.warning("change notifications lost", error=str(error), exc_info=is_unexpected)
        self._error = str(error)

    def _log_restored(self) -> None:
        if self._error is not None:
            log.warning("change notifications restored")
        self._error = None
