"""What the core needs of the outside, as Protocols: the store, HeyGen's status endpoint, the figures."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from tracker.domain.claims import Claim, Due
from tracker.domain.observation import Observation
from tracker.domain.outcome import Outcome
from tracker.domain.page import Page
from tracker.domain.record import Record, RecordResult
from tracker.domain.retention import Kind
from tracker.domain.status import Source
from tracker.domain.translation import Translation

Clock = Callable[[], datetime]
OutcomeRule = Callable[[Translation, Observation], Outcome]
WaitForChange = Callable[[float], Awaitable[bool]]
"""Comes back with True when a change was stored, by whomever, or with False after so many seconds.

All that were stored meanwhile are one piece of news. It raises StoreError, and is then of no use any more.
"""


class Store(Protocol):
    """The database. Every method raises StoreError when it cannot be reached."""

    async def apply(self, records: Sequence[Record], determine_outcome: OutcomeRule) -> list[RecordResult]:
        """Decide and store `records` in order, in one transaction; returns after the commit."""
        ...

    async def claim_due(
        self, now: datetime, requests: int, owner: str, lease: timedelta, due: Due | None = None
    ) -> list[Claim]:
        """Take what nobody holds and is `due` (None: now), as much as `requests` questions can ask about."""
        ...

    async def release(self, claims: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        """Give claims back unpolled, due again at `next_poll_at` (None: as they were)."""
        ...

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        """Raise `overdue` on open translations that have grown too old; returns their ids."""
        ...

    async def recent_end_sources(self, limit: int) -> list[Source]:
        """Whether a webhook or a poll told first of the latest ends, newest first."""
        ...

    async def heard_since_ends(self, limit: int) -> bool:
        """Whether a signed webhook has come since the oldest of the latest `limit` ends was stored."""
        ...

    async def count_open(self, young_since: datetime) -> tuple[int, int]:
        """How many open translations with an id there are: tracked since then, and older ones."""
        ...

    async def oldest_open(self) -> datetime | None:
        """Since when the oldest open translation is tracked; None where all have ended."""
        ...

    async def hasten(self, by: datetime, spacing: timedelta) -> int:
        """Let no open translation be polled later than `by`; returns how many that concerned.

        One that was asked about within `spacing` before `by` may wait until `spacing` after it.
        """
        ...


class Pruner(Protocol):
    """What deletes old rows. Every method raises StoreError."""

    async def prune(self, kind: Kind, before: datetime, limit: int) -> int:
        """Delete at most `limit` rows of this kind that are older; returns how many.

        Fewer where no more can be deleted now. A translation takes its changes along.
        """
        ...

    async def count_old(self, kind: Kind, before: datetime, limit: int) -> int:
        """How many rows of this kind are older; it counts no further than to `limit`."""
        ...

    async def give_back(self, limit: int) -> int:
        """Give at most `limit` pages that are free back to the file system; returns how many."""
        ...


class KeyValueStore(Protocol):
    """What is remembered between runs, as JSON values by name. Every method raises StoreError."""

    async def recall(self, name: str) -> Any:
        """None where nothing is remembered."""
        ...

    async def remember(self, name: str, value: Any) -> None: ...


class AccountStore(Protocol):
    """What the trackers of one account share. Every method raises StoreError."""

    async def meet(self, name: str, now: datetime, silent_since: datetime) -> int:
        """Say that the tracker `name` is here, forget the silent ones; returns how many there are."""
        ...

    async def leave(self, name: str) -> None: ...

    async def recall(self, name: str) -> Any: ...

    async def swap(self, name: str, old: Any, new: Any) -> bool:
        """Remember `new` (None: nothing) where `old` was remembered; False where it was something else."""
        ...


class Reader(Protocol):
    """What pages read; rows are dicts by column name. Every method raises StoreError."""

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
        """Rows ordered by id, from behind the id `after`; `flagged`: those with any attention."""
        ...

    async def get(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows with these numbers, ordered by id."""
        ...

    async def find(self, video_translate_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these ids; unknown ids are missing from the answer."""
        ...

    async def list_changes(self, translation_id: int) -> list[dict[str, Any]]:
        """The history of one translation, oldest first."""
        ...

    async def counts(self) -> list[tuple[str, str | None, int]]:
        """How many translations there are by status and attention."""
        ...

    async def oldest_due(self, now: datetime) -> datetime | None:
        """The due time of the poll that has waited longest; None where nothing is due."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """The one row of the view tracker_health."""
        ...

    async def check(self) -> None:
        """Raise StoreError unless the database answers and its schema is the one we need."""
        ...


class ChangeFeed(Protocol):
    """Where word of changes comes from."""

    def news(self) -> AbstractAsyncContextManager[WaitForChange]:
        """Listen, from the moment that it is entered; raises StoreError then."""
        ...


class StatusSource(Protocol):
    """HeyGen's status endpoint, in the dialect that the account speaks."""

    @property
    def api(self) -> str:
        """v2 or v3."""
        ...

    @property
    def batch_size(self) -> int:
        """How many translations one question can ask about at present."""
        ...

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        """Ask about one translation; raises HeyGenError where no status was learnt."""
        ...

    async def fetch_many(self, video_translate_ids: Sequence[str], at: datetime) -> list[Observation]:
        """Ask about up to `batch_size` at once: one observation each, in order, without urls.

        Raises RefusedError where they must be asked about one by one, and HeyGenError where nothing
        was learnt.
        """
        ...


class Listing(Protocol):
    """HeyGen's list of translations, or its log of events; newest first as a rule, nobody promises it."""

    async def page(self, token: str | None, at: datetime) -> Page:
        """The page behind `token` (None: the first); raises HeyGenError."""
        ...


class Figures(Protocol):
    """Where counts go."""

    def changed(self, new_status: str, source: str) -> None: ...

    def delivered(self, outcome: str, *, duplicate: bool) -> None: ...

    def polled(self, outcome: str) -> None: ...
