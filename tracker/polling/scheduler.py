"""APScheduler, and nothing else: it only ticks; what is due stands in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tracker.domain.ports import Clock
from tracker.errors import StoreError

log = structlog.get_logger("tracker.polling")


class Ticker:
    """Calls coroutines at intervals; never two of the same at a time, and late ones once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._running: set[asyncio.Task[None]] = set()
        self._errands: set[str] = set()
        self._failing: set[str] = set()
        self._ends: dict[str, float] = {}  # by the loop's clock

    def every(
        self, seconds: float, name: str, call: Callable[[], Awaitable[object]], *, errand: bool = False
    ) -> None:
        """Call `call` at once and then every `seconds`.

        An `errand` may take long and come seldom, so that its silence means nothing, and a stop
        does not wait for it: what it has begun is gone on with at the next start.
        """
        if errand:
            self._errands.add(name)
        self._scheduler.add_job(
            self._shielded,
            "interval",
            seconds=seconds,
            args=(name, call),
            id=name,
            next_run_time=self._clock(),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )

    def start(self) -> None:
        now = asyncio.get_running_loop().time()
        self._ends = {job.id: now for job in self._scheduler.get_jobs() if job.id not in self._errands}
        self._scheduler.start()

    @property
    def is_running(self) -> bool:
        return bool(self._scheduler.running)

    @property
    def silence(self) -> float:
        """Seconds since the most silent one came to an end, well or not; the wall clock may jump."""
        return asyncio.get_running_loop().time() - min(self._ends.values())

    async def stop(self, patience: float) -> None:
        """Start nothing more; wait up to `patience` seconds for what is under way."""
        if self.is_running:  # it may be what has died
            self._scheduler.pause()
        for task in self._running:
            if task.get_name() in self._errands:
                task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        if self.is_running:
            self._scheduler.shutdown(wait=False)

    async def _shielded(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """APScheduler cancels at shutdown what runs; a task of our own goes on to its end."""
        task = asyncio.create_task(self._guarded(name, call), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        with suppress(asyncio.CancelledError):  # APScheduler would log it as a failure
            await asyncio.shield(task)

    async def _guarded(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """One failure must not end the ticking: it is told once, and so is its end."""
        try:
            await call()
        except StoreError as error:
            if name not in self._failing:
                log.error("tick failed", tick=name, error=str(error))
            self._failing.add(name)
        except Exception:
            if name not in self._failing:
                log.exception("tick failed", tick=name)
            self._failing.add(name)
        else:
            if name in self._failing:
                log.warning("tick works again", tick=name)
            self._failing.discard(name)
        finally:
            if name not in self._errands:
                self._ends[name] = asyncio.get_running_loop().time()
