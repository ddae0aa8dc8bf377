"""Which files are archived, which are to be, and who downloads which; SQL in the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Row,
    and_,
    case,
    delete,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tracker.domain.files.records import Archived, FileClaim, Wanted
from tracker.domain.files.states import FileState
from tracker.domain.links import LinkKind
from tracker.domain.record import RecordResult
from tracker.domain.status import Status
from tracker.store.tables import archived_files, translations

WALKED = 1000  # translations in one transaction
LEFT = "the translation is no success any more"

columns = archived_files.c
KEY = tuple_(columns.translation_id, columns.kind)
LINKS = [translations.c[kind.column] for kind in LinkKind]
TOLD = [
    translations.c[name]
    for name in (
        "video_translate_id",
        "title",
        "output_language",
        "input_language",
        "callback_id",
        "created_at",
    )
]
IS_MISSING = columns.archived_at.is_(None)  # as the index says it
FREE: dict[str, Any] = {"claimed_by": None, "claimed_until": None}
LINK = case({kind: translations.c[kind.column] for kind in LinkKind}, value=columns.kind)


# What is wanted


def want_recorded(
    connection: Connection, recorded: Iterable[RecordResult], kinds: Collection[LinkKind], now: datetime
) -> None:
    """A row for each wanted file of the successes among what was just stored; none where one was left."""
    told = [one for one in recorded if one.translation_id is not None]
    _add(
        connection,
        [
            _new_row(cast("int", one.translation_id), kind, one.finished_at or now, now)
            for one in sorted(told, key=lambda one: one.translation_id or 0)  # in one order: no deadlock
            for kind in sorted(one.links & set(kinds))
        ],
    )
    ends = {one.translation_id: one.change.new for one in told if one.change is not None}
    left = {one.translation_id for one in told if one.change is not None and one.change.old is Status.SUCCESS}
    if lost := [number for number in left if ends[number] is not Status.SUCCESS]:
        _give_up(connection, lost)


def _give_up(connection: Connection, translation_ids: Collection[int | None]) -> None:
    """They are no success any more: nobody waits for their files. Where one of them is, is still known."""
    theirs = (columns.translation_id.in_(translation_ids), IS_MISSING)
    connection.execute(delete(archived_files).where(*theirs, columns.location.is_(None)))
    connection.execute(
        update(archived_files)
        .where(*theirs)
        .values(state=FileState.FAILED, error=LEFT, next_attempt_at=None, **FREE)
    )


def want(
    connection: Connection,
    *,
    translation_ids: Sequence[int],
    kinds: Collection[LinkKind],
    now: datetime,
    again: bool,
) -> Wanted:
    """Make what these have due now, also what was put off or given up; `again`: what is archived, too."""
    found = select(translations.c.id, translations.c.finished_at, *LINKS).where(
        translations.c.id.in_(translation_ids), translations.c.status == Status.SUCCESS
    )
    count = _want(connection, connection.execute(found).all(), kinds, now)
    if again:
        is_there = (columns.translation_id.in_(translation_ids), columns.state == FileState.ARCHIVED)
        count += _make_due(connection, [*is_there, columns.kind.in_(kinds)], now)
    return Wanted(count)


def want_all(connection: Connection, *, kinds: Collection[LinkKind], after: int, now: datetime) -> Wanted:
    """The same for the next WALKED translations behind the number `after`."""
    some = (
        select(translations.c.id, translations.c.status, translations.c.finished_at, *LINKS)
        .where(translations.c.id > after)
        .order_by(translations.c.id)
        .limit(WALKED)
    )
    rows = connection.execute(some).all()
    count = _want(connection, [row for row in rows if row.status == Status.SUCCESS], kinds, now)
    return Wanted(count, rows[-1].id if len(rows) == WALKED else None)


def _want(
    connection: Connection, rows: Sequence[Row[Any]], kinds: Collection[LinkKind], now: datetime
) -> int:
    count = _add(
        connection,
        [
            _new_row(row.id, kind, row.finished_at or now, now)
            for row in rows
            for kind in sorted(kinds)
            if row._mapping[kind.column] is not None
        ],
    )
    waits_long = and_(columns.state == FileState.WAITING, columns.next_attempt_at > now)
    put_off = (
        columns.translation_id.in_([row.id for row in rows]),
        or_(columns.state == FileState.FAILED, waits_long),
        columns.kind.in_(kinds),
    )
    return count + _make_due(connection, put_off, now)


def _new_row(translation_id: int, kind: LinkKind, finished_at: datetime, now: datetime) -> dict[str, object]:
    return {
        "translation_id": translation_id,
        "kind": kind,
        "finished_at": finished_at,
        "created_at": now,
        "next_attempt_at": now,
    }


def _add(connection: Connection, rows: Sequence[dict[str, object]]) -> int:
    """Those that are not there yet; returns how many."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(archived_files).on_conflict_do_nothing().returning(columns.kind)
    return len(connection.execute(new, rows).all())


