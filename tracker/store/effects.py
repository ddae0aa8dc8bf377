"""The rows that one record writes: its delivery, its translation and its changes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from tracker.domain.delivery import Delivery
from tracker.domain.links import LinkKind, Move
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.ports import OutcomeRule
from tracker.domain.record import Record, RecordResult
from tracker.domain.status import Attention, Status
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation


@dataclass(frozen=True, slots=True)
class Effect:
    """What one record does to one translation: columns to update, change rows and the result."""

    updates: Mapping[str, object] = field(repr=False)  # may hold a signed url
    change: dict[str, object]
    result: RecordResult
    moves: Sequence[dict[str, object]] = ()


def effect_of(
    record: Record,
    observation: Observation,
    current: Translation,
    determine_outcome: OutcomeRule,
    now: datetime,
) -> Effect:
    """Evaluate `observation` and turn the outcome into rows."""
    outcome = determine_outcome(current, observation)
    updates = dict(outcome.updates)
    if record.claim is not None:
        updates |= {"claimed_by": None, "claimed_until": None}
    if outcome.change is not None:
        updates["status"] = outcome.change.new
    result = RecordResult(
        outcome=outcome.outcome,
        translation_id=current.id,
        video_translate_id=current.video_translate_id,
        change=outcome.change,
        attention=cast("Attention | None", outcome.updates.get("attention")),
        finished_at=cast("datetime | None", updates.get("finished_at", current.finished_at)),
        recorded_at=now,
        links=_new_links(updates, current),
    )
    change, moves = _change_row(outcome.change, observation, current, now), outcome.moves
    return Effect(updates, change, result, [_move_row(move, observation, current, now) for move in moves])


def _new_links(updates: Mapping[str, object], current: Translation) -> frozenset[LinkKind]:
    """The links of a success: all when it finishes, afterwards only those that were missing before."""
    if updates.get("status", current.status) is not Status.SUCCESS:
        return frozenset()
    names = {kind: kind.column for kind in LinkKind}
    known = {kind for kind, name in names.items() if getattr(current.details, name) is not None}
    present = {
        kind for kind, name in names.items() if updates.get(name, getattr(current.details, name)) is not None
    }
    return frozenset(present if "status" in updates else present - known)


def _change_row(
    change: Change | None, observation: Observation, current: Translation, now: datetime
) -> dict[str, object]:
    if change is None:
        return {}
    return {
        "translation_id": current.id,
        "old_status": change.old,
        "new_status": change.new,
        "source": observation.source,
        "observed_at": observation.observed_at,
        "recorded_at": now,
        "note": change.note,
    }


def _move_row(move: Move, observation: Observation, current: Translation, now: datetime) -> dict[str, object]:
    return {
        "translation_id": current.id,
        "kind": move.kind,
        "old_url": move.old,
        "new_url": move.new,
        "source": observation.source,
        "observed_at": observation.observed_at,
        "recorded_at": now,
    }


def new_translation_row(observation: Observation, now: datetime) -> dict[str, object]:
    """The row of a newly tracked translation, before the observation is applied to it."""
    return {
        "video_translate_id": observation.video_translate_id,
        "callback_id": observation.callback_id if observation.authentic else None,
        "created_at": observation.observed_at,
        "updated_at": now,
        "next_poll_at": observation.observed_at,
    }


def as_new(result: RecordResult, observation: Observation) -> RecordResult:
    """The result of a record that created its translation."""
    return replace(
        result, is_new=True, outcome=DeliveryOutcome.HINT if observation.hint else DeliveryOutcome.APPLIED
    )


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """The row of a delivery received for the first time, without its outcome."""
    return {
        **delivery_fields(delivery),
        "body_sha256": delivery.body_sha256,
        "received_at": delivery.received_at,
        "last_received_at": delivery.received_at,
    }


def body_row(delivery: Delivery, delivery_id: int) -> dict[str, object]:
    """The row with the headers and body of a delivery."""
    return {"delivery_id": delivery_id, "headers": json.dumps(delivery.headers), "body": delivery.body}


def delivery_fields(delivery: Delivery) -> dict[str, object]:
    return {
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "video_translate_id": delivery.video_translate_id,
        "callback_id": delivery.callback_id,
        "signed_by": delivery.signed_by,
        "error": delivery.error,
    }
