"""What one record writes: the columns of its delivery, its translation and its change row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from tracker.domain.delivery import Delivery
from tracker.domain.links import LinkKind, Move
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.ports import OutcomeRule
from tracker.domain.record import Record, RecordResult
from tracker.domain.status import Status
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation


@dataclass(frozen=True, slots=True)
class Effect:
    """What one record does to one translation: columns to update, and rows that tell of changes."""

    updates: Mapping[str, object] = field(repr=False)  # may hold a signed url
    change: dict[str, object]
    recorded: RecordResult
    moves: Sequence[dict[str, object]] = ()


def effect_of(
    record: Record, seen: Observation, current: Translation, determine_outcome: OutcomeRule, now: datetime
) -> Effect:
    """Judge, and put into columns what follows."""
    verdict = determine_outcome(current, seen)
    updates = dict(verdict.updates)
    if record.claim is not None:
        updates |= {"claimed_by": None, "claimed_until": None}
    if verdict.change is not None:
        updates["status"] = verdict.change.new
    recorded = RecordResult(
        outcome=verdict.outcome,
        translation_id=current.id,
        video_translate_id=current.video_translate_id,
        change=verdict.change,
        attention=cast("Any", verdict.updates.get("attention")),
        finished_at=cast("datetime | None", updates.get("finished_at", current.finished_at)),
        recorded_at=now,
        links=_new_links(updates, current),
    )
    change, moves = _change_row(verdict.change, seen, current, now), verdict.moves
    return Effect(updates, change, recorded, [_move_row(move, seen, current, now) for move in moves])


def _new_links(updates: Mapping[str, object], current: Translation) -> frozenset[LinkKind]:
    """The files of a success: all of them with its end, afterwards those that had no link before."""
    if updates.get("status", current.status) is not Status.SUCCESS:
        return frozenset()
    names = {kind: kind.column for kind in LinkKind}
    known = {kind for kind, name in names.items() if getattr(current.details, name) is not None}
    there = {
        kind for kind, name in names.items() if updates.get(name, getattr(current.details, name)) is not None
    }
    return frozenset(there if "status" in updates else there - known)


def _change_row(
    change: Change | None, seen: Observation, current: Translation, now: datetime
) -> dict[str, object]:
    if change is None:
        return {}
    return {
        "translation_id": current.id,
        "old_status": change.old,
        "new_status": change.new,
        "source": seen.source,
        "observed_at": seen.observed_at,
        "recorded_at": now,
        "note": change.note,
    }


def _move_row(move: Move, seen: Observation, current: Translation, now: datetime) -> dict[str, object]:
    return {
        "translation_id": current.id,
        "kind": move.kind,
        "old_url": move.old,
        "new_url": move.new,
        "source": seen.source,
        "observed_at": seen.observed_at,
        "recorded_at": now,
    }


def beginning(seen: Observation, now: datetime) -> dict[str, object]:
    """The row of a translation that is tracked from now on; what was seen is applied to it then."""
    return {
        "video_translate_id": seen.video_translate_id,
        "callback_id": seen.callback_id if seen.authentic else None,
        "created_at": seen.observed_at,
        "updated_at": now,
        "next_poll_at": seen.observed_at,
    }


def as_new(recorded: RecordResult, seen: Observation) -> RecordResult:
    """What became of a record that began its translation."""
    return replace(
        recorded, is_new=True, outcome=DeliveryOutcome.HINT if seen.hint else DeliveryOutcome.APPLIED
    )


def arrival(delivery: Delivery) -> dict[str, object]:
    """The row of a delivery that was never seen before, but for its outcome."""
    return {
        **told(delivery),
        "body_sha256": delivery.body_sha256,
        "received_at": delivery.received_at,
        "last_received_at": delivery.received_at,
    }


def body_row(delivery: Delivery, delivery_id: int) -> dict[str, object]:
    """The row that holds what the delivery looked like."""
    return {"delivery_id": delivery_id, "headers": json.dumps(delivery.headers), "body": delivery.body}


def told(delivery: Delivery) -> dict[str, object]:
    return {
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "video_translate_id": delivery.video_translate_id,
        "callback_id": delivery.callback_id,
        "signed_by": delivery.signed_by,
        "error": delivery.error,
    }
