"""Word of changes: PostgreSQL tells (NOTIFY tracker_changes, migration 0003), SQLite is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from tracker.store.tables import changes
from tracker.store.writer import translated

CHANNEL = "tracker_changes"
LOOK_SECONDS = 0.25  # between two looks into SQLite
News = Callable[[float], Awaitable[None]]
"""Comes back with the next change, or after so many seconds; raises StoreError.

Somebody who must not miss anything looks in either case: a connection through PgBouncer hears nothing.
"""


@asynccontextmanager
async def open_news(reader: Engine) -> AsyncIterator[News]:
    """Listen from now on."""
    if reader.dialect.name == "sqlite":
        yield _Asked(reader).wait
        return
    connection = await asyncio.to_thread(_listen, reader)

    async def wait(seconds: float) -> None:
        await asyncio.to_thread(_hear, connection, seconds)

    try:
        yield wait
    finally:
        await asyncio.to_thread(connection.close)


def _listen(reader: Engine) -> Connection:
    with translated():
        connection = reader.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
    return connection


def _hear(connection: Connection, seconds: float) -> None:
    driver: Any = connection.connection.driver_connection  # psycopg's; SQLAlchemy knows no notifications
    with translated():
        for _ in driver.notifies(timeout=seconds, stop_after=1):
            return


class _Asked:
    """The newest change's number, looked at again and again."""

    def __init__(self, reader: Engine) -> None:
        self._reader = reader
        self._known = self._newest()

    async def wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + seconds
        while (left := latest - loop.time()) > 0:
            await asyncio.sleep(min(LOOK_SECONDS, left))
            if (newest := await asyncio.to_thread(self._newest)) != self._known:
                self._known = newest
                return

    def _newest(self) -> int | None:
        with translated(), self._reader.connect() as connection:
            newest: int | None = connection.scalar(select(func.max(changes.c.id)))
        return newest
