"""The settings' database, opened; what only reads rows needs no more than this. And the clock."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from tracker.domain.ports import Clock
from tracker.settings import Settings
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository


def clock() -> datetime:
    """Now, aware and UTC."""
    return datetime.now(UTC)


def open_database(settings: Settings) -> Engines:
    """The engines of the settings' database; nothing is connected yet."""
    return open_engines(settings.database_url.get_secret_value(), synchronous=settings.sqlite_synchronous)


async def open_store(engines: Engines, stack: AsyncExitStack, clock: Clock = clock) -> Repository:
    """The store over `engines`, its schema checked; `stack` closes it. Raises StoreError."""
    repository = Repository(engines, clock)
    stack.push_async_callback(asyncio.to_thread, repository.close)
    repository.open()
    return repository
