"""The store's async face: writes go to the one writer thread, reads to a few reader threads."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from tracker.domain.status import Source
from tracker.errors import StoreError
from tracker.ports import Claim, Clock, Judge, Record, Recorded
from tracker.store import claims, queries, schema
from tracker.store.engine import READERS, Engines
from tracker.store.intake import store_all
from tracker.store.writer import Writer, translated

T = TypeVar("T")


class Repository:
    """The database as the core and the pages see it; every method raises StoreError."""

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self._engines = engines
        self._clock = clock
        self._writer = Writer(engines.writer)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    def open(self) -> None:
        """Check the schema and start the writer. Raises StoreError."""
        schema.check(self._engines.reader)
        self._writer.start()

    def close(self) -> None:
        """Commit what was handed over, then let go of the database."""
        self._writer.close()
        self._readers.shutdown()
        self._engines.dispose()

    @property
    def is_alive(self) -> bool:
        """False once the writer thread is gone: nothing can be stored then."""
        return self._writer.is_alive

    async def _write(self, run: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(run))

    async def _read(self, run: Callable[[Connection], T]) -> T:
        def transact() -> T:
            with translated(), self._engines.reader.begin() as connection:
                return run(connection)

        try:
            reading = self._readers.submit(transact)
        except RuntimeError as error:
            raise StoreError("the store is closed") from error
        return await asyncio.wrap_future(reading)

    async def apply(self, records: Sequence[Record], judge: Judge) -> list[Recorded]:
        """Decide and store `records` in order, in one transaction; returns after the commit."""
        return await self._write(lambda connection: store_all(connection, records, judge, self._clock()))

    async def claim_due(
        self, now: datetime, limit: int, owner: str, lease: timedelta, due_by: datetime | None = None
    ) -> list[Claim]:
        """Take up to `limit` translations that nobody holds and whose poll is due by `due_by` (None: now)."""
        return await self._write(
            partial(claims.claim_due, now=now, limit=limit, owner=owner, lease=lease, due_by=due_by or now)
        )

    async def release(self, held: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        """Give claims back unpolled, due again at `next_poll_at` (None: as they were)."""
        await self._write(partial(claims.release, claims=held, next_poll_at=next_poll_at))

    async def free_claims(self) -> None:
        """Give back what a killed predecessor still held; only for the sole runner of a SQLite file."""
        await self._write(claims.free_all)

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        """Raise `overdue` on open translations that have grown too old; returns their ids."""
        return await self._write(partial(claims.flag_overdue, now=now, overdue_after=overdue_after))

    async def recent_end_sources(self, limit: int) -> list[Source]:
        """Who first reported the latest ends, newest first."""
        return await self._read(partial(queries.recent_end_sources, limit=limit))

    async def list_translations(
        self,
        *,
        status: str | None = None,
        callback_id: str | None = None,
        attention: str | None = None,
        flagged: bool = False,
        newest_first: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Rows as dicts by column name, ordered by id, from behind the id `after`."""
        given = {"status": status, "callback_id": callback_id, "attention": attention}
        return await self._read(
            partial(
                queries.list_translations,
                given={name: value for name, value in given.items() if value is not None},
                flagged=flagged,
                newest_first=newest_first,
                after=after,
                limit=limit,
            )
        )

    async def get(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows with these numbers, ordered by id."""
        return await self._read(partial(queries.get_translations, column="id", values=ids))

    async def find(self, video_translate_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these ids; unknown ids are missing from the answer."""
        return await self._read(
            partial(queries.get_translations, column="video_translate_id", values=video_translate_ids)
        )

    async def list_changes(self, translation_id: int) -> list[dict[str, Any]]:
        """The history of one translation, oldest first."""
        return await self._read(partial(queries.list_changes, translation_id=translation_id))

    async def counts(self) -> list[tuple[str, str | None, int]]:
        """How many translations there are by status and attention."""
        return await self._read(queries.counts)

    async def oldest_due(self, now: datetime) -> datetime | None:
        """The due time of the poll that has waited longest; None where nothing is due."""
        return await self._read(partial(queries.oldest_due, now=now))

    async def health(self) -> Mapping[str, Any]:
        """The one row of the view tracker_health."""
        return await self._read(queries.health)

    async def check(self) -> None:
        """Raise StoreError unless the database answers and its schema is the one we need."""
        found = await self._read(schema.current_revision)
        if found != schema.needed_revision():
            raise StoreError(
                f"the database's schema is {found}, this program needs {schema.needed_revision()}"
            )
