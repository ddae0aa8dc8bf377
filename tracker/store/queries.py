"""What pages, verbs and metrics read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    exists,
    func,
    select,
    text,
)

from tracker.domain.status import FINAL_STATUSES, OPEN_STATUSES, RACING, Source
from tracker.store.claims import LANES
from tracker.store.conditions import EVERY_ROW, IS_OPEN
from tracker.store.tables import changes, deliveries, translations

OPEN = text(IS_OPEN)  # in the words of the index
LATEST_CHANGES = 1_000  # among so many the latest ends are looked for


def list_translations(
    connection: Connection,
    *,
    given: Mapping[str, str],
    flagged: bool,
    newest_first: bool,
    after: int,
    limit: int,
) -> list[dict[str, Any]]:
    """Rows by id, from behind `after`, whose columns have the `given` values."""
    where: list[ColumnElement[bool]] = [translations.c[name] == value for name, value in given.items()]
    where += [translations.c.id > after] if after else []
    order = translations.c.id.desc() if newest_first else translations.c.id
    wanted = select(translations).where(*where).order_by(order).limit(limit)
    if flagged:
        wanted = wanted.where(translations.c.attention.is_not(None))
        wanted = wanted.with_hint(translations, "INDEXED BY ix_translations_flagged", "sqlite")
    return [dict(row) for row in connection.execute(wanted).mappings()]


def get_translations(connection: Connection, *, column: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows whose unique `column` has one of these values, ordered by id; unknown ones are missing."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(values), 500):  # SQLite bounds the variables of a statement
        part = values[start : start + 500]
        rows = connection.execute(select(translations).where(translations.c[column].in_(part)))
        found += [dict(row) for row in rows.mappings()]
    return sorted(found, key=lambda row: int(row["id"]))


def list_changes(connection: Connection, translation_id: int) -> list[dict[str, Any]]:
    """The history of one translation, oldest first."""
    wanted = select(changes).where(changes.c.translation_id == translation_id).order_by(changes.c.id)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def recent_end_sources(connection: Connection, limit: int) -> list[Source]:
    """Whether a webhook or a poll told first of the latest ends, newest first."""
    return [Source(row.source) for row in connection.execute(_latest_ends(limit))]


def heard_since_ends(connection: Connection, limit: int) -> bool:
    """Whether a signed webhook has come since the oldest of the latest `limit` ends was stored."""
    ends = _latest_ends(limit).subquery()
    oldest = select(func.min(ends.c.recorded_at)).scalar_subquery()
    heard = exists().where(deliveries.c.signed_by.is_not(None), deliveries.c.last_received_at >= oldest)
    return bool(connection.scalar(select(heard)))


def _latest_ends(limit: int) -> Select[Any]:
    latest = select(changes).order_by(changes.c.id.desc()).limit(LATEST_CHANGES).subquery()
    ends = (
        latest.c.new_status.in_(FINAL_STATUSES),
        latest.c.old_status.in_(OPEN_STATUSES),
        latest.c.source.in_(RACING),
    )
    columns = select(latest.c.source, latest.c.recorded_at)
    return columns.where(*ends).order_by(latest.c.id.desc()).limit(limit)


def count_open(connection: Connection, young_since: datetime) -> tuple[int, int]:
    """How many open translations with an id there are: tracked since then, and older ones."""
    lanes = [
        select(func.count()).where(lane, OPEN, translations.c.next_poll_at.is_not(None)) for lane in LANES
    ]
    began = func.coalesce(translations.c.provider_created_at, translations.c.created_at)
    is_young = (OPEN, translations.c.created_at > young_since, began > young_since)
    # Said in this way lest SQLite read all ids there are by their index.
    has_id = func.coalesce(translations.c.video_translate_id, "") != ""
    young = connection.scalar(select(func.count()).where(*is_young, has_id)) or 0
    return young, sum(connection.scalar(lane) or 0 for lane in lanes) - young


def oldest_open(connection: Connection) -> datetime | None:
    """Since when the oldest open translation is tracked; None where all have ended."""
    oldest: datetime | None = connection.scalar(
        select(translations.c.created_at).where(OPEN).order_by(translations.c.created_at).limit(1)
    )
    return oldest


def counts(connection: Connection) -> list[tuple[str, str | None, int]]:
    """How many translations there are by status and attention."""
    by = (translations.c.status, translations.c.attention)
    grouped = select(*by, func.count()).where(text(EVERY_ROW)).group_by(*by)
    return [(row[0], row[1], row[2]) for row in connection.execute(grouped)]


def oldest_due(connection: Connection, now: datetime) -> datetime | None:
    """The due time of the poll that has waited longest; None where nothing is due."""
    waiting = translations.c.next_poll_at
    oldest = [
        connection.scalar(select(waiting).where(lane, waiting <= now).order_by(waiting).limit(1))
        for lane in LANES
    ]
    return min(filter(None, oldest), default=None)


def health(connection: Connection) -> Mapping[str, Any]:
    """The one row of the view tracker_health."""
    return dict(connection.execute(text("SELECT * FROM tracker_health")).mappings().one())
