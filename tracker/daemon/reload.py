"""SIGHUP: read the settings again and apply those that need no restart."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from tracker.daemon.health import Health
from tracker.daemon.listeners import refuse_unguarded
from tracker.daemon.systemd import Manager
from tracker.daemon.wiring import Services
from tracker.errors import TrackerError
from tracker.observability import logs
from tracker.settings import PREFIX, Settings
from tracker.web.live_updates import LiveUpdates

log = structlog.get_logger("tracker.daemon")


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload changes; `admin` are the sockets of the admin listener."""

    services: Services
    health: Health
    live_updates: LiveUpdates
    admin: Sequence[socket.socket]
    manager: Manager

    async def run(self, read: Callable[[], Settings]) -> None:
        """Apply what `read` returns; if a setting is wrong, keep all current settings and log why."""
        self.manager.reloading()
        try:
            self._apply(await asyncio.to_thread(read))
        except TrackerError as error:
            log.error("settings not reloaded", error=str(error), advice="the current settings stay in force")
            self.health.trouble = "settings not reloaded: a new value is wrong"
        else:
            self.health.trouble = None
        if self.manager.is_there:
            await self.health.report_status()
        self.manager.ready()

    def _apply(self, settings: Settings) -> None:
        """Raises SettingsError."""
        change = self.services.settings.reloaded(settings)
        if change.settings.admin_token is None:
            refuse_unguarded(self.admin)
        self.services.adopt(change.settings)
        logs.reconfigure(level=change.settings.log_level, secrets=change.settings.secret_values())
        if "admin_token" in change.applied:
            self.live_updates.end_streams()  # the old token opened them
        log.info("settings reloaded", changed=_variables(change.applied) or "none")
        if change.waiting:
            log.warning("settings need a restart", changed=_variables(change.waiting))


def _variables(names: list[str]) -> str:
    return ", ".join(f"{PREFIX}{name.upper()}" for name in names)
