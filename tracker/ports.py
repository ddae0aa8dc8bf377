"""What the core needs of the outside, as Protocols: the store, HeyGen's status endpoint, the figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from tracker.domain.decide import Change
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source
from tracker.domain.translation import Translation
from tracker.domain.verdict import Outcome, Verdict

Clock = Callable[[], datetime]
Judge = Callable[[Translation, Observation], Verdict]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to poll one translation, until `until`; nobody else polls it meanwhile."""

    translation_id: int
    video_translate_id: str
    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What goes through the one door: an observation, with the delivery or the claim it came by.

    A delivery without an observation is kept all the same; `outcome` then says what it is.
    """

    observation: Observation | None = None
    delivery: Delivery | None = None
    claim: Claim | None = None
    outcome: Outcome = Outcome.IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a record, once it is committed."""

    outcome: Outcome
    translation_id: int | None = None
    video_translate_id: str | None = None
    is_new: bool = False
    is_duplicate: bool = False
    change: Change | None = None
    finished_at: datetime | None = None
    recorded_at: datetime | None = None
    attention: Attention | None = None  # only where this record raised it


class Store(Protocol):
    """The database. Every method raises StoreError when it cannot be reached."""

    async def apply(self, records: Sequence[Record], judge: Judge) -> list[Recorded]:
        """Decide and store `records` in order, in one transaction; returns after the commit."""
        ...

    async def claim_due(
        self, now: datetime, limit: int, owner: str, lease: timedelta, due_by: datetime | None = None
    ) -> list[Claim]:
        """Take up to `limit` translations that nobody holds and whose poll is due by `due_by` (None: now)."""
        ...

    async def release(self, claims: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        """Give claims back unpolled, due again at `next_poll_at` (None: as they were)."""
        ...

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        """Raise `overdue` on open translations that have grown too old; returns their ids."""
        ...

    async def recent_end_sources(self, limit: int) -> list[Source]:
        """Who first reported the latest ends, newest first."""
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


@dataclass(frozen=True, slots=True)
class PollerState:
    """When the poller last ticked, and why and until when it rests."""

    last_tick: datetime | None
    paused: str | None = None
    until: datetime | None = None


class StatusSource(Protocol):
    """HeyGen's status endpoint."""

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        """Ask about one translation; raises HeyGenError where no status was learnt."""
        ...


class Figures(Protocol):
    """Where counts go."""

    def changed(self, new_status: str, source: str) -> None: ...

    def delivered(self, outcome: str, *, duplicate: bool) -> None: ...

    def polled(self, outcome: str) -> None: ...
