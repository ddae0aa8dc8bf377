"""Group commit: records that arrive together are read, decided and stored with few statements.

What is not plain, because it concerns rows by their callback_id or mends what is stored, goes one by
one through Intake, in its place among the others.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Column, Connection, CursorResult, Row, Select, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tracker.domain.claims import Claim
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.ports import OutcomeRule
from tracker.domain.record import Record, RecordResult
from tracker.domain.status import Source
from tracker.domain.translation import Translation
from tracker.store.effects import Effect, as_new, body_row, delivery_row, effect_of, new_translation_row
from tracker.store.intake import Intake, is_unprocessed
from tracker.store.rows import COLUMNS, as_translation
from tracker.store.tables import (
    WAITS_FOR_ID,
    changes,
    deliveries,
    delivery_bodies,
    link_changes,
    translations,
)
from tracker.store.writer import LostRaceError

KNOWN_DELIVERIES = select(
    deliveries.c.id, deliveries.c.body_sha256, deliveries.c.outcome, deliveries.c.signed_by
)
KNOWN_TRANSLATIONS = select(*COLUMNS, translations.c.claimed_by, translations.c.claimed_until)
WAITING = select(translations.c.callback_id).where(WAITS_FOR_ID)
NEW_TRANSLATIONS = insert(translations).returning(*COLUMNS)
NEW_DELIVERIES = insert(deliveries).returning(deliveries.c.id, deliveries.c.body_sha256)
COUNT_AGAIN = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("known"))
    .values(times_received=deliveries.c.times_received + 1, last_received_at=bindparam("at"))
)
UNCHANGED = (translations.c.id == bindparam("known"), translations.c.status == bindparam("judged"))
STILL_CLAIMED = (
    translations.c.claimed_by == bindparam("owner"),
    translations.c.claimed_until == bindparam("until"),
)


@dataclass(frozen=True, slots=True)
class ToStore:
    """A record, and the rules that hold for it."""

    record: Record
    determine_outcome: OutcomeRule

    @property
    def body(self) -> str | None:
        """Which delivery it brings."""
        return self.record.delivery.body_sha256 if self.record.delivery else None

    @property
    def name(self) -> str | None:
        """The id of the translation that it is about."""
        claim, seen = self.record.claim, self.record.observation
        about = claim or seen
        return about.video_translate_id if about else None


def store_all(connection: Connection, given: Iterable[ToStore], now: datetime) -> list[RecordResult]:
    """Store the records in order; raises LostRaceError where another program was quicker."""
    results: list[RecordResult] = []
    for run in _runs(given):
        results += _Run(connection, now, run).store()
    return results


def _runs(given: Iterable[ToStore]) -> Iterator[list[ToStore]]:
    """Cut where a record is about the same body or translation as one before it, whose effect it must see."""
    run: list[ToStore] = []
    met: set[tuple[str, str]] = set()
    for one in given:
        keys = {(what, key) for what, key in (("body", one.body), ("name", one.name)) if key is not None}
        if keys & met:
            yield run
            run, met = [], set()
        run.append(one)
        met |= keys
    if run:
        yield run


@dataclass(slots=True)
class _Plain:
    """A record that needs nothing but the row of its id; `current` None: it concerns none."""

    given: ToStore
    place: int
    current: Translation | None = None
    effect: Effect | None = None
    is_new: bool = False

    @property
    def record(self) -> Record:
        return self.given.record

    @property
    def seen(self) -> Observation:
        return cast("Observation", self.record.observation)

    def determine_outcome(self, now: datetime) -> None:
        if self.current is not None:
            self.effect = effect_of(self.record, self.seen, self.current, self.given.determine_outcome, now)

    @property
    def recorded(self) -> RecordResult:
        if self.effect is not None:
            result = self.effect.result
            return as_new(result, self.seen) if self.is_new else result
        if self.record.observation is None:
            return RecordResult(outcome=self.record.outcome)
        return RecordResult(
            outcome=DeliveryOutcome.UNCHANGED if self.record.claim else DeliveryOutcome.UNKNOWN
        )


@dataclass(slots=True)
class _Run:
    """Records about different bodies and translations, stored on one connection at one moment."""

    connection: Connection
    now: datetime
    given: Sequence[ToStore]
    deliveries: Mapping[str, Row[Any]] = field(init=False, default_factory=dict)
    translations: Mapping[str, Row[Any]] = field(init=False, default_factory=dict)
    waiting: set[str] = field(init=False, default_factory=set)  # callback_ids of rows that have no id yet
    touched: set[str] = field(init=False, default_factory=set)  # those of what was not plain
    plain: list[_Plain] = field(init=False, default_factory=list)
    again: list[Mapping[str, object]] = field(init=False, default_factory=list)
    results: dict[int, RecordResult] = field(init=False, default_factory=dict)

    def store(self) -> list[RecordResult]:
        if len(self.given) == 1:
            self._store_alone(0, self.given[0])
            return [self.results[0]]
        self._look()
        for place, one in enumerate(self.given):
            if self._is_counted_again(place, one.record):
                continue
            if self._is_plain(one):
                self.plain.append(_Plain(one, place))
            else:
                self._store_alone(place, one)
        self._flush()
        return [self.results[place] for place in range(len(self.given))]

    def _look(self) -> None:
        """Everything that plain records need, in three questions."""
        bodies = self._ask(KNOWN_DELIVERIES, deliveries.c.body_sha256, [one.body for one in self.given])
        self.deliveries = {row.body_sha256: row for row in bodies}
        names = [one.name for one in self.given]
        rows = self._ask(KNOWN_TRANSLATIONS, translations.c.video_translate_id, names)
        self.translations = {row.video_translate_id: row for row in rows}
        seen = [one.record.observation for one in self.given]
        waiting = self._ask(WAITING, translations.c.callback_id, [one and one.callback_id for one in seen])
        self.waiting = {row.callback_id for row in waiting}

    def _ask(self, wanted: Select[Any], column: Column[Any], values: Sequence[object]) -> Iterable[Row[Any]]:
        named = [value for value in values if value is not None]
        return self.connection.execute(wanted.where(column.in_(named))) if named else ()

    # What is plain

    def _is_counted_again(self, place: int, record: Record) -> bool:
        """True for a body that was stored before and has nothing new to tell."""
        known = self.deliveries.get(record.delivery.body_sha256) if record.delivery else None
        if record.delivery is None or known is None or is_unprocessed(known, record.delivery):
            return False
        self.again.append({"known": known.id, "at": record.delivery.received_at})
        self.results[place] = RecordResult(outcome=DeliveryOutcome(known.outcome), is_duplicate=True)
        return True

    def _is_plain(self, one: ToStore) -> bool:
        seen = one.record.observation
        if one.body in self.deliveries:
            return False
        if seen is None:
            return True
        if one.name is None or one.record.translation_id is not None:
            return False
        row = self.translations.get(one.name)
        callback_ids = {seen.callback_id, row and row.callback_id} - {None}
        return seen.source is not Source.EVENT_LOG and not callback_ids & (self.waiting | self.touched)

    def _store_alone(self, place: int, one: ToStore) -> None:
        self._flush()
        self.results[place] = Intake(self.connection, one.determine_outcome, self.now).store(one.record)
        seen = one.record.observation
        if seen is not None and seen.callback_id is not None:
            self.touched.add(seen.callback_id)

    # Storing what is plain

    def _flush(self) -> None:
        """Each kind of row with one statement; those come first whose numbers the others need."""
        if self.again:
            self.connection.execute(COUNT_AGAIN, self.again)
        if self.plain:
            self._find_or_begin()
            for one in self.plain:
                one.determine_outcome(self.now)
                self.results[one.place] = one.recorded
            self._write_changes(self._keep_deliveries())
            self._update()
        self.again, self.plain = [], []

    def _find_or_begin(self) -> None:
        new: dict[str, _Plain] = {}
        for one in self.plain:
            name, claim = one.given.name, one.record.claim
            if one.record.observation is None or name is None:
                continue
            row = self.translations.get(name)
            if row is None and claim is None and one.record.adopt:
                new[name] = one
            elif row is not None and _holds(row, claim):
                one.current = as_translation(row)
        if new:
            rows = [new_translation_row(one.seen, self.now) for one in new.values()]
            for row in self._insert(NEW_TRANSLATIONS, rows):
                begun = new[row.video_translate_id]
                begun.current, begun.is_new = as_translation(row), True

    def _insert(self, statement: Any, rows: Sequence[Mapping[str, object]]) -> Iterable[Row[Any]]:
        try:
            return self.connection.execute(statement, rows)
        except IntegrityError as error:  # another program stored one of them after we had looked
            raise LostRaceError from error

    def _keep_deliveries(self) -> Mapping[str | None, int]:
        """The numbers of the new deliveries, by their bodies' SHA-256."""
        kept = [(one, one.record.delivery) for one in self.plain if one.record.delivery]
        if not kept:
            return {}
        rows = [delivery_row(delivery) | {"outcome": one.recorded.outcome} for one, delivery in kept]
        numbers = {row.body_sha256: row.id for row in self._insert(NEW_DELIVERIES, rows)}
        bodies = [body_row(delivery, numbers[delivery.body_sha256]) for _, delivery in kept]
        self.connection.execute(insert(delivery_bodies), bodies)
        return numbers

    def _write_changes(self, numbers: Mapping[str | None, int]) -> None:
        rows = [
            one.effect.change | {"delivery_id": numbers.get(one.given.body)}
            for one in self.plain
            if one.effect is not None and one.effect.change
        ]
        if rows:
            self.connection.execute(insert(changes), rows)
        moves = [move for one in self.plain if one.effect is not None for move in one.effect.moves]
        if moves:
            self.connection.execute(insert(link_changes), moves)

    def _update(self) -> None:
        """Compare and set, with one statement for all that have the same columns to write."""
        alike: dict[tuple[bool, frozenset[str]], list[Mapping[str, object]]] = defaultdict(list)
        for one in self.plain:
            if one.effect is None or one.current is None or not one.effect.updates:
                continue
            values: dict[str, object] = {"known": one.current.id, "judged": one.current.status}
            if (claim := one.record.claim) is not None:
                values |= {"owner": claim.owner, "until": claim.until}
            values |= {f"new_{name}": value for name, value in one.effect.updates.items()}
            alike[claim is not None, frozenset(one.effect.updates)].append(values)
        for (is_claimed, names), rows in alike.items():
            same = [*UNCHANGED, *(STILL_CLAIMED if is_claimed else ())]
            written: dict[str, Any] = {name: bindparam(f"new_{name}") for name in sorted(names)}
            statement = update(translations).where(*same).values(**written, updated_at=self.now)
            if cast("CursorResult[Any]", self.connection.execute(statement, rows)).rowcount != len(rows):
                raise LostRaceError


def _holds(row: Row[Any], claim: Claim | None) -> bool:
    """Whether the claim, if there is one, is still the one that holds this row."""
    if claim is None:
        return True
    mine = (claim.translation_id, claim.owner, claim.until)
    return (row.id, row.claimed_by, row.claimed_until) == mine
