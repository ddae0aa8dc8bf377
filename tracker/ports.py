"""What the core needs of the outside, as Protocols: the store, HeyGen's status endpoint, the figures."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from tracker.domain.decide import Change
from tracker.domain.delivery import Delivery
from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation
from tracker.domain.retention import Kind
from tracker.domain.status import Attention, Source
from tracker.domain.translation import Translation
from tracker.domain.verdict import Outcome, Verdict

Clock = Callable[[], datetime]
Judge = Callable[[Translation, Observation], Verdict]
News = Callable[[float], Awaitable[bool]]
"""Comes back with True when a change was stored, by whomever, or with False after so many seconds.

All that were stored meanwhile are one piece of news. It raises StoreError, and is then of no use any more.
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to poll one translation, until `until`; nobody else polls it meanwhile.

    `alone`: it wants a question of its own, because the bulk answer lacks what is needed.
    """

    translation_id: int
    video_translate_id: str
    owner: str
    until: datetime
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Due:
    """What counts as due: by `by`, and to fill a bulk question that is asked anyway, by `soon`.

    `batch` is how many translations one bulk question can ask about. `alone_first`: the odd question
    goes to those that have waited long for one of their own.
    """

    by: datetime
    soon: datetime
    batch: int = 1
    alone_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What goes through the one door: an observation, with the delivery or the claim it came by.

    A delivery without an observation is kept all the same; `outcome` then says what it is.
    `adopt` False: what nobody tracks stays untracked. `translation_id`: it is about that row, as
    long as it waits for its video_translate_id: a callback_id can be shared, and names no single row.
    """

    observation: Observation | None = None
    delivery: Delivery | None = None
    claim: Claim | None = None
    outcome: Outcome = Outcome.IGNORED
    adopt: bool = True
    translation_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a record, once it is committed."""

    outcome: Outcome
    translation_id: int | None = None
    video_translate_id: str | None = None
    is_new: bool = False
    is_bound: bool = False  # a row that waited for its video_translate_id got it
    is_duplicate: bool = False
    change: Change | None = None
    finished_at: datetime | None = None
    recorded_at: datetime | None = None
    attention: Attention | None = None  # only where this record raised it
    links: frozenset[LinkKind] = frozenset()  # of a success, where this record brought it or one of them


class Store(Protocol):
    """The database. Every method raises StoreError when it cannot be reached."""

    async def apply(self, records: Sequence[Record], judge: Judge) -> list[Recorded]:
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


class Memory(Protocol):
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


class NewsSource(Protocol):
    """Where word of changes comes from."""

    def news(self) -> AbstractAsyncContextManager[News]:
        """Listen, from the moment that it is entered; raises StoreError then."""
        ...


@dataclass(frozen=True, slots=True)
class PollerState:
    """When the poller last ticked, why and until when it rests, and how polling goes.

    `staleness` is the longest time without a question about a young translation, as planned, and
    `promised` what max_staleness allows, both in seconds. `knows_translations` False: HeyGen does not
    know what this account is asked about. `webhook_problems` are those of the endpoint's watch.
    `instances`: the trackers of this database that poll.
    """

    last_tick: datetime | None
    paused: str | None = None
    until: datetime | None = None
    api: str | None = None
    mode: str | None = None
    staleness: float | None = None
    promised: float | None = None
    knows_translations: bool = True
    webhook_problems: Sequence[str] = ()
    delivery_rate: float | None = None
    instances: int = 1


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


@dataclass(frozen=True, slots=True)
class Page:
    """One page of HeyGen's list or event log. `next_token` None: it ends here.

    `ignored` counts what is none of ours, `unreadable` what could not be understood; `cut` says why
    the end is not to be trusted. `times`: HeyGen's own times of all that is on it, in the page's order.
    """

    observations: Sequence[Observation]
    next_token: str | None = None
    ignored: int = 0
    unreadable: int = 0
    cut: str | None = None
    times: Sequence[datetime] = ()


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
