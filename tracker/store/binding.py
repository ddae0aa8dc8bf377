"""HeyGen's answer to a submission: each id comes to the row that has its language."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update
from sqlalchemy.exc import IntegrityError

from tracker.domain.status import OPEN_STATUSES
from tracker.domain.submissions import Created, Submission, SubmissionState
from tracker.store.submissions import insert_row, load, note
from tracker.store.tables import WAITS_FOR_ID, submissions, translations
from tracker.store.writer import LostRaceError


def bind(connection: Connection, *, number: int, created: Created, now: datetime) -> None:
    """Give HeyGen's ids to the submission's rows; it is done then. Once more changes nothing."""
    known = load(connection, number)
    if known is None or known.state is SubmissionState.DONE:
        return
    try:
        _Binder(connection, known, created, now).bind()
    except IntegrityError as error:  # another program stored one of the ids after we had looked
        raise LostRaceError from error


@dataclass(frozen=True, slots=True)
class _Binder:
    """Puts each id on a row that has its language.

    A submission's rows are interchangeable while they wait: whoever learnt an id by callback_id may
    have put it on the row of another language, or even of another submission with that callback_id.
    """

    connection: Connection
    known: Submission
    created: Created
    now: datetime

    def bind(self) -> None:
        wanted, ids = self.known.order.wanted, self.created.video_translate_ids
        named: dict[str, str | None] = {}
        left: list[str | None] = list(wanted[len(ids) :])
        for place, one in enumerate(ids):
            language = wanted[place] if place < len(wanted) else None
            if one is not None and one not in named:
                named[one] = language
            elif place < len(wanted):
                left.append(language)
        if not left:
            self._let_go(list(named))
        fresh = {one: language for one, language in named.items() if not self._keep_known(one, language)}
        for one, language in fresh.items():
            self._take_waiting(one, language)
        for row, language in zip(self._all_waiting(), left, strict=False):
            self._write(row, output_language=language)
        self._finish(len(named))

    def _rows(self, *where: ColumnElement[bool]) -> list[Row[Any]]:
        return list(self.connection.execute(select(translations).where(*where).order_by(translations.c.id)))

    def _all_waiting(self) -> list[Row[Any]]:
        return self._rows(translations.c.submission_id == self.known.id, WAITS_FOR_ID)

    def _waiting(self, language: str | None) -> Row[Any] | None:
        """A row of this submission that has no id: open before ended, of this language before others."""
        mine = self._all_waiting()
        mine.sort(key=lambda row: (row.status not in OPEN_STATUSES, row.output_language != language, row.id))
        return mine[0] if mine else None

    def _let_go(self, ids: Sequence[str]) -> None:
        """HeyGen named all: a row with another id got that by a shared callback_id, and is another's."""
        mine = self._rows(
            translations.c.submission_id == self.known.id, translations.c.video_translate_id.is_not(None)
        )
        for row in mine:
            if row.video_translate_id not in ids:
                title = None if row.title == self.known.order.title else row.title
                self._write(row, submission_id=None, output_language=None, title=title)

    def _keep_known(self, one: str, language: str | None) -> bool:
        """True where a row has this id already; it becomes the submission's, and frees a waiting one."""
        found = self._rows(translations.c.video_translate_id == one)
        if not found:
            return False
        [row] = found
        if row.submission_id == self.known.id:
            self._swap_language(row, language)
            return True
        other = load(self.connection, row.submission_id) if row.submission_id is not None else None
        if other is None or other.state is SubmissionState.REFUSED:
            self._adopt(row, language)
        elif other.state is not SubmissionState.DONE:
            self._exchange(row, language)
        return True

    def _swap_language(self, row: Row[Any], language: str | None) -> None:
        """Only a language that we wrote is put right; HeyGen may name it in other words, and knows best."""
        wanted = self.known.order.wanted
        if language is None or row.output_language == language or row.output_language not in wanted:
            return
        if (other := self._waiting(language)) is not None and other.output_language == language:
            self._write(other, output_language=row.output_language)
        self._write(row, output_language=language)

    def _adopt(self, row: Row[Any], language: str | None) -> None:
        """The row that somebody else began stays, with its history; ours, which has none, goes."""
        order = self.known.order
        self._write(
            row,
            submission_id=self.known.id,
            callback_id=row.callback_id or order.callback_id,
            title=row.title or order.title,
            output_language=row.output_language or language,
        )
        if (spare := self._waiting(language)) is not None:
            self.connection.execute(translations.delete().where(translations.c.id == spare.id))

    def _exchange(self, row: Row[Any], language: str | None) -> None:
        """The id is on a row of another submission that still awaits its answer: change places with it."""
        if (mine := self._waiting(language)) is None:
            return
        self._write(
            mine,
            submission_id=row.submission_id,
            callback_id=row.callback_id or mine.callback_id,
            title=row.title,
            output_language=row.output_language,
        )
        title = self.known.order.title
        self._write(row, submission_id=self.known.id, title=title, output_language=language)

    def _take_waiting(self, one: str, language: str | None) -> None:
        """Put the id on a waiting row, or on a new one: HeyGen named more than was asked for."""
        bound = {
            "video_translate_id": one,
            "api_version": self.created.api_version,
            "next_poll_at": self.now,
        }
        if (row := self._waiting(language)) is None:
            insert_row(self.connection, self.known.id, self.known.order, language, self.now, **bound)
        else:
            self._write(row, **bound, output_language=language or row.output_language, last_error=None)

    def _finish(self, named: int) -> None:
        wanted = len(self.known.order.wanted)
        complete = named == wanted and not self._all_waiting()
        error = None if complete else f"HeyGen named {named} ids for {wanted} translations"
        values: dict[str, object] = {
            "state": SubmissionState.DONE,
            "api_version": self.created.api_version,
            "error": error,
            "next_attempt_at": None,
        }
        self.connection.execute(update(submissions).where(submissions.c.id == self.known.id).values(values))
        if error is not None:
            note(self.connection, self.known.id, error)

    def _write(self, row: Row[Any], **values: object) -> None:
        """Compare and set: the row must still have the id, or the want of one, that was read."""
        same = translations.c.video_translate_id.is_not_distinct_from(row.video_translate_id)
        changed = self.connection.execute(
            update(translations)
            .where(translations.c.id == row.id, same)
            .values(**values, updated_at=self.now)
        )
        if changed.rowcount != 1:
            raise LostRaceError
