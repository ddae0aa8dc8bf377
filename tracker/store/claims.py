"""Who may poll what: due rows are claimed for a while, and given back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    TextClause,
    and_,
    case,
    literal,
    or_,
    select,
    text,
    update,
)

from tracker.domain.claims import Claim, Due
from tracker.domain.links import RENEWED_BEFORE
from tracker.domain.status import FINAL_STATUSES, OPEN_STATUSES, Attention, Status
from tracker.store.conditions import IS_UNFLAGGED, IS_UNPLANNED, POLLED_ALONE, POLLED_TOGETHER
from tracker.store.tables import translations

PATIENCE_ALONE = timedelta(minutes=1)
PUT_OFF = timedelta(hours=1)  # a renewal whose answer was lost
TOGETHER = text(POLLED_TOGETHER)
ALONE = text(POLLED_ALONE)
LANES = (TOGETHER, ALONE)


def claim_due(
    connection: Connection, *, now: datetime, requests: int, owner: str, lease: timedelta, due: Due
) -> list[Claim]:
    """Take the rows that are due longest; other claimers skip what is locked here.

    What is open goes first, and fills whole bulk questions where there are any. What needs a question of its
    own, above all after its end, gets the rest, and half of the questions once it has waited a minute.
    """
    claimer = _Claimer(connection, now, owner, lease)
    half = (requests + due.alone_first) // 2
    waited = claimer.take(ALONE, half, due.by - PATIENCE_ALONE)
    left = requests - len(waited)
    known = partial(claimer.take, TOGETHER, alone=due.batch == 1)
    together = known(left * due.batch, due.by)
    if room := -len(together) % due.batch:
        together += known(room, due.soon)
    left -= -(-len(together) // due.batch)
    return waited + together + claimer.take(ALONE, left, due.by)


@dataclass(frozen=True, slots=True)
class _Claimer:
    connection: Connection
    now: datetime
    owner: str
    lease: timedelta

    def take(self, lane: TextClause, limit: int, due_by: datetime, *, alone: bool = True) -> list[Claim]:
        if limit <= 0:
            return []
        free = or_(translations.c.claimed_until.is_(None), translations.c.claimed_until <= self.now)
        due = (
            select(translations.c.id)
            .where(lane, translations.c.next_poll_at <= due_by, free)
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
            columns.status.in_(FINAL_STATUSES),
            or_(columns.claimed_until.is_(None), columns.claimed_until <= now),
        )
        .values(claimed_by=owner, claimed_until=until)
        .returning(columns.id, columns.video_translate_id)
    ).one_or_none()
    return Claim(taken.id, taken.video_translate_id, owner, until) if taken else None


def claim_renewal(connection: Connection, *, now: datetime, owner: str, lease: timedelta) -> Claim | None:
    """Take the ended row whose links are due for renewal first; None where there is none.

    Before it is asked about it is put off, so that one that breaks whoever asks holds up no other. What an
    earlier release has stored goes by the end of its video's link.
    """
    columns = translations.c
    planned = (columns.renew_links_at <= now, columns.renew_links_at)
    ends_soon = columns.url_expires_at <= now + RENEWED_BEFORE
    unplanned = (and_(text(IS_UNPLANNED), ends_soon), columns.url_expires_at)
    until = now + lease
    for is_due, order in (planned, unplanned):
        due = (
            select(columns.id)
            .where(
                is_due,
                columns.status == Status.SUCCESS.value,
                columns.video_translate_id.is_not(None),
                or_(columns.next_poll_at.is_(None), columns.next_poll_at > now),
                or_(columns.claimed_until.is_(None), columns.claimed_until <= now),
            )
            .order_by(order)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = connection.execute(
            update(translations)
            .where(columns.id.in_(due.scalar_subquery()))
            .values(claimed_by=owner, claimed_until=until, renew_links_at=now + PUT_OFF)
            .returning(columns.id, columns.video_translate_id)
        ).one_or_none()
        if taken is not None:
            return Claim(taken.id, taken.video_translate_id, owner, until)
    return None


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
    done = 0
    for lane in LANES:
        late = (
            select(translations.c.id)
            .where(
                lane,
                translations.c.status.in_(OPEN_STATUSES),
                translations.c.next_poll_at > by,  # by the index
                translations.c.next_poll_at > wanted,
            )
            .order_by(translations.c.next_poll_at.desc())
            .limit(limit - done)
            .with_for_update(skip_locked=True)
        )
        changed = update(translations).where(translations.c.id.in_(late.scalar_subquery()))
        done += cast("CursorResult[Any]", connection.execute(changed.values(next_poll_at=wanted))).rowcount
    return done


def flag_overdue(connection: Connection, now: datetime, overdue_after: timedelta, limit: int) -> list[str]:
    """Raise the flag on open rows, also on those that cannot be polled; other flags matter more."""
    grown = (
        select(translations.c.id)
        .where(
            text(IS_UNFLAGGED),
            translations.c.created_at < now - overdue_after,
        )
        .order_by(translations.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    flagged = connection.execute(
        update(translations)
        .where(translations.c.id.in_(grown.scalar_subquery()))
        .values(attention=Attention.OVERDUE, attention_since=now, updated_at=now)
        .returning(translations.c.video_translate_id, translations.c.callback_id)
    )
    return [row.video_translate_id or f"callback_id {row.callback_id}" for row in flagged]
