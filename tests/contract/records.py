"""Records as the contract tests hand them to a store, and what they ask of it again and again."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.builders import NOON
from tests.contract.openers import Database
from tracker.domain.claims import Claim
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.ports import OutcomeRule
from tracker.domain.record import Record, RecordResult
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status

LEASE = timedelta(seconds=30)
DEADLINE = 10.0
by_the_rules: OutcomeRule = partial(determine_outcome, schedule=Schedule())


def observation(
    video_translate_id: str | None = "a",
    status: Status | None = None,
    *,
    callback_id: str | None = None,
    source: Source = Source.WEBHOOK,
    at: datetime = NOON,
    hint: bool = False,
    authentic: bool = True,
    **details: Any,
) -> Observation:
    return Observation(
        source=source,
        observed_at=at,
        video_translate_id=video_translate_id,
        callback_id=callback_id,
        status=status,
        details=Details(**details),
        hint=hint,
        authentic=authentic,
    )


def registered(video_translate_id: str | None = "a", **told: Any) -> Record:
    return Record(observation=observation(video_translate_id, source=Source.MANUAL, **told))


def delivery(body: bytes = b"{}", *, signed_by: str | None = "main", **told: Any) -> Delivery:
    received = {"received_at": NOON, "headers": (("Signature", "a1"),), **told}
    return Delivery(body=body, body_sha256=hashlib.sha256(body).hexdigest(), signed_by=signed_by, **received)


def webhook(
    video_translate_id: str = "a",
    status: Status = Status.SUCCESS,
    *,
    body: bytes = b"{}",
    callback_id: str | None = None,
    url: str | None = "https://files.example/a.mp4",
) -> Record:
    return Record(
        delivery=delivery(body, video_translate_id=video_translate_id, callback_id=callback_id),
        observation=observation(video_translate_id, status, callback_id=callback_id, url=url),
    )


def unsigned(
    video_translate_id: str | None, *, body: bytes = b"{}", callback_id: str | None = None
) -> Record:
    return Record(
        delivery=delivery(
            body, signed_by=None, video_translate_id=video_translate_id, callback_id=callback_id
        ),
        observation=observation(video_translate_id, callback_id=callback_id, hint=True, authentic=False),
    )


async def apply(database: Database, *records: Record, rule: OutcomeRule = by_the_rules) -> list[RecordResult]:
    async with asyncio.timeout(DEADLINE):
        return await database.store.apply(records, rule)


async def claimed(
    database: Database, *, at: datetime = NOON, owner: str = "one", limit: int = 10
) -> list[Claim]:
    return await database.store.claim_due(at, limit, owner, LEASE)


def statuses(database: Database) -> dict[str, str]:
    return {row["video_translate_id"]: row["status"] for row in database.rows()}


def polled(claim: Claim, status: Status, at: datetime = NOON) -> Record:
    seen = observation(claim.video_translate_id, status, source=Source.POLL, at=at, url="https://x.example/v")
    return Record(observation=seen, claim=claim)


def shown(rows: Sequence[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """These columns alone."""
    return [tuple(row[name] for name in columns) for row in rows]


async def track(database: Database, *names: str, due: float = 0.0) -> None:
    """Track these, due so many seconds after noon."""
    await apply(database, *(registered(name) for name in names))
    database.change(*names, next_poll_at=NOON + timedelta(seconds=due))


def end(database: Database, *names: str, due: float = 0.0) -> None:
    """They have ended, and a question for their fields is due."""
    database.change(*names, status="success", next_poll_at=NOON + timedelta(seconds=due))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]
