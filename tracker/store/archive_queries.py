"""What people and figures read of `archived_files`; SQL in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from tracker.domain.files.states import FileState
from tracker.domain.status import Status
from tracker.store.archive import IS_MISSING
from tracker.store.tables import archived_files, translations

COUNTED = (FileState.WAITING, FileState.DOWNLOADING, FileState.FAILED)

columns = archived_files.c
ROWS: Select[Any] = select(translations.c.video_translate_id, translations.c.title, *columns).join(
    translations, translations.c.id == columns.translation_id
)


def rows_of(connection: Connection, *, translation_ids: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of these translations with their ids, ordered by number and kind."""
    found = ROWS.where(columns.translation_id.in_(translation_ids))
    return _as_dicts(connection, found.order_by(columns.translation_id, columns.kind))


def unsettled(connection: Connection, *, patience: int, limit: int | None) -> int:
    """How many are still worth waiting for: not given up, and not in vain `patience` times in a row.

    What has no success, or no id, any more, nobody claims. It counts no further than to `limit` (None: all).
    """
    still = or_(
        columns.state == FileState.DOWNLOADING,
        and_(columns.state == FileState.WAITING, columns.attempts < patience),
    )
    can_come = (translations.c.status == Status.SUCCESS, translations.c.video_translate_id.is_not(None))
    some = select(columns.kind).join(translations, translations.c.id == columns.translation_id)
    some = some.where(IS_MISSING, still, *can_come).limit(limit)
    return connection.scalar(select(func.count()).select_from(some.subquery())) or 0


def missing(connection: Connection, *, patience: int, limit: int) -> list[dict[str, Any]]:
    """At most so many rows of those that were given up, or in vain `patience` times; the oldest first."""
    in_vain = and_(columns.state == FileState.WAITING, columns.attempts >= patience)
    found = ROWS.where(IS_MISSING, or_(columns.state == FileState.FAILED, in_vain))
    return _as_dicts(connection, found.order_by(columns.finished_at).limit(limit))


def _as_dicts(connection: Connection, found: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(found)]


def counts(connection: Connection, *, limit: int) -> dict[str, int]:
    """How many files are in each state but archived; it counts no further than to `limit`."""
    found = {}
    for state in COUNTED:
        some = select(columns.kind).where(IS_MISSING, columns.state == state).limit(limit)
        found[str(state)] = connection.scalar(select(func.count()).select_from(some.subquery())) or 0
    return found


def oldest_missing(connection: Connection) -> datetime | None:
    """When the translation ended that has waited longest for a file, given up or not."""
    ends = [
        connection.scalar(
            select(columns.finished_at)
            .where(IS_MISSING, columns.state == state)
            .order_by(columns.finished_at)
            .limit(1)
        )
        for state in COUNTED
    ]
    return min((end for end in ends if end is not None), default=None)
