"""What links and the archive need of the outside, as Protocols."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tracker.domain.files.records import Archived, FileClaim, Wanted
from tracker.domain.links import Link, LinkKind
from tracker.domain.observation import Observation


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way. `chunks` begin at `offset`: 0 where the host sends all of it again.

    `size`: bytes of the whole file, None where the host does not say. `validator`: what to send as
    If-Range when it is resumed (a strong ETag or a Last-Modified), None where there is none. The
    iterator raises BrokenTransferError where the connection breaks or fewer or more bytes come than
    promised, and FileTooLargeError as soon as the file is known to be too large.
    """

    offset: int
    size: int | None
    validator: str | None
    content_type: str | None
    chunks: AsyncIterator[bytes] = field(repr=False)


class Files(Protocol):
    """The file hosts. Both raise FileError's children; neither ever sends the API key."""

    def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """Begin to download, from `offset` on where the file still is the one of `validator`."""

    async def check(self, url: str) -> None:
        """Come back if the host would give the file now (HEAD)."""


class Links(Protocol):
    """Links that work, asked of HeyGen again only where that is needed."""

    async def fresh(self, translation_id: int, kind: LinkKind, *, refused: str | None = None) -> Link:
        """A link that is good for an hour at least.

        `refused`: the url that a file host has just refused; it is not given again. However many ask at
        once, HeyGen is asked once at most. Raises NotFoundError where there is no such file (the
        text says why), NotFinishedError where there is none yet, LinkRefusedError where HeyGen gives the
        refused one again, LinkEndedError where TRACKER_KEEP_LINKS_FRESH is off, and HeyGenError and
        StoreError where HeyGen or the database do not answer. A link with less than an hour of life is
        given where HeyGen gives no other.
        """
        ...


class Rows(Protocol):
    """The translations as links need them."""

    async def get(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows with these numbers, as dicts by column name. Raises StoreError."""
        ...


class Asker(Protocol):
    """Who asks HeyGen about one translation."""

    async def ask(self, translation_id: int, poll_count: int) -> Observation | None:
        """Have it asked about now, and what HeyGen says stored.

        None where somebody else asks about it, or has asked since `poll_count`. Raises AccountError,
        without asking, while the account rests; TransientError; StoreError.
        """
        ...


class LinkFigures(Protocol):
    """Where counts go; `cause` is on_demand or always."""

    def link_renewed(self, cause: str) -> None: ...

    def link_not_renewed(self, cause: str) -> None: ...


class ArchiveStore(Protocol):
    """The rows of `archived_files`. Every method raises StoreError."""

    async def claim(
        self, now: datetime, limit: int, owner: str, lease: timedelta, of: Collection[int] | None = None
    ) -> list[FileClaim]:
        """Take at most `limit` due files that nobody holds, of these translations (None: of any).

        What came due last goes first: whoever asks for the whole history does not hold up new ends.
        """
        ...

    async def renew(self, claim: FileClaim, until: datetime) -> FileClaim | None:
        """The claim, longer; None where it has lapsed and somebody else may hold it."""
        ...

    async def give_back(self, claim: FileClaim, next_attempt_at: datetime) -> bool:
        """Nothing was learnt about the file itself; False where the claim is no longer ours."""
        ...

    async def keep(self, claim: FileClaim, archived: Archived) -> bool:
        """It is there; False where the claim is no longer ours."""
        ...

    async def fail(
        self, claim: FileClaim, error: str, attempts: int, next_attempt_at: datetime | None
    ) -> bool:
        """Why it is not there, and when to try again (None: never); False: the claim is no longer ours."""
        ...

    async def want(
        self, translation_ids: Sequence[int], kinds: Collection[LinkKind], *, again: bool = False
    ) -> Wanted:
        """Make what these have due now, also what was put off or given up; `again`: what is archived, too."""
        ...

    async def want_all(self, kinds: Collection[LinkKind], after: int) -> Wanted:
        """The same for a few of all translations, from behind the number `after` on."""
        ...

    async def rows(self, translation_ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these translations, ordered by number and kind."""
        ...

    async def counts(self, limit: int) -> Mapping[str, int]:
        """How many files wait, are downloaded, and have failed; it counts no further than to `limit`."""
        ...

    async def oldest_missing(self) -> datetime | None:
        """When the translation ended that has waited longest for a file; None where none waits."""
        ...
