"""Whether the daemon's parts are alive: seen twice a second, told to the service manager."""

import asyncio
from collections.abc import Mapping

import structlog

from tracker.daemon.systemd import Manager
from tracker.daemon.wiring import Services
from tracker.errors import StoreError
from tracker.polling.scheduler import Ticker

log = structlog.get_logger("tracker.daemon")

LOOK_SECONDS = 0.5
STALLED_AFTER = 15.0  # seconds; a tick may take ten, and waits for the store besides
FEEDS = 3  # in the time that the watchdog waits


class Health:
    """Looks at the listeners, the store and the ticks, which wait for poller and store.

    The watchdog is fed from the event loop, and only while every tick comes to an end, well or not:
    a loop that is blocked, a poller that hangs and a store that never answers all let it starve.
    Where the whole process stood still, the silence was nobody's: it counts from when the loop came back.
    """

    frozen_after = STALLED_AFTER

    def __init__(
        self, services: Services, ticker: Ticker, serving: Mapping[str, asyncio.Task[None]], manager: Manager
    ) -> None:
        self._services, self._ticker, self._serving, self._manager = services, ticker, serving, manager
        self._fed_at = self._awake_since = 0.0  # by the loop's clock
        self.trouble: str | None = None  # the status says it, too

    async def look(self) -> None:
        """Come back after a moment; what that took too long is the loop's lag. Feed the watchdog."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(LOOK_SECONDS)
        now = loop.time()
        lag = max(0.0, now - before - LOOK_SECONDS)
        self._services.metrics.lagged(lag)
        if lag > self.frozen_after:
            self._awake_since = now
        watchdog = self._manager.watchdog
        if watchdog and now - self._fed_at >= watchdog / FEEDS and self._ticker.silence < STALLED_AFTER:
            self._fed_at = now
            self._manager.feed_watchdog()

    def dead_parts(self, silence: float) -> list[str]:
        """The parts that have ended, and the poller where it was silent for so many seconds."""
        dead = [name for name, task in self._serving.items() if task.done()]
        if not self._services.repository.is_alive:
            dead.append("store")
        awake = asyncio.get_running_loop().time() - self._awake_since
        if not self._ticker.is_running or min(self._ticker.silence, awake) > silence:
            dead.append("poller")
        return dead

    async def report_status(self) -> None:
        """One line for `systemctl status`."""
        try:
            health = await self._services.repository.health()
        except StoreError as error:
            told = [f"the database does not answer: {error}"]
        else:
            told = [f"{health['open']} open", f"{health['overdue']} overdue", self._polling()]
        self._manager.status(", ".join([*told, self.trouble] if self.trouble else told))

    def _polling(self) -> str:
        state = self._services.polling
        return f"polling paused: {state.paused}" if state.paused else f"polling {state.mode} ({state.api})"
