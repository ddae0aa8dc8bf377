"""APScheduler calls the ticks; what is due is in the database."""

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
    """Calls coroutines at intervals: never the same twice at a time, and once after missed runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._running: set[asyncio.Task[None]] = set()
        self._errands: set[str] = set()
        self._failing: set[str] = set()
        self._ended_at: dict[str, float] = {}  # on the loop's clock

    def every(
        self, seconds: float, name: str, call: Callable[[], Awaitable[object]], *, errand: bool = False
    ) -> None:
        """Call `call` at once and then every `seconds`.

        An `errand` may run long and seldom: the health check ignores it, and a stop cancels it. It resumes
        after the next start.
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
        self._ended_at = {job.id: now for job in self._scheduler.get_jobs() if job.id not in self._errands}
        self._scheduler.start()

    @property
    def is_running(self) -> bool:
        return bool(self._scheduler.running)

    @property
    def silence(self) -> float:
        """The longest time since a tick last ended, in seconds, failed or not. Immune to clock changes."""
        return asyncio.get_running_loop().time() - min(self._ended_at.values())

    async def stop(self, patience: float) -> None:
        """Start nothing more; wait up to `patience` seconds for running ticks."""
        if self.is_running:  # the scheduler itself may have died
            self._scheduler.pause()
        for task in self._running:
            if task.get_name() in self._errands:
                task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        if self.is_running:
            self._scheduler.shutdown(wait=False)

    async def _shielded(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """Run `call` in a task of our own, which APScheduler does not cancel at shutdown."""
        task = asyncio.create_task(self._guarded(name, call), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        with suppress(asyncio.CancelledError):  # APScheduler would log it as a failure
            await asyncio.shield(task)

    async def _guarded(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """Keep ticking after a failure; log its begin and its end once."""
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
                log.warning("tick recovered", tick=name)
            self._failing.discard(name)
        finally:
            if name not in self._errands:
                self._ended_at[name] = asyncio.get_running_loop().time()
