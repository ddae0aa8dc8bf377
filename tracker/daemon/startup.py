"""The database at a start: SQLite is brought up to date, a PostgreSQL server may come late."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from tracker.daemon.systemd import Manager
from tracker.domain.schedule import back_off
from tracker.errors import SchemaError, StoreError
from tracker.store.engine import Engines
from tracker.store.schema import migrations, revisions

log = structlog.get_logger("tracker.daemon")

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=0.25), timedelta(seconds=5)  # between two tries


class Startup:
    """Waits `patience` seconds for a server, or until `stop`; `manager` is told what takes long."""

    def __init__(self, manager: Manager, stop: asyncio.Event, patience: float) -> None:
        self._manager, self._stop, self._patience = manager, stop, patience

    async def prepare(self, engines: Engines) -> None:
        """Return once the schema is the one that is needed, or at a stop; raises StoreError."""
        async with self._manager.patience():
            if engines.writer.dialect.name == "sqlite":
                await self._migrate(engines)
            else:
                await self._await(engines)
        if not self._stop.is_set():
            await asyncio.to_thread(migrations.check_writable, engines.writer)

    async def _migrate(self, engines: Engines) -> None:
        """What a large database needs for it is not held against us."""
        self._manager.status("migrating the database schema")
        before, after = await asyncio.to_thread(migrations.migrate, engines.writer)
        if before != after:
            log.info("schema migrated", before=before, after=after)

    async def _await(self, engines: Engines) -> None:
        """After a boot the server may start beside us."""
        loop = asyncio.get_running_loop()
        latest, failures = loop.time() + self._patience, 0
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(revisions.check, engines.reader)
            except SchemaError:  # it answers, and waiting does not help
                raise
            except StoreError as error:
                failures += 1
                pause = back_off(failures, FIRST_PAUSE, LONGEST_PAUSE).total_seconds()
                if loop.time() + pause > latest:
                    raise
                self._tell(error, is_first=failures == 1)
            else:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    def _tell(self, error: StoreError, *, is_first: bool) -> None:
        if is_first:
            log.warning("waiting for the database", error=str(error), seconds=self._patience)
        self._manager.status(f"waiting for the database: {error}")
