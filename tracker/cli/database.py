"""The way of a verb to the database: settings, logs, and the store for those that only read."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from tracker.cli.common import err, root_options
from tracker.daemon.database import open_database, open_store
from tracker.errors import StoreError
from tracker.settings import Loaded, Settings, load
from tracker.store.engine import Engines, parse_url, sqlite_path
from tracker.store.repository import Repository

T = TypeVar("T")


def read_settings(config: Path | None) -> Loaded:
    """The settings, with a word on standard error about names that mean nothing; raises SettingsError."""
    loaded = load(config or root_options.config)
    for name in loaded.unknown:
        err.print(f"[yellow]warning:[/] {name} is not a setting; `tracker check-config` lists all settings")
    for name in loaded.empty:
        err.print(f"[yellow]warning:[/] the credential {name} is empty and treated as not set")
    return loaded


def configure_logs(loaded: Loaded, *, level: str | None = None, as_json: bool = False) -> None:
    """Log as the settings say; verbs for people name a `level`, so that only trouble shows."""
    from tracker.daemon import systemd
    from tracker.observability import logs

    settings, journal = loaded.settings, systemd.writes_to_journal(os.environ)
    logs.configure(
        level=level or settings.log_level,
        as_json=as_json or settings.log_format == "json" or (settings.log_format == "auto" and journal),
        journal=journal,
        secrets=settings.secret_values(),
    )


class LogsAtNeed(logging.Handler):
    """Configures the logs at the first record, for verbs that hardly ever log."""

    def __init__(self, configure: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._configure = configure

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record to the handler that takes the place of this one."""
        self._configure()
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def with_store(config: Path | None, work: Callable[[Repository], Awaitable[T]]) -> T:
    """Run `work` on the settings' database, for verbs that only read it."""

    async def run(settings: Settings) -> T:
        engines = open_existing(settings)
        async with AsyncExitStack() as stack:
            stack.enter_context(engines)
            return await work(await open_store(engines, stack))

    loaded = read_settings(config)
    at_need = LogsAtNeed(partial(configure_logs, loaded, level="warning"))
    logging.basicConfig(handlers=[at_need], level=logging.WARNING, force=True)
    return asyncio.run(run(loaded.settings))


def open_existing(settings: Settings) -> Engines:
    """The engines of the database; raises StoreError for a SQLite file that is not there yet."""
    if path := missing_file(settings):
        raise StoreError(
            f"there is no database at {path}; create it with `tracker migrate`, "
            "or set TRACKER_DATABASE_URL to another"
        )
    return open_database(settings)


def missing_file(settings: Settings) -> Path | None:
    """The SQLite file that a verb would have to make."""
    path = sqlite_path(parse_url(settings.database_url.get_secret_value()))
    return path if path is not None and not path.exists() else None
