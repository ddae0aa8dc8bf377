"""Storing one record: the delivery, its effect and the change row, in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, CursorResult, Insert, Row, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from tracker.domain.claims import Claim
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.ports import OutcomeRule
from tracker.domain.record import Record, RecordResult
from tracker.domain.status import OPEN_STATUSES, Source, Status
from tracker.domain.translation import Translation
from tracker.store.effects import (
    as_new,
    body_row,
    delivery_fields,
    delivery_row,
    effect_of,
    new_translation_row,
)
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


@dataclass(frozen=True, slots=True)
class Intake:
    """Stores records on one connection, at one moment."""

    connection: Connection
    determine_outcome: OutcomeRule
    now: datetime
    changes: list[dict[str, object]] = field(init=False, default_factory=list)  # they name the delivery

    def store(self, record: Record) -> RecordResult:
        """Store `record` and all that follows from it."""
        known = self._find_delivery(record.delivery)
        if record.delivery and known and not is_unprocessed(known, record.delivery):
            self._count_again(known, record.delivery)
            return RecordResult(outcome=DeliveryOutcome(known.outcome), is_duplicate=True)
        result = self._observe(record)
        delivery_id = self._keep(record.delivery, known, result.outcome) if record.delivery else None
        if self.changes:
            rows = [change | {"delivery_id": delivery_id} for change in self.changes]
            self.connection.execute(insert(changes), rows)
            self.changes.clear()
        return result

    # Deliveries

    def _find_delivery(self, delivery: Delivery | None) -> Row[Any] | None:
        if delivery is None:
            return None
        wanted = deliveries.c.body_sha256 == delivery.body_sha256
        return self.connection.execute(select(deliveries).where(wanted)).one_or_none()

    def _count_again(self, known: Row[Any], delivery: Delivery) -> None:
        self.connection.execute(
            update(deliveries)
            .where(deliveries.c.id == known.id)
            .values(times_received=deliveries.c.times_received + 1, last_received_at=delivery.received_at)
        )

    def _keep(self, delivery: Delivery, known: Row[Any] | None, outcome: DeliveryOutcome) -> int:
        """The delivery's row; a known one is taken up again, now that it can be used."""
        if known is not None:
            self._count_again(known, delivery)
            mended = update(deliveries).where(deliveries.c.id == known.id)
            self.connection.execute(mended.values(delivery_fields(delivery) | {"outcome": outcome}))
            return cast("int", known.id)
        delivery_id = self._insert(insert(deliveries).values(delivery_row(delivery) | {"outcome": outcome}))
        self.connection.execute(insert(delivery_bodies).values(body_row(delivery, delivery_id)))
        return delivery_id

    # Translations

    def _observe(self, record: Record) -> RecordResult:
        if (seen := record.observation) is None:
            return RecordResult(outcome=record.outcome)
        found = self._find_meant(record, seen)
        if record.claim and not found:
            return RecordResult(
                outcome=DeliveryOutcome.UNCHANGED
            )  # came too late: somebody else polls it now
        if any(self._was_before_reopening(one, seen) for one in found):
            return RecordResult(outcome=DeliveryOutcome.UNCHANGED)
        united = self._unite(found, seen)
        is_bound, found = united is not found, united
        is_new = not found and record.adopt and can_be_tracked(seen)
        if is_new:
            found = [self._begin(seen)]
        results = [self._apply(current, record, seen) for current in found]
        if not results:
            return RecordResult(outcome=DeliveryOutcome.UNKNOWN)
        first = replace(results[0], is_bound=is_bound)
        return as_new(first, seen) if is_new else first

    def _select(self, *where: ColumnElement[bool]) -> list[Translation]:
        rows = self.connection.execute(select(*COLUMNS).where(*where).order_by(translations.c.id))
        return [as_translation(row) for row in rows]

    def _find_meant(self, record: Record, seen: Observation) -> list[Translation]:
        if record.claim is not None:
            return self._find_claimed(record.claim)
        if record.translation_id is not None:
            return self._select(
                translations.c.id == record.translation_id, translations.c.video_translate_id.is_(None)
            )
        return self._find(seen)

    def _find_claimed(self, claim: Claim) -> list[Translation]:
        """The claimed translation, unless the claim has lapsed and somebody else holds it."""
        return self._select(
            translations.c.id == claim.translation_id,
            translations.c.claimed_by == claim.owner,
            translations.c.claimed_until == claim.until,
        )

    def _find(self, seen: Observation) -> list[Translation]:
        """Whom it is about: the row with its id; without an id, by callback_id the row that waits for
        one (else the oldest: adding it again adds nothing), or at a hint every open row."""
        if seen.video_translate_id is not None:
            return self._select(translations.c.video_translate_id == seen.video_translate_id)
        if seen.hint:
            return self._select(
                translations.c.callback_id == seen.callback_id, translations.c.status.in_(OPEN_STATUSES)
            )
        return self._find_waiting(seen) or self._select(translations.c.callback_id == seen.callback_id)[:1]

    def _find_waiting(self, seen: Observation) -> list[Translation]:
        """The row that has this callback_id and still waits for its video_translate_id, if any.

        The languages of one request share the callback_id: the row of the same language goes first,
        then one that names none, then the oldest, for languages go by several names. What has ended
        without an id, as a refused submission, only comes last.
        """
        waiting = self._select(translations.c.callback_id == seen.callback_id, WAITS_FOR_ID)
        wanted = {None: 1, seen.details.output_language: 0}
        return sorted(
            waiting, key=lambda row: (row.status.is_final, wanted.get(row.details.output_language, 2))
        )[:1]

    def _unite(self, found: list[Translation], seen: Observation) -> list[Translation]:
        """Late binding: the first authentic word that knows both ids gives the waiting row its id.

        A row that only an unsigned hint had made meanwhile makes way for it.
        """
        if not seen.authentic or seen.video_translate_id is None or seen.callback_id is None:
            return found
        if any(not self._is_from_a_hint(stand_in) for stand_in in found):
            return found
        if not (waiting := self._find_waiting(seen)):
            return found
        for stand_in in found:
            self.connection.execute(translations.delete().where(translations.c.id == stand_in.id))
        try:
            self._write(waiting[0], {"video_translate_id": seen.video_translate_id, "next_poll_at": self.now})
        except IntegrityError as error:  # another program has stored a row with that id meanwhile
            raise LostRaceError from error
        return self._select(translations.c.id == waiting[0].id)

    def _is_from_a_hint(self, found: Translation) -> bool:
        """True for a row that nobody asked for: made by an unsigned delivery, and untouched since."""
        if found.callback_id is not None or found.status is not Status.PENDING:
            return False
        hinted = exists().where(
            deliveries.c.video_translate_id == found.video_translate_id,
            deliveries.c.received_at == found.created_at,
            deliveries.c.outcome == DeliveryOutcome.HINT,
        )
        return bool(self.connection.scalar(select(hinted)))

    def _was_before_reopening(self, found: Translation, seen: Observation) -> bool:
        """True for the log's word of an end that a person has undone since, as far as its time tells.

        The log repeats for months what happened once; a webhook's repetition is known by its body.
        """
        if seen.source is not Source.EVENT_LOG or seen.status is None or found.status.is_final:
            return False
        reopened = self.connection.scalar(
            select(changes.c.observed_at)
            .where(changes.c.translation_id == found.id, changes.c.source == Source.MANUAL)
            .order_by(changes.c.id.desc())
            .limit(1)
        )
        return reopened is not None and (seen.occurred_at is None or seen.occurred_at <= reopened)

    def _begin(self, seen: Observation) -> Translation:
        new = insert(translations).values(new_translation_row(seen, self.now))
        [current] = self._select(translations.c.id == self._insert(new))
        return current

    def _insert(self, new: Insert) -> int:
        """The new row's number. Another program may have stored the same after we had looked."""
        try:
            key = self.connection.execute(new).inserted_primary_key
        except IntegrityError as error:
            raise LostRaceError from error
        return cast("int", key[0]) if key else 0

    def _apply(self, current: Translation, record: Record, seen: Observation) -> RecordResult:
        effect = effect_of(record, seen, current, self.determine_outcome, self.now)
        if effect.change:
            self.changes.append(effect.change)
        if effect.moves:
            self.connection.execute(insert(link_changes), effect.moves)
        if effect.updates:
            self._write(current, effect.updates, record.claim)
        return effect.result

    def _write(self, current: Translation, updates: Mapping[str, object], claim: Claim | None = None) -> None:
        """Compare and set: the status must still be the one that was judged, and the claim ours."""
        same = [translations.c.id == current.id, translations.c.status == current.status]
        if claim is not None:
            same += [translations.c.claimed_by == claim.owner, translations.c.claimed_until == claim.until]
        result = self.connection.execute(
            update(translations).where(*same).values(**updates, updated_at=self.now)
        )
        if cast("CursorResult[Any]", result).rowcount != 1:
            raise LostRaceError


def is_unprocessed(known: Row[Any], delivery: Delivery) -> bool:
    """Deduplication hides no work: an unsigned copy may precede the signed one, an error may be mended.

    An unsigned copy of a signed body has nothing to add, and must not make the signature forgotten.
    """
    if known.signed_by is None and delivery.signed_by is not None:
        return True
    is_downgrade = known.signed_by is not None and delivery.signed_by is None
    return known.outcome in (DeliveryOutcome.ERROR, DeliveryOutcome.UNKNOWN) and not is_downgrade


def can_be_tracked(seen: Observation) -> bool:
    return seen.video_translate_id is not None or (seen.callback_id is not None and not seen.hint)
