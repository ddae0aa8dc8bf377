"""The way of a verb to everything that it shares with the daemon."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from tracker.cli.database import configure_logs, missing_file, open_existing, read_settings
from tracker.daemon.database import open_database
from tracker.daemon.wiring import Services, open_services
from tracker.errors import StoreError
from tracker.settings import Settings
from tracker.store.engine import Engines

T = TypeVar("T")


def with_services(
    config: Path | None, work: Callable[[Services], Awaitable[T]], *, create: bool = False
) -> T:
    """Run `work` on the settings' database. `create`: a SQLite file that is not there yet is made."""

    async def run(settings: Settings) -> T:
        engines = open_or_create(settings) if create else open_existing(settings)
        async with AsyncExitStack() as stack:
            stack.enter_context(engines)
            return await work(await open_services(settings, engines, stack))

    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    return asyncio.run(run(loaded.settings))


def open_or_create(settings: Settings) -> Engines:
    """The engines of the database, with its tables if it is new."""
    is_new = missing_file(settings) is not None
    engines = open_database(settings)
    if is_new:
        from tracker.store.schema import migrations

        try:
            migrations.migrate(engines.writer)
        except StoreError:
            engines.dispose()
            raise
    return engines
