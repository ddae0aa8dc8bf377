"""The store's port in memory: what the core's tests have in the stead of a database.

tests/contract proves that it does what the real ones do. It has no pages, no retention and no submissions.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import NOON, translation
from tests.fake_intake import Changed, Intake, Tables
from tracker.domain.decide import Change
from tracker.domain.links import RENEWED_BEFORE
from tracker.domain.observation import ProblemKind
from tracker.domain.status import RACING, Attention, Source, Status
from tracker.domain.translation import Translation
from tracker.errors import StoreError
from tracker.ports import Claim, Clock, Due, Judge, Record, Recorded

PATIENCE_ALONE = timedelta(minutes=1)
PUT_OFF = timedelta(hours=1)


@dataclass
class FakeStore:
    """`broken` makes every method fail, `poison` only what applies; `hold` makes claims and writes wait.

    `records`, `released`, `wanted` and `hastened` are what it was asked for.
    """

    clock: Clock = lambda: NOON
    tables: Tables = field(default_factory=Tables)
    instances: dict[str, datetime] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)  # as JSON, so that nobody shares a value
    records: list[Record] = field(default_factory=list)
    released: list[tuple[Claim, datetime | None]] = field(default_factory=list)
    wanted: list[Due] = field(default_factory=list)
    hastened: list[datetime] = field(default_factory=list)
    broken: Exception | None = None
    poison: Exception | None = None
    hold: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def rows(self) -> dict[int, Translation]:
        return self.tables.rows

    @property
    def claims(self) -> dict[int, Claim]:
        return self.tables.claims

    def add(self, *video_translate_ids: str) -> None:
        """Track these ids, due at noon."""
        for name in video_translate_ids:
            number = max(self.rows, default=0) + 1
            self.rows[number] = translation(id=number, video_translate_id=name)

    def row(self, video_translate_id: str) -> Translation:
        return next(row for row in self.rows.values() if row.video_translate_id == video_translate_id)

    def end(self, *sources: Source) -> None:
        """One translation after another has ended, first told by these."""
        for source in sources:
            number = max(self.rows, default=0) + 1
            name, status = f"ended-{number}", Status.SUCCESS
            self.rows[number] = translation(
                id=number, video_translate_id=name, status=status, next_poll_at=None
            )
            change, now = Change(Status.RUNNING, status), self.clock()
            self.tables.changes.append(Changed(number, change, source, now, now))

    async def _ready(self) -> None:
        self.waiting.set()
        if self.hold is not None:
            await self.hold.wait()
        self._answer()

    def _answer(self) -> None:
        if self.broken is not None:
            self.failed.set()
            raise self.broken

    # Recording

    async def apply(self, records: Sequence[Record], judge: Judge) -> list[Recorded]:
        await self._ready()
        if self.poison is not None:
            raise self.poison
        self.records += records
        intake = Intake(self.tables.copy(), judge, self.clock())
        results = [intake.store(record) for record in records]
        self.tables = intake.tables  # all of it, or nothing where the rules raised
        return results

    # Claims

    async def claim_due(
        self, now: datetime, requests: int, owner: str, lease: timedelta, due: Due | None = None
    ) -> list[Claim]:
        await self._ready()
        wanted = due or Due(now, now)
        self.wanted.append(wanted)
        return _Claimer(self.tables, now, owner, now + lease).take_all(requests, wanted)

    async def claim_links(
        self, translation_id: int, poll_count: int, now: datetime, owner: str, lease: timedelta
    ) -> Claim | None:
        await self._ready()
        claimer = _Claimer(self.tables, now, owner, now + lease)
        row = self.rows.get(translation_id)
        if row is None or _is_open(row) or row.poll_count != poll_count or not claimer.is_free(row):
            return None
        return claimer.hold(row)

    async def claim_renewal(self, now: datetime, owner: str, lease: timedelta) -> Claim | None:
        await self._ready()
        claimer = _Claimer(self.tables, now, owner, now + lease)
        due = self.tables.find(lambda row: claimer.is_free(row) and _renewed_at(row, now) <= now)
        if not due:
            return None
        first = min(due, key=lambda row: (row.renew_links_at is None, _renewed_at(row, now)))
        self.rows[first.id] = replace(first, renew_links_at=now + PUT_OFF)
        return claimer.hold(first)

    async def release(self, claims: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        await self._ready()
        for claim in claims:
            self.released.append((claim, next_poll_at))
            if not self.tables.hold(claim):
                continue
            del self.claims[claim.translation_id]
            row = self.rows[claim.translation_id]
            if next_poll_at is not None and row.next_poll_at is not None:
                self.rows[row.id] = replace(row, next_poll_at=next_poll_at)

    async def hasten(self, by: datetime, spacing: timedelta) -> int:
        await self._ready()
        self.hastened.append(by)
        count = 0
        for row in self._open_with_id():
            polled = self.tables.polled.get(row.id)
            wanted = by + spacing if polled is not None and polled > by - spacing else by
            if row.next_poll_at is not None and row.next_poll_at > wanted:
                self.rows[row.id] = replace(row, next_poll_at=wanted)
                count += 1
        return count

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        await self._ready()
        late = self.tables.find(
            lambda row: _is_open(row) and row.attention is None and row.created_at < now - overdue_after
        )
        late.sort(key=lambda row: row.created_at)
        for row in late:
            self.rows[row.id] = replace(row, attention=Attention.OVERDUE, attention_since=now)
        return [row.video_translate_id or f"callback_id {row.callback_id}" for row in late]

    # What polling is planned with

    def _open_with_id(self) -> list[Translation]:
        return self.tables.find(lambda row: _is_open(row) and row.video_translate_id is not None)

    async def count_open(self, young_since: datetime) -> tuple[int, int]:
        await self._ready()
        began = [
            min(row.created_at, row.details.provider_created_at or row.created_at)
            for row in self._open_with_id()
        ]
        young = sum(at > young_since for at in began)
        return young, len(began) - young

    async def oldest_open(self) -> datetime | None:
        await self._ready()
        return min((row.created_at for row in self.tables.find(_is_open)), default=None)

    def _latest_ends(self, limit: int) -> list[Changed]:
        ends = [
            one
            for one in self.tables.changes
            if one.change.new.is_final and not one.change.old.is_final and one.source in RACING
        ]
        return ends[::-1][:limit]

    async def recent_end_sources(self, limit: int) -> list[Source]:
        await self._ready()
        return [one.source for one in self._latest_ends(limit)]

    async def heard_since_ends(self, limit: int) -> bool:
        await self._ready()
        oldest = min((one.recorded_at for one in self._latest_ends(limit)), default=None)
        return oldest is not None and any(
            kept.told.signed_by is not None and kept.last_received_at >= oldest
            for kept in self.tables.deliveries.values()
        )

    # What the trackers of an account share

    async def meet(self, name: str, now: datetime, silent_since: datetime) -> int:
        self._answer()
        heard_of = {one: at for one, at in self.instances.items() if at >= silent_since}
        self.instances = heard_of | {name: now}
        return len(self.instances)

    async def leave(self, name: str) -> None:
        self._answer()
        self.instances.pop(name, None)

    async def recall(self, name: str) -> Any:
        self._answer()
        return json.loads(self.remembered.get(name, "null"))

    async def remember(self, name: str, value: Any) -> None:
        self._answer()
        self.remembered[name] = json.dumps(value)

    async def swap(self, name: str, old: Any, new: Any) -> bool:
        self._answer()
        if self.remembered.get(name, "null") != json.dumps(old):
            return False
        if new is None:
            self.remembered.pop(name, None)
        else:
            self.remembered[name] = json.dumps(new)
        return True


@dataclass(frozen=True)
class _Claimer:
    tables: Tables
    now: datetime
    owner: str
    until: datetime

    def take(
        self, which: Callable[[Translation], bool], limit: int, due_by: datetime, *, alone: bool = True
    ) -> list[Claim]:
        """Claim what is due longest; what is asked about early counts as due now."""
        due = self.tables.find(lambda row: which(row) and self.is_free(row) and _is_due(row, due_by))
        due.sort(key=_due_at)
        taken = []
        for row in due[: max(limit, 0)]:
            self.tables.rows[row.id] = replace(row, next_poll_at=min(_due_at(row), self.now))
            taken.append(self.hold(row, alone=alone))
        return taken

    def hold(self, row: Translation, *, alone: bool = True) -> Claim:
        claim = Claim(row.id, row.video_translate_id or "", self.owner, self.until, alone)
        self.tables.claims[row.id] = claim
        return claim

    def take_all(self, requests: int, due: Due) -> list[Claim]:
        """Half for those that have waited for a question of their own, then whole bulk questions."""
        half = (requests + due.alone_first) // 2
        waited = self.take(_wants_its_own, half, due.by - PATIENCE_ALONE)
        left = requests - len(waited)
        is_bulk = due.batch > 1
        bulk = self.take(_fits_in_bulk, left * due.batch, due.by, alone=not is_bulk)
        bulk += self.take(_fits_in_bulk, -len(bulk) % due.batch, due.soon, alone=not is_bulk)
        left -= -(-len(bulk) // due.batch)
        return waited + bulk + self.take(_wants_its_own, left, due.by)

    def is_free(self, row: Translation) -> bool:
        held = self.tables.claims.get(row.id)
        return row.video_translate_id is not None and (held is None or held.until <= self.now)


def _is_open(row: Translation) -> bool:
    return not row.status.is_final


def _renewed_at(row: Translation, now: datetime) -> datetime:
    """When its links are due for renewal: what nobody has planned, a day before its video's link ends."""
    never = datetime.max.replace(tzinfo=UTC)
    is_polled = row.next_poll_at is not None and row.next_poll_at <= now
    if row.status is not Status.SUCCESS or is_polled:
        return never
    unplanned = row.url_expires_at - RENEWED_BEFORE if row.url_expires_at else never
    return row.renew_links_at or unplanned


def _is_due(row: Translation, by: datetime) -> bool:
    return row.next_poll_at is not None and row.next_poll_at <= by


def _due_at(row: Translation) -> datetime:
    assert row.next_poll_at is not None
    return row.next_poll_at


def _wants_its_own(row: Translation) -> bool:
    """Ended, or missing from a bulk answer: that is believed only once it was asked about alone."""
    is_missing = (row.last_error or "").startswith(f"{ProblemKind.NOT_FOUND}:")
    return not _is_open(row) or (is_missing and row.attention is not Attention.NOT_FOUND)


def _fits_in_bulk(row: Translation) -> bool:
    return not _wants_its_own(row)


STORE_IS_DOWN = StoreError("the database did not do it: disk I/O error")