def _make_due(connection: Connection, which: Sequence[ColumnElement[bool]], now: datetime) -> int:
    changed = (
        update(archived_files)
        .where(*which)
        .values(
            state=FileState.WAITING, next_attempt_at=now, attempts=0, error=None, archived_at=None, **FREE
        )
    )
    return cast("CursorResult[Any]", connection.execute(changed)).rowcount


# Who downloads what


def claim(
    connection: Connection,
    *,
    now: datetime,
    limit: int,
    owner: str,
    lease: timedelta,
    of: Collection[int] | None,
) -> list[FileClaim]:
    """Take due files, those that came due last first; other claimers skip what is locked here."""
    free = or_(columns.claimed_until.is_(None), columns.claimed_until <= now)
    due = (
        select(
            columns.translation_id,
            columns.kind,
            columns.attempts,
            columns.location,
            columns.finished_at,
            *TOLD,
            LINK.label("url"),
        )
        .join(translations, translations.c.id == columns.translation_id)
        .where(columns.next_attempt_at <= now, free, translations.c.status == Status.SUCCESS)
        .where(translations.c.video_translate_id.is_not(None))
        .order_by(columns.next_attempt_at.desc())
        .limit(limit)
        .with_for_update(skip_locked=True, of=archived_files)  # PostgreSQL; SQLite's writer is alone
    )
    if of is not None:
        due = due.where(columns.translation_id.in_(of))
    rows = connection.execute(due).all()
    if not rows:
        return []
    until = now + lease
    connection.execute(
        update(archived_files)
        .where(KEY.in_([(row.translation_id, row.kind) for row in rows]))
        .values(state=FileState.DOWNLOADING, claimed_by=owner, claimed_until=until)
    )
    return [_as_claim(row, owner, until) for row in rows]


def _as_claim(row: Any, owner: str, until: datetime) -> FileClaim:
    values = dict(row._mapping)
    return FileClaim(kind=LinkKind(values.pop("kind")), owner=owner, until=until, **values)


def renew(connection: Connection, *, held: FileClaim, until: datetime) -> FileClaim | None:
    """The claim, longer; None where it is no longer ours."""
    is_ours = _write(connection, held, claimed_until=until)
    return replace(held, until=until) if is_ours else None


def give_back(connection: Connection, *, held: FileClaim, next_attempt_at: datetime) -> bool:
    """Let it wait; False where the claim is no longer ours."""
    return _write(connection, held, state=FileState.WAITING, next_attempt_at=next_attempt_at, **FREE)


def keep(connection: Connection, *, held: FileClaim, archived: Archived, now: datetime) -> bool:
    """It is there; False where the claim is no longer ours."""
    return _write(
        connection,
        held,
        state=FileState.ARCHIVED,
        location=archived.location,
        bytes=archived.bytes,
        sha256=archived.sha256,
        content_type=archived.content_type,
        attempts=0,
        error=None,
        next_attempt_at=None,
        archived_at=now,
        **FREE,
    )


def fail(
    connection: Connection, *, held: FileClaim, error: str, attempts: int, next_attempt_at: datetime | None
) -> bool:
    """Why it is not there; False where the claim is no longer ours."""
    state = FileState.FAILED if next_attempt_at is None else FileState.WAITING
    return _write(
        connection, held, state=state, error=error, attempts=attempts, next_attempt_at=next_attempt_at, **FREE
    )


def _write(connection: Connection, held: FileClaim, **values: Any) -> bool:
    """Compare and set."""
    ours = and_(
        columns.translation_id == held.translation_id,
        columns.kind == held.kind,
        columns.claimed_by == held.owner,
        columns.claimed_until == held.until,
    )
    result = connection.execute(update(archived_files).where(ours).values(**values))
    return cast("CursorResult[Any]", result).rowcount == 1


def free_all(connection: Connection) -> None:
    """Give every claim back: the sole runner's first act, for whoever held them is dead, or will find out."""
    connection.execute(
        update(archived_files)
        .where(IS_MISSING, columns.state == FileState.DOWNLOADING)
        .values(state=FileState.WAITING, **FREE)
    )
