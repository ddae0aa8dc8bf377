"""`tracker run`: the daemon."""

import asyncio
import os
from pathlib import Path

import structlog
import typer

from tracker.cli.common import AsJson, Config, Exit, exit_code, root_options
from tracker.cli.database import configure_logs
from tracker.daemon import systemd
from tracker.daemon.process import Daemon
from tracker.errors import TrackerError
from tracker.observability import logs
from tracker.settings import Loaded, Settings, load

log = structlog.get_logger("tracker.daemon")


def run(config: Config = None, as_json: AsJson = False) -> None:
    """Run the daemon: receive webhooks and poll HeyGen until SIGTERM.

    A SQLite database is migrated at startup. With --json, log events are JSON lines.
    """
    if not systemd.writes_to_journal(os.environ):
        raise typer.Exit(_run(config, as_json=as_json))
    logs.configure(level="info", as_json=True, journal=True, secrets=[])  # until the settings are known
    try:
        code = _run(config, as_json=as_json)
    except TrackerError as error:
        log.critical("cannot start", error=str(error))
        code = exit_code(error)
    except Exception:  # one record with a priority, and no secrets
        log.critical("tracker crashed", exc_info=True)
        code = Exit.FAILED
    raise typer.Exit(code)


def _run(config: Path | None, *, as_json: bool) -> int:
    def read() -> Settings:
        return _told(load(config or root_options.config)).settings

    loaded = load(config or root_options.config)
    configure_logs(loaded, as_json=as_json)
    _told(loaded)
    sockets, manager = systemd.inherited_sockets(os.environ), systemd.Manager.of(os.environ)
    return asyncio.run(Daemon(loaded.settings, sockets, manager, read).run())


def _told(loaded: Loaded) -> Loaded:
    for name in loaded.unknown:
        log.warning("unknown setting", name=name, advice="`tracker check-config` lists all settings")
    for name in loaded.empty:
        log.warning("empty credential", name=name, advice="it is treated as not set")
    return loaded
