"""Submissions: planned before HeyGen is asked, sent by compare-and-set, settled by what comes of it."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Row, func, insert, select, update

from tracker.domain.status import OPEN_STATUSES
from tracker.domain.submissions import Order, Submission, SubmissionState
from tracker.store.tables import WAITS_FOR_ID, submissions, translations

DUE_AT_ONCE = 20
WAITING = (
    select(func.count())
    .where(translations.c.submission_id == submissions.c.id, WAITS_FOR_ID)
    .correlate(submissions)
    .scalar_subquery()
    .label("waiting")
)


def plan(connection: Connection, *, order: Order, key: str, now: datetime, until: datetime) -> Submission:
    """Store the order and a row for each of its translations; nobody else takes it up before `until`."""
    number = _inserted(
        connection.execute(
            insert(submissions).values(
                idempotency_key=key,
                request=json.dumps(asdict(order)),
                created_at=now,
                next_attempt_at=until,
            )
        )
    )
    for language in order.wanted:
        insert_row(connection, number, order, language, now, next_poll_at=None)
    return cast("Submission", load(connection, number))


def load(connection: Connection, number: int) -> Submission | None:
    """The submission of that number; None where there is none."""
    row = connection.execute(select(submissions, WAITING).where(submissions.c.id == number)).one_or_none()
    return None if row is None else _as_submission(row)


def due(connection: Connection, now: datetime) -> list[Submission]:
    """The submissions whose time has come, longest due first."""
    wanted = (
        select(submissions, WAITING)
        .where(submissions.c.next_attempt_at <= now)
        .order_by(submissions.c.next_attempt_at)
        .limit(DUE_AT_ONCE)
    )
    return [_as_submission(row) for row in connection.execute(wanted)]


def send(
    connection: Connection, *, known: Submission, api_version: str, now: datetime, until: datetime
) -> Submission | None:
    """Note that it goes out now, to this API; None where somebody else has taken it up since it was read."""
    values: dict[str, object] = {
        "state": SubmissionState.SENT,
        "api_version": api_version,
        "attempts": known.attempts + 1,
        "sent_at": func.coalesce(submissions.c.sent_at, now),
        "next_attempt_at": until,
    }
    return load(connection, known.id) if _update(connection, known, values) else None


def put_off(
    connection: Connection, *, known: Submission, error: str, until: datetime, unsent: bool, uncounted: bool
) -> bool:
    """Note why an attempt brought no ids, and when the next is due.

    `unsent`: it is planned again, for no attempt can have reached HeyGen. False where somebody else
    has taken it up since, whose word counts.
    """
    values: dict[str, object] = {"error": error, "next_attempt_at": until}
    if uncounted:
        values["attempts"] = max(known.attempts - 1, 0)
    if unsent:
        values |= {"state": SubmissionState.PLANNED, "sent_at": None, "api_version": None}
    return _update(connection, known, values)


def settle(
    connection: Connection,
    *,
    known: Submission,
    state: SubmissionState,
    error: str | None,
    until: datetime | None,
) -> bool:
    """Give it its last state. `until`: when somebody has to see to what is left."""
    settled = _update(connection, known, {"state": state, "error": error, "next_attempt_at": until})
    if settled and state is SubmissionState.UNANSWERED:
        note(connection, known.id, error)
    elif settled and state is SubmissionState.REFUSED:
        _never_poll(connection, known.id)
    return settled


def list_waiting(connection: Connection, number: int) -> list[int]:
    """The numbers of its open rows that have no id yet."""
    wanted = select(translations.c.id).where(
        translations.c.submission_id == number,
        WAITS_FOR_ID,
        translations.c.status.in_(OPEN_STATUSES),
    )
    return list(connection.scalars(wanted.order_by(translations.c.id)))


def list_rows(connection: Connection, number: int) -> list[dict[str, Any]]:
    """Its translations, ordered by id."""
    wanted = select(translations).where(translations.c.submission_id == number).order_by(translations.c.id)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def _update(connection: Connection, known: Submission, values: dict[str, object]) -> bool:
    """Write where the submission still is the one that was read."""
    same = (
        submissions.c.id == known.id,
        submissions.c.state == known.state,
        submissions.c.attempts == known.attempts,
    )
    result = connection.execute(update(submissions).where(*same).values(values))
    return cast("CursorResult[Any]", result).rowcount == 1


def note(connection: Connection, number: int, error: str | None) -> None:
    """Let the rows that wait for an id say why they do."""
    waiting = (translations.c.submission_id == number, WAITS_FOR_ID)
    connection.execute(update(translations).where(*waiting).values(last_error=error))


def _never_poll(connection: Connection, number: int) -> None:
    """What has no id cannot be polled, though its end asks for that."""
    waiting = (translations.c.submission_id == number, WAITS_FOR_ID)
    connection.execute(update(translations).where(*waiting).values(next_poll_at=None))


def insert_row(
    connection: Connection, number: int, order: Order, language: str | None, now: datetime, **values: object
) -> None:
    """Begin a translation of this submission."""
    connection.execute(
        insert(translations).values(
            submission_id=number,
            callback_id=order.callback_id,
            title=order.title,
            output_language=language,
            created_at=now,
            updated_at=now,
            **values,
        )
    )


def _as_submission(row: Row[Any]) -> Submission:
    values = dict(row._mapping)
    request = json.loads(values.pop("request"))
    order = Order(**request | {"languages": tuple(request["languages"])})
    return Submission(**values | {"order": order, "state": SubmissionState(values["state"])})


def _inserted(result: CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    return cast("int", key[0]) if key else 0
