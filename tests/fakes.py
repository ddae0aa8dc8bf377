"""Stand-ins for the ports: a store in a dict, a HeyGen that obeys, a clock that stands still."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.builders import NOON, observation, translation
from tracker.domain.observation import Details, Observation, Problem, ProblemKind
from tracker.domain.status import Source, Status
from tracker.domain.translation import Translation
from tracker.domain.verdict import Verdict
from tracker.errors import NotFoundError, StoreError
from tracker.ports import Claim, Due, Judge, Record, Recorded


class FakeClock:
    """Stands at noon until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeFigures:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.links: Counter[tuple[str, bool]] = Counter()
        self.changes: Counter[tuple[str, str]] = Counter()
        self.deliveries: Counter[tuple[str, bool]] = Counter()
        self.polls: Counter[str] = Counter()
        self._news = asyncio.Event()

    def changed(self, new_status: str, source: str) -> None:
        self.changes[new_status, source] += 1

    def delivered(self, outcome: str, *, duplicate: bool) -> None:
        self.deliveries[outcome, duplicate] += 1

    def link_renewed(self, cause: str) -> None:
        self.links[cause, True] += 1

    def link_not_renewed(self, cause: str) -> None:
        self.links[cause, False] += 1

    def polled(self, outcome: str) -> None:
        self.polls[outcome] += 1
        self._news.set()

    async def until(self, outcome: str, times: int = 1) -> None:
        """Wait until so many polls had this outcome."""
        while self.polls[outcome] < times:
            self._news.clear()
            await self._news.wait()


class FakeHeyGen:
    """Answers `every`, or what `answers` holds for an id, once `gate` (and its event in `slow`) is set."""

    def __init__(self, **answers: Status | Exception) -> None:
        self.answers: dict[str, Status | Exception] = dict(answers)
        self.every: Status | str | Exception = Status.RUNNING
        self.gate: asyncio.Event | None = None
        self.slow: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.asked_at: list[datetime] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.begun = asyncio.Event()
        self.before_answering: Callable[[str], None] = lambda _id: None
        self.api = "v2"
        self.batch_size = 1
        self.bulk_answer: Exception | None = None
        self.before_refusing: Callable[[], None] = lambda: None
        self.asked_together: list[list[str]] = []

    async def fetch_many(self, video_translate_ids: Sequence[str], at: datetime) -> list[Observation]:
        """As `fetch`, without urls, and about many; `bulk_answer` is raised where there is one."""
        self.asked_together.append(list(video_translate_ids))
        if self.bulk_answer is not None:
            self.before_refusing()
            raise self.bulk_answer
        return [await self._status(one, at) for one in video_translate_ids]

    async def _status(self, video_translate_id: str, at: datetime) -> Observation:
        try:
            return replace(await self.fetch(video_translate_id, at), partial=True)
        except NotFoundError as error:
            problem = Problem(ProblemKind.NOT_FOUND, str(error))
            return observation(
                video_translate_id=video_translate_id, observed_at=at, problem=problem, provider_status=None
            )

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        self.asked.append(video_translate_id)
        self.asked_at.append(at)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.begun.set()
        try:
            await asyncio.sleep(0)  # a request takes a turn of the loop at least
            for event in (self.gate, self.slow.get(video_translate_id)):
                if event is not None:
                    await event.wait()
        finally:
            self.in_flight -= 1
        self.before_answering(video_translate_id)
        said = self.answers.get(video_translate_id, self.every)
        if isinstance(said, Exception):
            raise said
        return observation(
            status=said if isinstance(said, Status) else None,
            provider_status=str(said),
            video_translate_id=video_translate_id,
            observed_at=at,
        )


