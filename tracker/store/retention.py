"""Deleting what is too old: a few rows of one kind in the caller's transaction, found by an index.

The row with the highest number of a table always stays: SQLite gives the number of a deleted one away
again, and whoever reads on from a number, or keeps one in a table of his own, would be misled.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    Table,
    delete,
    exists,
    func,
    or_,
    select,
)

from tracker.domain.retention import Kind
from tracker.domain.status import FINAL_STATUSES, Status
from tracker.store.tables import (
    archived_files,
    changes,
    deliveries,
    delivery_bodies,
    link_changes,
    submissions,
    translations,
)

MOST_BYTES = 4 * 1024 * 1024  # of bodies in one transaction
LATEST = 100  # deliveries that tell which bodies are old: some of them may have come again
SPARE_PAGES, SPARE_PART = 1000, 64  # so many pages of a SQLite file, or a 64th, stay free for what comes next
PRUNING = 7_237_884_114_651_017_076  # PostgreSQL's advisory lock: one tracker prunes at a time
INCREMENTAL = 2  # of PRAGMA auto_vacuum


def prune(connection: Connection, *, kind: Kind, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows of this kind, the oldest first; returns how many.

    0 also where another tracker on the same database is at it.
    """
    if not _is_ours(connection):
        return 0
    if kind is Kind.DELIVERY_BODIES:
        return _prune_bodies(connection, before, limit)
    wanted = _oldest(kind, before, limit).with_for_update(skip_locked=True)  # what is in use can wait
    rows = connection.execute(wanted).all()
    if kind is Kind.TRANSLATIONS:
        return _prune_translations(connection, rows)
    return _delete(connection, deliveries, [row.id for row in rows])


def count_old(connection: Connection, *, kind: Kind, before: datetime, limit: int) -> int:
    """How many rows of this kind are too old; it counts no further than to `limit`."""
    old = _oldest_bodies(before, limit) if kind is Kind.DELIVERY_BODIES else _oldest(kind, before, limit)
    return connection.scalar(select(func.count()).select_from(old.order_by(None).subquery())) or 0


def _is_ours(connection: Connection) -> bool:
    """Two that delete different rows at once could still wait for each other, by way of `changes`."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(PRUNING))))


def _oldest(kind: Kind, before: datetime, limit: int) -> Select[Any]:
    if kind is Kind.DELIVERIES:
        old, age = _old_deliveries(before), deliveries.c.last_received_at
        return select(deliveries.c.id).where(*old).order_by(age).limit(limit)
    columns = select(translations.c.id, translations.c.submission_id)
    return columns.where(*_old_translations(before)).order_by(translations.c.finished_at).limit(limit)


# Deliveries and their bodies


def _old_deliveries(before: datetime) -> Sequence[ColumnElement[bool]]:
    """Nobody sends them again, and a repetition could do nothing: what they name has ended, or is gone.

    While a translation is open its deliveries are what a repetition is known by. The latest one
    stays, for it tells when a webhook last came.
    """
    columns = deliveries.c
    # Not as EXISTS: PostgreSQL would rather read all that is open than look up a few thousand.
    named = select(translations.c.status).where(
        translations.c.video_translate_id == columns.video_translate_id
    )
    has_ended = func.coalesce(named.scalar_subquery(), Status.SUCCESS).in_(FINAL_STATUSES)
    latest = select(func.max(columns.last_received_at)).scalar_subquery()
    return (
        columns.last_received_at < before,
        columns.last_received_at < latest,
        _is_not_last(deliveries),
        has_ended,
    )


def _oldest_bodies(before: datetime, limit: int) -> Select[Any]:
    """By their numbers, which grow with time: a body has no time of its own.

    All up to the newest of the deliveries that came last before that moment; of those that came
    again, the first time was even earlier.
    """
    came = deliveries.c.last_received_at
    last = select(deliveries.c.id).where(came < before).order_by(came.desc()).limit(LATEST).subquery()
    newest = select(func.max(last.c.id)).scalar_subquery()
    wanted = select(delivery_bodies.c.delivery_id, func.length(delivery_bodies.c.body).label("size"))
    return (
        wanted.where(delivery_bodies.c.delivery_id <= newest)
        .order_by(delivery_bodies.c.delivery_id)
        .limit(limit)
    )


def _prune_bodies(connection: Connection, before: datetime, limit: int) -> int:
    """As many as MOST_BYTES allow, and one in any case: to free a large one takes its time."""
    wanted = _oldest_bodies(before, limit).with_for_update(skip_locked=True)
    taken: list[int] = []
    room = MOST_BYTES
    for row in connection.execute(wanted):
        if taken and row.size > room:
            break
        taken.append(row.delivery_id)
        room -= row.size
    return _delete(connection, delivery_bodies, taken)


# Translations, with their changes and submissions


def _old_translations(before: datetime) -> Sequence[ColumnElement[bool]]:
    """Ended, and nothing is left to do: no poll, no flag, no file to archive, and no submission that
    somebody sees to."""
    columns = translations.c
    awaited = exists().where(
        archived_files.c.translation_id == columns.id, archived_files.c.next_attempt_at.is_not(None)
    )
    busy = exists().where(
        submissions.c.id == columns.submission_id, submissions.c.next_attempt_at.is_not(None)
    )
    last_submission = select(func.max(submissions.c.id)).scalar_subquery()
    last_changed, last_moved = (
        select(table.c.translation_id).where(~_is_not_last(table)).scalar_subquery()
        for table in (changes, link_changes)
    )
    return (
        columns.finished_at < before,
        columns.next_poll_at.is_(None),
        columns.attention.is_(None),
        columns.status.in_(FINAL_STATUSES),
        _is_not_last(translations),
        columns.id != func.coalesce(last_changed, 0),
        columns.id != func.coalesce(last_moved, 0),
        ~busy,
        ~awaited,
        or_(columns.submission_id.is_(None), columns.submission_id < last_submission),
    )


def _prune_translations(connection: Connection, rows: Sequence[Any]) -> int:
    """Their changes go with them by the foreign key, and a submission with the last of its own."""
    count = _delete(connection, translations, [row.id for row in rows])
    asked_for = {row.submission_id for row in rows if row.submission_id is not None}
    left = exists().where(translations.c.submission_id == submissions.c.id)
    if asked_for:
        connection.execute(delete(submissions).where(submissions.c.id.in_(asked_for), ~left))
    return count


def _is_not_last(table: Table) -> ColumnElement[bool]:
    last = select(func.max(table.alias().c.id)).scalar_subquery()
    return table.c.id < last


def _delete(connection: Connection, table: Table, numbers: Sequence[int]) -> int:
    if not numbers:
        return 0
    [key] = table.primary_key
    result = connection.execute(delete(table).where(key.in_(numbers)))
    return cast("CursorResult[Any]", result).rowcount


# SQLite's pages


def free_pages(connection: Connection) -> int:
    """Pages of the SQLite file that can be given back; 0 on PostgreSQL, where autovacuum sees to it."""
    if connection.dialect.name != "sqlite" or _pragma(connection, "auto_vacuum") != INCREMENTAL:
        return 0
    spare = max(SPARE_PAGES, _pragma(connection, "page_count") // SPARE_PART)
    return max(0, _pragma(connection, "freelist_count") - spare)


def give_back(connection: Connection, *, limit: int) -> int:
    """Give at most `limit` free pages back to the file system; returns how many."""
    count = min(limit, free_pages(connection))
    for _ in range(count):  # each time one: Python's driver takes but the first step of this statement
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return count


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
