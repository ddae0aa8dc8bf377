"""Rows as they are read of one engine, and as the other can hold them: what differs is changed and named."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Double, Integer, LargeBinary, String, Table

from tracker.domain.translation import UNSTORABLE
from tracker.errors import StoreError
from tracker.store.types import UtcTime

NAMED = 1_000  # changed texts that are named at most; all are counted
INT32 = 2**31  # PostgreSQL's integer ends here
INT64 = 2**63
REPLACEMENT = "\ufffd"
NO_TEXT = re.compile("[\ud800-\udfff]")  # what bytes become that are no UTF-8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mended:
    """A text in which REPLACEMENT stands for what the target cannot hold."""

    table: str
    row: int | str
    column: str


class Mending:
    """All that was mended: the first NAMED by name, and how many there are."""

    def __init__(self) -> None:
        self.named: list[Mended] = []
        self.count = 0

    def note(self, mended: Mended) -> None:
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(mended)


class Converter:
    """Makes rows of one table fit for the target; raises StoreError, which names the row and the column."""

    def __init__(self, table: Table, *, to_postgresql: bool, mending: Mending) -> None:
        self._table, self._mending = table.name, mending
        self._unstorable = UNSTORABLE if to_postgresql else NO_TEXT
        self._strict = to_postgresql  # SQLite takes texts of any length and numbers of any size
        self._names = [column.name for column in table.columns]
        self._fit = [self._fitter(column) for column in table.columns]
        self._key = next(number for number, column in enumerate(table.columns) if column.primary_key)

    def __call__(self, values: Sequence[Any]) -> Row:
        """The row, for an INSERT; `values` are those of the table's columns in their order."""
        row: Row = {}
        for name, fit, value in zip(self._names, self._fit, values, strict=True):
            row[name] = None if value is None else fit(value, values[self._key])
        return row

    def _fitter(self, column: Column[Any]) -> Callable[[Any, Any], Any]:
        kind = column.type
        if isinstance(kind, UtcTime):
            return lambda value, key: self._time(value, key, column.name)
        if isinstance(kind, String):
            length = kind.length if self._strict else None
            return lambda value, key: self._text(value, key, column.name, length)
        if isinstance(kind, LargeBinary):
            return lambda value, key: self._of(bytes, value, key, column.name)
        if isinstance(kind, Double):
            return lambda value, key: float(self._of((int, float), value, key, column.name))
        if isinstance(kind, Integer):
            bound = INT32 if type(kind) is Integer and self._strict else INT64
            return lambda value, key: self._whole(value, key, column.name, bound)
        raise TypeError(f"{column} is of a type that nobody has thought of: {kind!r}")

    def _time(self, value: Any, key: Any, column: str) -> datetime:
        try:
            time = datetime.fromisoformat(value) if isinstance(value, str) else value
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, AttributeError, OverflowError):
            raise self._unfit(key, column, f"{_short(value)} is no time") from None

    def _text(self, value: Any, key: Any, column: str, length: int | None) -> str:
        text: str = self._of(str, value, key, column)
        if self._unstorable.search(text):
            self._mending.note(Mended(self._table, key, column))
            text = self._unstorable.sub(REPLACEMENT, text)
        if length is not None and len(text) > length:
            raise self._unfit(key, column, f"{_short(text)} is longer than PostgreSQL's {length} characters")
        return text

    def _whole(self, value: Any, key: Any, column: str, bound: int) -> int:
        number: int = self._of(int, value, key, column)
        if not -bound <= number < bound:
            raise self._unfit(key, column, f"{number} is larger than PostgreSQL's numbers are")
        return number

    def _of(self, kind: type | tuple[type, ...], value: Any, key: Any, column: str) -> Any:
        """SQLite holds values of any type in any column."""
        if not isinstance(value, kind):
            raise self._unfit(key, column, f"{_short(value)} is of the wrong type")
        return value

    def _unfit(self, key: Any, column: str, problem: str) -> StoreError:
        return StoreError(
            f"{self._table}, row {key}: {column}: {problem}; correct or delete that row, then copy again"
        )


class Checksum:
    """Of rows, in whatever order they come: SHA-256 of each, summed up."""

    def __init__(self) -> None:
        self.rows, self._sum = 0, 0

    def add(self, row: Row) -> None:
        plain = [
            hashlib.sha256(value).digest() if isinstance(value, bytes) else value for value in row.values()
        ]
        digest = hashlib.sha256(repr(plain).encode("ascii", "backslashreplace")).digest()
        self.rows, self._sum = self.rows + 1, (self._sum + int.from_bytes(digest)) % 2**256

    @property
    def hex(self) -> str:
        return f"{self._sum:064x}"


def size_of(row: Row) -> int:
    """About how many bytes its texts and bodies are."""
    return sum(len(value) for value in row.values() if isinstance(value, str | bytes))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