@dataclass
class FakeStore:
    """Translations in a dict; `broken` makes every method fail, `hold` makes claims and writes wait."""

    rows: dict[int, Translation] = field(default_factory=dict)
    claims: dict[int, Claim] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    released: list[tuple[Claim, datetime | None]] = field(default_factory=list)
    answers: list[Recorded] = field(default_factory=list)
    ends: list[Source] = field(default_factory=list)
    heard: bool = False  # whether a signed webhook has come since those
    overdue: list[str] = field(default_factory=list)
    hastened: list[datetime] = field(default_factory=list)
    wanted: list[Due] = field(default_factory=list)  # what each claim asked for
    instances: dict[str, datetime] = field(default_factory=dict)
    remembered: dict[str, Any] = field(default_factory=dict)
    broken: Exception | None = None
    poison: Exception | None = None  # what applying raises, while the rest works
    hold: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, *video_translate_ids: str) -> None:
        """Track these ids, due at noon."""
        for name in video_translate_ids:
            number = len(self.rows) + 1
            self.rows[number] = translation(id=number, video_translate_id=name)

    def row(self, video_translate_id: str) -> Translation:
        return next(row for row in self.rows.values() if row.video_translate_id == video_translate_id)

    async def _ready(self) -> None:
        self.waiting.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.broken is not None:
            self.failed.set()
            raise self.broken

    async def apply(self, records: Sequence[Record], judge: Judge) -> list[Recorded]:
        await self._ready()
        if self.poison is not None:
            raise self.poison
        self.records += records
        if self.answers:
            return [self.answers.pop(0) for _ in records]
        return [self._apply(record, judge) for record in records]

    def _apply(self, record: Record, judge: Judge) -> Recorded:
        seen, held = record.observation, record.claim
        assert seen is not None
        assert held is not None
        current = self.rows[held.translation_id]
        verdict = judge(current, seen)
        self.rows[current.id] = written(current, verdict)
        self.claims.pop(current.id, None)
        return Recorded(outcome=verdict.outcome, translation_id=current.id, change=verdict.change)

    async def claim_due(
        self, now: datetime, requests: int, owner: str, lease: timedelta, due: Due | None = None
    ) -> list[Claim]:
        await self._ready()
        wanted = due or Due(now, now)
        self.wanted.append(wanted)
        waiting = [
            row
            for row in self.rows.values()
            if row.next_poll_at is not None
            and row.next_poll_at <= (wanted.by if wanted.batch == 1 else wanted.soon)
            and row.video_translate_id is not None
            and (row.id not in self.claims or self.claims[row.id].until <= now)
        ]
        waiting.sort(key=lambda row: row.next_poll_at or now)
        is_due = bool(waiting) and (waiting[0].next_poll_at or now) <= wanted.by
        taken = waiting[: requests * wanted.batch] if is_due else []
        for row in taken:
            alone = row.status.is_final or wanted.batch == 1
            self.claims[row.id] = Claim(row.id, row.video_translate_id or "", owner, now + lease, alone)
        return [self.claims[row.id] for row in taken]

    async def meet(self, name: str, now: datetime, silent_since: datetime) -> int:
        self.instances = {one: at for one, at in self.instances.items() if at >= silent_since} | {name: now}
        return len(self.instances)

    async def leave(self, name: str) -> None:
        self.instances.pop(name, None)

    async def recall(self, name: str) -> Any:
        return self.remembered.get(name)

    async def swap(self, name: str, old: Any, new: Any) -> bool:
        if self.remembered.get(name) != old:
            return False
        self.remembered[name] = new
        return True

    async def count_open(self, young_since: datetime) -> tuple[int, int]:
        await self._ready()
        ages = [row.created_at > young_since for row in self.rows.values() if not row.status.is_final]
        return sum(ages), len(ages) - sum(ages)

    async def oldest_open(self) -> datetime | None:
        await self._ready()
        return min((row.created_at for row in self.rows.values() if not row.status.is_final), default=None)

    async def hasten(self, by: datetime, spacing: timedelta) -> int:
        await self._ready()
        late = [row for row in self.rows.values() if row.next_poll_at and row.next_poll_at > by]
        for row in late:
            self.rows[row.id] = replace(row, next_poll_at=by)
        self.hastened.append(by)
        return len(late)

    async def claim_links(
        self, translation_id: int, poll_count: int, now: datetime, owner: str, lease: timedelta
    ) -> Claim | None:
        await self._ready()
        row, held = self.rows[translation_id], self.claims.get(translation_id)
        if not row.status.is_final or row.poll_count != poll_count or (held and held.until > now):
            return None
        self.claims[row.id] = Claim(row.id, row.video_translate_id or "", owner, now + lease)
        return self.claims[row.id]

    async def claim_renewal(self, now: datetime, owner: str, lease: timedelta) -> Claim | None:
        await self._ready()
        due = [row for row in self.rows.values() if row.renew_links_at and row.renew_links_at <= now]
        free = [row for row in due if row.id not in self.claims or self.claims[row.id].until <= now]
        if not free:
            return None
        first = min(free, key=lambda row: row.renew_links_at or now)
        self.claims[first.id] = Claim(first.id, first.video_translate_id or "", owner, now + lease)
        return self.claims[first.id]

    async def release(self, claims: Sequence[Claim], next_poll_at: datetime | None = None) -> None:
        await self._ready()
        for claim in claims:
            self.released.append((claim, next_poll_at))
            self.claims.pop(claim.translation_id, None)
            row = self.rows[claim.translation_id]
            if next_poll_at is not None and row.next_poll_at is not None:
                self.rows[row.id] = replace(row, next_poll_at=next_poll_at)

    async def flag_overdue(self, now: datetime, overdue_after: timedelta) -> list[str]:
        await self._ready()
        return self.overdue

    async def recent_end_sources(self, limit: int) -> list[Source]:
        await self._ready()
        return self.ends[:limit]

    async def heard_since_ends(self, limit: int) -> bool:
        await self._ready()
        return self.heard


def written(current: Translation, verdict: Verdict) -> Translation:
    """The translation once the verdict is written, as the store would read it again."""
    updates: Mapping[str, object] = verdict.updates
    mine = {name: value for name, value in updates.items() if name in Translation.__dataclass_fields__}
    told = {name: value for name, value in updates.items() if name in Details.__dataclass_fields__}
    details = replace(current.details, **told)  # type: ignore[arg-type]
    status = verdict.change.new if verdict.change else current.status
    return replace(current, **mine | {"details": details, "status": status})  # type: ignore[arg-type]


STORE_IS_DOWN = StoreError("the database did not do it: disk I/O error")
