"""What the fake store holds, and how records get into it: the rules of tracker/store/intake.py, said again.

They are said again, and not imported, so that the contract tests compare two who know nothing of each other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tracker.domain.decide import Change
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation
from tracker.domain.status import Source, Status
from tracker.domain.translation import Translation
from tracker.domain.verdict import Outcome, Verdict
from tracker.ports import Claim, Judge, Record, Recorded


@dataclass(frozen=True)
class Kept:
    """A delivery as it was told last, and when it came first and last."""

    told: Delivery
    received_at: datetime
    last_received_at: datetime
    times_received: int = 1
    outcome: Outcome = Outcome.ERROR

    def again(self, at: datetime) -> "Kept":
        return replace(self, last_received_at=at, times_received=self.times_received + 1)

    def is_unprocessed(self, now: Delivery) -> bool:
        """Whether there is something left to learn of the same body, as it came now."""
        if now.signed_by is None and self.told.signed_by is not None:
            return False
        newly_signed = self.told.signed_by is None and now.signed_by is not None
        return newly_signed or self.outcome in (Outcome.ERROR, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Changed:
    """A change that was stored."""

    translation_id: int
    change: Change
    source: Source
    observed_at: datetime
    recorded_at: datetime


@dataclass
class Tables:
    """Rows by number; `polled` has the times of the latest answers, which the domain does not know."""

    rows: dict[int, Translation] = field(default_factory=dict)
    claims: dict[int, Claim] = field(default_factory=dict)
    polled: dict[int, datetime] = field(default_factory=dict)
    changes: list[Changed] = field(default_factory=list)
    deliveries: dict[str, Kept] = field(default_factory=dict)

    def copy(self) -> "Tables":
        return Tables(
            dict(self.rows),
            dict(self.claims),
            dict(self.polled),
            list(self.changes),
            dict(self.deliveries),
        )

    def find(self, wanted: Callable[[Translation], bool]) -> list[Translation]:
        return [row for row in self.rows.values() if wanted(row)]

    def hold(self, claim: Claim) -> bool:
        """Whether this very claim still holds its row."""
        held = self.claims.get(claim.translation_id)
        return held is not None and (held.owner, held.until) == (claim.owner, claim.until)


@dataclass
class Intake:
    """Stores records at one moment, in tables that nobody else sees meanwhile."""

    tables: Tables
    judge: Judge
    now: datetime

    def store(self, record: Record) -> Recorded:
        """Store `record` and all that follows from it."""
        if (delivery := record.delivery) is None:
            return self._observe(record)
        known = self.tables.deliveries.get(delivery.body_sha256)
        if known is not None and not known.is_unprocessed(delivery):
            self.tables.deliveries[delivery.body_sha256] = known.again(delivery.received_at)
            return Recorded(outcome=known.outcome, is_duplicate=True)
        at = delivery.received_at
        kept = replace(known.again(at), told=delivery) if known else Kept(delivery, at, at)
        recorded = self._observe(record)
        self.tables.deliveries[delivery.body_sha256] = replace(kept, outcome=recorded.outcome)
        return recorded

    def _observe(self, record: Record) -> Recorded:
        if (seen := record.observation) is None:
            return Recorded(outcome=record.outcome)
        found = self._find(record, seen)
        if (record.claim and not found) or self._is_undone(found, seen):
            return Recorded(outcome=Outcome.UNCHANGED)
        waiting = self._bind(found, seen)
        found = waiting or found
        is_new = not found and record.adopt and _can_be_tracked(seen)
        results = [self._apply(row, record, seen) for row in (self._begin(seen) if is_new else found)]
        if not results:
            return Recorded(outcome=Outcome.UNKNOWN)
        first = replace(results[0], is_bound=bool(waiting))
        as_new = Outcome.HINT if seen.hint else Outcome.APPLIED
        return replace(first, is_new=True, outcome=as_new) if is_new else first

    def _find(self, record: Record, seen: Observation) -> list[Translation]:
        """Whom it is about."""
        tables, callback_id = self.tables, seen.callback_id
        if (claim := record.claim) is not None:
            return [tables.rows[claim.translation_id]] if tables.hold(claim) else []
        if (number := record.translation_id) is not None:
            return tables.find(lambda row: row.id == number and row.video_translate_id is None)
        if seen.video_translate_id is not None:
            return tables.find(lambda row: row.video_translate_id == seen.video_translate_id)
        named = [] if callback_id is None else tables.find(lambda row: row.callback_id == callback_id)
        if seen.hint:
            return [row for row in named if not row.status.is_final]
        return self._waiting(seen) or named[:1]

    def _waiting(self, seen: Observation) -> list[Translation]:
        """The row that waits for the id of this callback_id: open, of the same language, the oldest."""
        waiting = self.tables.find(
            lambda row: row.callback_id == seen.callback_id and row.video_translate_id is None
        )
        preference = {None: 1, seen.details.output_language: 0}
        return sorted(
            waiting, key=lambda row: (row.status.is_final, preference.get(row.details.output_language, 2))
        )[:1]

    def _is_undone(self, found: Iterable[Translation], seen: Observation) -> bool:
        """Whether the log speaks of an end that a person has undone since."""
        if seen.source is not Source.EVENT_LOG or seen.status is None:
            return False
        by_hand = {
            one.translation_id: one.observed_at for one in self.tables.changes if one.source is Source.MANUAL
        }
        return any(
            row.id in by_hand
            and not row.status.is_final
            and (seen.occurred_at is None or seen.occurred_at <= by_hand[row.id])
            for row in found
        )

    def _bind(self, found: list[Translation], seen: Observation) -> list[Translation]:
        """Give the id to the row that waits for it; what only an unsigned hint had made goes."""
        if not seen.authentic or seen.video_translate_id is None or seen.callback_id is None:
            return []
        if not all(map(self._is_from_a_hint, found)) or not (waiting := self._waiting(seen)):
            return []
        for stand_in in found:
            del self.tables.rows[stand_in.id]
        bound = replace(waiting[0], video_translate_id=seen.video_translate_id, next_poll_at=self.now)
        self.tables.rows[bound.id] = bound
        return [bound]

    def _is_from_a_hint(self, row: Translation) -> bool:
        return (
            row.callback_id is None
            and row.status is Status.PENDING
            and any(
                kept.told.video_translate_id == row.video_translate_id
                and kept.received_at == row.created_at
                and kept.outcome is Outcome.HINT
                for kept in self.tables.deliveries.values()
            )
        )

    def _begin(self, seen: Observation) -> list[Translation]:
        new = Translation(
            id=max(self.tables.rows, default=0) + 1,
            video_translate_id=seen.video_translate_id,
            callback_id=seen.callback_id if seen.authentic else None,
            status=Status.PENDING,
            created_at=seen.observed_at,
            next_poll_at=seen.observed_at,
        )
        self.tables.rows[new.id] = new
        return [new]

    def _apply(self, current: Translation, record: Record, seen: Observation) -> Recorded:
        verdict = self.judge(current, seen)
        after = self.tables.rows[current.id] = written(current, verdict)
        if record.claim is not None:
            self.tables.claims.pop(current.id, None)
        if "last_polled_at" in verdict.updates:
            self.tables.polled[current.id] = seen.observed_at
        if verdict.change is not None:
            change = Changed(current.id, verdict.change, seen.source, seen.observed_at, self.now)
            self.tables.changes.append(change)
        return Recorded(
            outcome=verdict.outcome,
            translation_id=current.id,
            video_translate_id=current.video_translate_id,
            change=verdict.change,
            finished_at=after.finished_at,
            recorded_at=self.now,
            attention=after.attention if "attention" in verdict.updates else None,
        )


def _can_be_tracked(seen: Observation) -> bool:
    return seen.video_translate_id is not None or (seen.callback_id is not None and not seen.hint)


def written(current: Translation, verdict: Verdict) -> Translation:
    """The translation once the verdict is written, as the store would read it again."""
    status = verdict.change.new if verdict.change else current.status
    return with_columns(current, {**verdict.updates, "status": status})


def with_columns(current: Translation, columns: dict[str, object]) -> Translation:
    """The translation with these columns; those that the domain does not know are left out."""
    mine = {name: value for name, value in columns.items() if name in Translation.__dataclass_fields__}
    told = {name: value for name, value in columns.items() if name in Details.__dataclass_fields__}
    details = replace(current.details, **told)  # type: ignore[arg-type]
    return replace(current, **mine | {"details": details})  # type: ignore[arg-type]
