"""The async face of `archived_files`, beside that of the translations."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tracker.domain.files.records import Archived, FileClaim, Wanted
from tracker.domain.links import LinkKind
from tracker.domain.ports import Clock
from tracker.store import archive, archive_queries
from tracker.store.transactions import Run


class ArchiveRepository:
    """The ArchiveStore of a repository, which hands it its ways to read and to write."""

    def __init__(self, read: Run, write: Run, clock: Clock) -> None:
        self._read, self._write, self._clock = read, write, clock

    async def claim(
        self, now: datetime, limit: int, owner: str, lease: timedelta, of: Collection[int] | None = None
    ) -> list[FileClaim]:
        """Take at most `limit` due files that nobody holds, of these translations (None: of any)."""
        run = partial(archive.claim, now=now, limit=limit, owner=owner, lease=lease, of=of)
        return await self._write(run)

    async def renew(self, claim: FileClaim, until: datetime) -> FileClaim | None:
        """The claim, longer; None where it has lapsed and somebody else may hold it."""
        return await self._write(partial(archive.renew, held=claim, until=until))

    async def give_back(self, claim: FileClaim, next_attempt_at: datetime) -> bool:
        """Nothing was learnt about the file itself; False where the claim is no longer ours."""
        return await self._write(partial(archive.give_back, held=claim, next_attempt_at=next_attempt_at))

    async def keep(self, claim: FileClaim, archived: Archived) -> bool:
        """It is there; False where the claim is no longer ours."""
        return await self._write(partial(archive.keep, held=claim, archived=archived, now=self._clock()))

    async def fail(
        self, claim: FileClaim, error: str, attempts: int, next_attempt_at: datetime | None
    ) -> bool:
        """Why it is not there, and when to try again (None: never); False: the claim is no longer ours."""
        return await self._write(
            partial(
                archive.fail,
                held=claim,
                error=error,
                attempts=attempts,
                next_attempt_at=next_attempt_at,
            )
        )

    async def want(
        self, translation_ids: Sequence[int], kinds: Collection[LinkKind], *, again: bool = False
    ) -> Wanted:
        """Make what these have due now, also what was put off or given up; `again`: what is archived, too."""
        return await self._write(
            partial(
                archive.want,
                translation_ids=translation_ids,
                kinds=kinds,
                now=self._clock(),
                again=again,
            )
        )

    async def want_all(self, kinds: Collection[LinkKind], after: int) -> Wanted:
        """The same for a few of all translations, from behind the number `after` on."""
        return await self._write(partial(archive.want_all, kinds=kinds, after=after, now=self._clock()))

    async def rows(self, translation_ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these translations, ordered by number and kind."""
        return await self._read(partial(archive_queries.rows_of, translation_ids=translation_ids))

    async def unsettled(self, patience: int, limit: int | None = None) -> int:
        """How many files are worth waiting for: not given up, nor in vain `patience` times in a row.

        It counts no further than to `limit` (None: all).
        """
        return await self._read(partial(archive_queries.unsettled, patience=patience, limit=limit))

    async def missing(self, patience: int, limit: int) -> list[dict[str, Any]]:
        """At most so many rows of the others that are not there; the oldest translations first."""
        return await self._read(partial(archive_queries.missing, patience=patience, limit=limit))

    async def counts(self, limit: int) -> Mapping[str, int]:
        """How many files wait, are downloaded, and have failed; it counts no further than to `limit`."""
        return await self._read(partial(archive_queries.counts, limit=limit))

    async def oldest_missing(self) -> datetime | None:
        """When the translation ended that has waited longest for a file; None where none waits."""
        return await self._read(archive_queries.oldest_missing)

    async def free_claims(self) -> None:
        """Give back what a killed predecessor still held; only for the sole runner of a SQLite file."""
        await self._write(archive.free_all)
