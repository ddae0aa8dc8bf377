"""Who may poll what: due rows are claimed for a while, and given back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    and_,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from tracker.domain.observation import ProblemKind
from tracker.domain.status import OPEN_STATUSES, Attention
from tracker.ports import Claim, Due
from tracker.store.tables import translations

PATIENCE_OF_ENDED = timedelta(minutes=1)
IS_OPEN = translations.c.status.in_(OPEN_STATUSES)
# A bulk answer has no urls, and its "not found" is believed only once the id was asked about alone.
ALONE = or_(
    not_(IS_OPEN),
    and_(
        func.coalesce(translations.c.last_error, "").startswith(f"{ProblemKind.NOT_FOUND}:", autoescape=True),
        func.coalesce(translations.c.attention, "") != Attention.NOT_FOUND,
    ),
)


def claim_due(
    connection: Connection, *, now: datetime, requests: int, owner: str, lease: timedelta, due: Due
) -> list[Claim]:
    """Take the rows that are due longest; other claimers skip what is locked here.

    Open rows go first: the questions after an end that a webhook reported can wait, but not for ever.
    """
    claimer = _Claimer(connection, now, owner, lease)
    if due.batch > 1:
        return _claim_for_bulk(claimer, requests, due)
    urgent = or_(IS_OPEN, translations.c.next_poll_at <= due.by - PATIENCE_OF_ENDED)
    taken = claimer.take(urgent, requests, due.by)
    return taken + claimer.take(not_(IS_OPEN), requests - len(taken), due.by)


def _claim_for_bulk(claimer: "_Claimer", requests: int, due: Due) -> list[Claim]:
    """Fill whole bulk questions with open rows; what needs a question of its own gets the rest.

    Half of the questions go to those that have waited a minute for one of their own.
    """
    half = (requests + due.alone_first) // 2
    waited = claimer.take(ALONE, half, due.by - PATIENCE_OF_ENDED)
    left = requests - len(waited)
    bulk = claimer.take(not_(ALONE), left * due.batch, due.by, alone=False)
    if room := -len(bulk) % due.batch:
        bulk += claimer.take(not_(ALONE), room, due.soon, alone=False)
    left -= -(-len(bulk) // due.batch)
    return waited + bulk + claimer.take(ALONE, left, due.by)


@dataclass(frozen=True, slots=True)
class _Claimer:
    connection: Connection
    now: datetime
    owner: str
    lease: timedelta

    def take(
        self, which: ColumnElement[bool], limit: int, due_by: datetime, *, alone: bool = True
    ) -> list[Claim]:
        if limit <= 0:
            return []
        free = or_(translations.c.claimed_until.is_(None), translations.c.claimed_until <= self.now)
        has_id = translations.c.video_translate_id.is_not(None)
        due = (
            select(translations.c.id)
            .where(which, translations.c.next_poll_at <= due_by, has_id, free)
            .order_by(translations.c.next_poll_at)
            .limit(limit)
            .with_for_update(skip_locked=True)  # PostgreSQL; SQLite's writer is alone
        )
        until = self.now + self.lease
        # A due time after the question looks as if somebody had set it meanwhile, who knows more.
        due_at = translations.c.next_poll_at
        asked_at = case((due_at > self.now, literal(self.now, due_at.type)), else_=due_at)
        taken = self.connection.execute(
            update(translations)
            .where(translations.c.id.in_(due.scalar_subquery()))
            .values(claimed_by=self.owner, claimed_until=until, next_poll_at=asked_at)
            .returning(translations.c.id, translations.c.video_translate_id)
        )
        return [Claim(row.id, row.video_translate_id, self.owner, until, alone) for row in taken]


def claim_links(
    connection: Connection,
    *,
    translation_id: int,
    poll_count: int,
    now: datetime,
    owner: str,
    lease: timedelta,
) -> Claim | None:
    """Take one ended row, due or not; None where somebody holds it, or has asked since `poll_count`."""
    columns = translations.c
    until = now + lease
    taken = connection.execute(
        update(translations)
        .where(
            columns.id == translation_id,
            columns.poll_count == poll_count,
            columns.video_translate_id.is_not(None),
            not_(IS_OPEN),
            or_(columns.claimed_until.is_(None), columns.claimed_until <= now),
        )
        .values(claimed_by=owner, claimed_until=until)
        .returning(columns.id, columns.video_translate_id)
    ).one_or_none()
    return Claim(taken.id, taken.video_translate_id, owner, until) if taken else None


def release(connection: Connection, claims: Sequence[Claim], next_poll_at: datetime | None) -> None:
    """Give back what is still ours; `next_poll_at` None leaves the due times as they were.

    What needs no poll, and was claimed for its links, needs none afterwards.
    """
    due_at = translations.c.next_poll_at
    for claim in claims:
        values: dict[str, object] = {"claimed_by": None, "claimed_until": None}
        if next_poll_at is not None:
            values["next_poll_at"] = case((due_at.is_not(None), literal(next_poll_at, due_at.type)))
        connection.execute(
            update(translations)
            .where(
                translations.c.id == claim.translation_id,
                translations.c.claimed_by == claim.owner,
                translations.c.claimed_until == claim.until,
            )
            .values(values)
        )


def free_all(connection: Connection) -> None:
    """Give every claim back: the sole runner's first act, for whoever held them is dead."""
    connection.execute(
        update(translations)
        .where(translations.c.claimed_until.is_not(None))
        .values(claimed_by=None, claimed_until=None)
    )


def hasten(connection: Connection, by: datetime, spacing: timedelta, limit: int) -> int:
    """Let at most `limit` open rows that can be polled wait no longer than until `by`; returns how many.

    One that was asked about within `spacing` before `by` may wait for as long after it: at a restart it
    would be asked twice.
    """
    asked = translations.c.last_polled_at > by - spacing
    kind = translations.c.next_poll_at.type
    wanted = case((asked, literal(by + spacing, kind)), else_=literal(by, kind))
    late = (
        select(translations.c.id)
        .where(
            IS_OPEN,
            translations.c.video_translate_id.is_not(None),
            translations.c.next_poll_at > by,  # by the index
            translations.c.next_poll_at > wanted,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    changed = update(translations).where(translations.c.id.in_(late.scalar_subquery()))
    result = connection.execute(changed.values(next_poll_at=wanted))
    return cast("CursorResult[Any]", result).rowcount


def flag_overdue(connection: Connection, now: datetime, overdue_after: timedelta) -> list[str]:
    """Raise the flag on open rows, also on those that cannot be polled; other flags matter more."""
    flagged = connection.execute(
        update(translations)
        .where(
            translations.c.status.in_(OPEN_STATUSES),
            translations.c.attention.is_(None),
            translations.c.created_at < now - overdue_after,
        )
        .values(attention=Attention.OVERDUE, attention_since=now, updated_at=now)
        .returning(translations.c.video_translate_id, translations.c.callback_id)
    )
    return [row.video_translate_id or f"callback_id {row.callback_id}" for row in flagged]
