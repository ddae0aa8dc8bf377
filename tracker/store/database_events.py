"""Word of changes: PostgreSQL tells (NOTIFY tracker_changes, migration 0003), SQLite is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from tracker.domain.ports import WaitForChange
from tracker.store.tables import changes
from tracker.store.writer import store_error, translated

CHANNEL = "tracker_changes"
LOOK_SECONDS = 0.25  # between two looks into SQLite
Read = Callable[[Callable[[Connection], int | None]], Awaitable[int | None]]


@asynccontextmanager
async def open_change_feed(reader: Engine, read: Read) -> AsyncIterator[WaitForChange]:
    """Listen from now on; `read` runs a query in a reader thread. Raises StoreError."""
    if reader.dialect.name == "sqlite":
        yield _Asked(read, await read(_newest)).wait
        return
    driver = await _listening(reader)
    try:
        yield _Told(reader, driver, read, await read(_newest)).wait
    finally:
        driver.close()


def _newest(connection: Connection) -> int | None:
    newest: int | None = connection.scalar(select(func.max(changes.c.id)))
    return newest


class _Asked:
    """The newest change's number, looked at again and again."""

    def __init__(self, read: Read, known: int | None) -> None:
        self._read, self._known = read, known

    async def wait(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        latest = loop.time() + seconds
        while (left := latest - loop.time()) > 0:
            await asyncio.sleep(min(LOOK_SECONDS, left))
            if await self._looks_new():
                return True
        return False

    async def _looks_new(self) -> bool:
        before, self._known = self._known, await self._read(_newest)
        return self._known != before


class _Told(_Asked):
    """The server's word on a connection of our own. Through PgBouncer none comes, so it looks as well."""

    def __init__(self, reader: Engine, driver: Any, read: Read, known: int | None) -> None:
        super().__init__(read, known)
        self._reader, self._driver = reader, driver
        self._has_heard = False

    async def wait(self, seconds: float) -> bool:
        if await self._hears_within(seconds):
            self._has_heard = True
            return True
        is_new = await self._looks_new() and not self._has_heard  # else it was told, and is known
        self._has_heard = False
        return is_new

    async def _hears_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        latest = loop.time() + seconds
        while not self._hear():
            left = latest - loop.time()
            if left <= 0 or not await self._is_readable(left):
                return False
        return True

    def _hear(self) -> bool:
        """Whether anything was told; takes what has come, and waits for nothing."""
        with _driver_errors(self._reader):
            return bool(list(self._driver.notifies(timeout=0)))

    async def _is_readable(self, seconds: float) -> bool:
        """Wait until the server says something, its end included; no thread waits for it."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        with _driver_errors(self._reader):
            socket = self._driver.fileno()
        loop.add_reader(socket, readable.set)
        try:
            async with asyncio.timeout(seconds):
                await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(socket)
        return True


async def _listening(reader: Engine) -> Any:
    """psycopg's connection that listens. Its thread cannot be cancelled, only cleaned up after."""
    connecting = asyncio.ensure_future(asyncio.to_thread(_listen, reader))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(_close_late)
        raise


def _close_late(connecting: "asyncio.Future[Any]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def _listen(reader: Engine) -> Any:
    """Taken out of the pool for good: what it is told would pile up with whoever got it next."""
    with translated(), _driver_errors(reader):
        pooled = reader.raw_connection()
        driver: Any = pooled.driver_connection  # psycopg's; SQLAlchemy knows no notifications
        pooled.detach()
        try:
            driver.autocommit = True
            driver.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            driver.close()
            raise
    return driver


@contextmanager
def _driver_errors(reader: Engine) -> Iterator[None]:
    """Turn the driver's errors, which SQLAlchemy has not seen, into StoreError."""
    dbapi: Any = reader.dialect.loaded_dbapi
    try:
        yield
    except dbapi.Error as error:
        raise store_error(DBAPIError(None, None, error)) from error
