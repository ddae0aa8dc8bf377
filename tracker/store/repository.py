"""The store's async face: writes go to the one writer thread, reads to a few reader threads."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Connection

from tracker.domain.claims import Claim, Due
from tracker.domain.links import LinkKind
from tracker.domain.ports import Clock, OutcomeRule, WaitForChange
from tracker.domain.record import Record, RecordResult
from tracker.domain.retention import Kind
from tracker.domain.status import Source
from tracker.errors import StoreError
from tracker.store import (
    archive,
    claims,
    instances,
    key_value,
    queries,
    retention,
    secret_use,
)
from tracker.store.archive_repository import ArchiveRepository
from tracker.store.batch import ToStore, store_all
from tracker.store.database_events import open_change_feed
from tracker.store.engine import READERS, Engines
from tracker.store.schema import revisions
from tracker.store.slow_counts import SlowCount
from tracker.store.submission_repository import SubmissionRepository
from tracker.store.writer import Writer, translated

T = TypeVar("T")

HASTENED = 1000  # rows in one transaction
FLAGGED = 1000  # likewise


class Repository:
    """The database as the core and the pages see it; every method raises StoreError.

    `archive`: the kinds of files that get a row of `archived_files` with the end of their translation.
    """

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self._engines = engines
        self._clock = clock
        self.archive: frozenset[LinkKind] = frozenset()
        self.files = ArchiveRepository(self._read, self._write, clock)
        self.submissions = SubmissionRepository(self._read, self._write, clock)
        self._writer = Writer(engines.writer)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._open: SlowCount[tuple[int, int]] = SlowCount()
        self._counts: SlowCount[list[tuple[str, str | None, int]]] = SlowCount()
        self._health: SlowCount[Mapping[str, Any]] = SlowCount()

    def open(self) -> None:
        """Check the schema and start the writer. Raises StoreError."""
        revisions.check(self._engines.reader)
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

    async def apply(self, records: Sequence[Record], determine_outcome: OutcomeRule) -> list[RecordResult]:
        """Decide and store `records` in order, in one transaction; returns after the commit."""
        given = [ToStore(record, determine_outcome) for record in records]
        return await asyncio.wrap_future(self._writer.submit_to(self._store, given))

    def _store(self, connection: Connection, calls: Sequence[Sequence[ToStore]]) -> list[list[RecordResult]]:
        """What several have handed over meanwhile is one batch; each gets its own results."""
        now = self._clock()
        stored = store_all(connection, chain.from_iterable(calls), now)
        archive.want_recorded(connection, stored, self.archive, now)
        results = iter(stored)
        return [list(islice(results, len(call))) for call in calls]

    async def claim_due(
        self, now: datetime, requests: int, owner: str, lease: timedelta, due: Due | None = None
    ) -> list[Claim]:
        """Take what nobody holds and is `due` (None: now), as much as `requests` questions can ask about."""
        return await self._write(
            partial(
                claims.claim_due,
                now=now,
                requests=requests,
                owner=owner,
                lease=lease,
                due=due or Due(now, now),
            )
        )

    async def claim_links(
        self, translation_id: int, poll_count: int, now: datetime, owner: str, lease: timedelta
    ) -> Claim | None:
        """Take one ended translation to ask for its links; None where somebody else does, or has done so."""
        return await self._write(
            partial(
                claims.claim_links,
                translation_id=translation_id,
                poll_count=poll_count,
                now=now,
                owner=owner,
                lease=lease,
            )
        )

    async def claim_renewal(self, now: datetime, owner: str, lease: timedelta) -> Claim | None:
        """Take the ended translation whose links are due for renewal first; None where there is none."""
        return await self._write(partial(claims.claim_renewal, now=now, owner=owner, lease=lease))

    async def release(self, held: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        """Give claims back unpolled, due again at `next_poll_at` (None: as they were)."""
        await self._write(partial(claims.release, claims=held, next_poll_at=next_poll_at))

    async def free_claims(self) -> None:
        """Give back what a killed predecessor still held; only for the sole runner of a SQLite file."""
        await self._write(claims.free_all)
        await self._write(instances.forget_all)
        await self.files.free_claims()

    async def meet(self, name: str, now: datetime, silent_since: datetime) -> int:
        """Say that the tracker `name` is here, forget the silent ones; returns how many there are."""
        return await self._write(partial(instances.meet, name=name, now=now, silent_since=silent_since))

    async def leave(self, name: str) -> None:
        """The tracker `name` polls no more."""
        await self._write(partial(instances.leave, name=name))

    async def swap(self, name: str, old: Any, new: Any) -> bool:
        """Remember `new` (None: nothing) where `old` was remembered; False where it was something else."""
        return await self._write(partial(key_value.swap, name=name, old=old, new=new, now=self._clock()))

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        """Raise `overdue` on open translations that have grown too old, the oldest first; returns their ids.

        Some at a time; ask again for the rest.
        """
        return await self._write(
            partial(claims.flag_overdue, now=now, overdue_after=overdue_after, limit=FLAGGED)
        )

    def news(self) -> AbstractAsyncContextManager[WaitForChange]:
        """What comes back when a change is stored, by whomever, or after some seconds."""
        return open_change_feed(self._engines.reader, self._read)

    async def recent_end_sources(self, limit: int) -> list[Source]:
        """Whether a webhook or a poll told first of the latest ends, newest first."""
        return await self._read(partial(queries.recent_end_sources, limit=limit))

    async def heard_since_ends(self, limit: int) -> bool:
        """Whether a signed webhook has come since the oldest of the latest `limit` ends was stored."""
        return await self._read(partial(queries.heard_since_ends, limit=limit))

    async def count_open(self, young_since: datetime) -> tuple[int, int]:
        """How many open translations with an id there are: tracked since then, and older ones.

        Not quite new where counting takes long; so are `counts` and `health`.
        """
        return await self._open.get(lambda: self._read(partial(queries.count_open, young_since=young_since)))

    async def oldest_open(self) -> datetime | None:
        """Since when the oldest open translation is tracked; None where all have ended."""
        return await self._read(queries.oldest_open)

    async def hasten(self, by: datetime, spacing: timedelta) -> int:
        """Let no open translation wait longer than until `by`, or `spacing` later where just asked about."""
        total, count = 0, HASTENED
        while count == HASTENED:  # a piece at a time: webhooks come in between
            run = partial(claims.hasten, by=by, spacing=spacing, limit=HASTENED)
            total += (count := await self._write(run))
        return total

    async def recall(self, name: str) -> Any:
        """The JSON value remembered under that name; None where there is none."""
        return await self._read(partial(key_value.recall, name=name))

    async def remember(self, name: str, value: Any) -> None:
        """Remember a JSON value between runs."""
        await self._write(partial(key_value.remember, name=name, value=value, now=self._clock()))

    async def secret_use(self) -> dict[str, tuple[datetime, int]]:
        """When each webhook secret last signed a webhook, and how many it signed, by name."""
        return await self._read(secret_use.secret_use)

    async def prune(self, kind: Kind, before: datetime, limit: int) -> int:
        """Delete at most `limit` rows of this kind that are older; returns how many."""
        return await self._write(partial(retention.prune, kind=kind, before=before, limit=limit))

    async def count_old(self, kind: Kind, before: datetime, limit: int) -> int:
        """How many rows of this kind are older; it counts no further than to `limit`."""
        return await self._read(partial(retention.count_old, kind=kind, before=before, limit=limit))

    async def give_back(self, limit: int) -> int:
        """Give at most `limit` free pages of the SQLite file back to the file system; returns how many."""
        return await self._write(partial(retention.give_back, limit=limit))

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
        return await self._counts.get(lambda: self._read(queries.counts))

    async def oldest_due(self, now: datetime) -> datetime | None:
        """The due time of the poll that has waited longest; None where nothing is due."""
        return await self._read(partial(queries.oldest_due, now=now))

    async def health(self) -> Mapping[str, Any]:
        """The one row of the view tracker_health."""
        return await self._health.get(lambda: self._read(queries.health))

    async def check(self) -> None:
        """Raise StoreError unless the database answers and its schema is the one we need."""
        found = await self._read(revisions.current_revision)
        if found != revisions.needed_revision():
            raise StoreError(
                f"the database's schema is {found}, this program needs {revisions.needed_revision()}"
            )
