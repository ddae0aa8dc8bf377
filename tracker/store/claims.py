"""Who may poll what: due rows are claimed for a while, and given back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, not_, or_, select, update

from tracker.domain.status import OPEN_STATUSES, Attention
from tracker.ports import Claim
from tracker.store.tables import translations

PATIENCE_OF_ENDED = timedelta(minutes=1)


def claim_due(
    connection: Connection, *, now: datetime, limit: int, owner: str, lease: timedelta, due_by: datetime
) -> list[Claim]:
    """Take the rows that are due longest; other claimers skip what is locked here.

    Open rows go first: the questions after an end that a webhook reported can wait, but not for ever.
    """
    is_open = translations.c.status.in_(OPEN_STATUSES)
    urgent = or_(is_open, translations.c.next_poll_at <= due_by - PATIENCE_OF_ENDED)
    taken: list[Claim] = []
    for which in (urgent, not_(is_open)):
        if len(taken) < limit:
            taken += _claim(connection, which, now, limit - len(taken), owner, lease, due_by)
    return taken


def _claim(
    connection: Connection,
    which: ColumnElement[bool],
    now: datetime,
    limit: int,
    owner: str,
    lease: timedelta,
    due_by: datetime,
) -> list[Claim]:
    due = (
        select(translations.c.id)
        .where(
            which,
            translations.c.next_poll_at <= due_by,
            translations.c.video_translate_id.is_not(None),
            or_(translations.c.claimed_until.is_(None), translations.c.claimed_until <= now),
        )
        .order_by(translations.c.next_poll_at)
        .limit(limit)
        .with_for_update(skip_locked=True)  # PostgreSQL; SQLite's writer is alone
    )
    taken = connection.execute(
        update(translations)
        .where(translations.c.id.in_(due.scalar_subquery()))
        .values(claimed_by=owner, claimed_until=now + lease)
        .returning(translations.c.id, translations.c.video_translate_id)
    )
    return [Claim(row.id, row.video_translate_id, owner, now + lease) for row in taken]


def release(connection: Connection, claims: Sequence[Claim], next_poll_at: datetime | None) -> None:
    """Give back what is still ours; `next_poll_at` None leaves the due times as they were."""
    for claim in claims:
        values: dict[str, object] = {"claimed_by": None, "claimed_until": None}
        if next_poll_at is not None:
            values["next_poll_at"] = next_poll_at
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
