"""Databases to copy: of both engines, with every column of every table filled."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Double, Integer, LargeBinary, Table, insert, select

from tests.builders import NOON
from tests.databases import write_migrated
from tests.postgres import Server
from tracker.store.copy.conversion import Row
from tracker.store.engine import open_engines
from tracker.store.tables import metadata
from tracker.store.types import UtcTime

TABLES = tuple(table for table in metadata.sorted_tables if table.name != "tracker_instances")
LONG = "order-" + "é" * 5_000  # 10 kB
BODY = bytes(range(256)) * 4_096  # 1 MiB, the largest there is
WORDS = {  # columns that take these words alone
    "status": ("pending", "running", "success", "failed"),
    "old_status": ("pending", "running", "success", "failed"),
    "new_status": ("pending", "running", "success", "failed"),
    "attention": ("conflict", "invalid_id", "not_found", "url_missing", "overdue"),
    "source": ("webhook", "poll", "event_log", "list", "manual"),
    "outcome": ("applied", "unchanged", "hint", "ignored", "unknown", "error"),
    "kind": ("video", "audio", "captions", "srt", "vtt"),
    "state": ("planned", "sent", "done", "refused", "unanswered"),
    "api_version": ("v2", "v3"),
}
FILES = (  # what goes together in archived_files
    {"state": "archived", "next_attempt_at": None},
    {"state": "waiting", "archived_at": None},
    {"state": "failed", "archived_at": None, "next_attempt_at": None},
)
TEXTS = ("Ünï", "日本語", "🎬 emoji", "'; DROP TABLE translations; --", "tab\t, line\n, \\N and \\", "عربى")

Make = Callable[[], AbstractContextManager[str]]


@contextmanager
def sqlite_database(folder: Path, name: str, *, migrated: bool) -> Iterator[str]:
    url = f"sqlite:///{folder / name}.db"
    if migrated:
        write_migrated(folder / f"{name}.db")
    yield url


@contextmanager
def postgresql_database(server: Server, *, migrated: bool) -> Iterator[str]:
    with server.migrated() if migrated else server.database() as name:
        yield server.url(name)


def value_for(column: Column[Any], number: int) -> Any:
    """Something for that column, another one in each row."""
    if words := WORDS.get(column.name):
        return words[number % len(words)]
    if isinstance(column.type, UtcTime):
        return NOON + timedelta(days=number, microseconds=number)
    if isinstance(column.type, LargeBinary):
        return BODY[number:] if number % 2 else b"\x00\xff"
    if isinstance(column.type, Double):
        return number / 3
    if isinstance(column.type, Integer):
        return number
    length = getattr(column.type, "length", None)
    return f"{column.name} {number} {TEXTS[number % len(TEXTS)]}"[:length]


def row_for(table: Table, number: int) -> Row:
    row = {column.name: value_for(column, number) for column in table.columns}
    return row | FILES[number % len(FILES)] if table.name == "archived_files" else row


def fill(url: str, rows: int = 12) -> None:
    """So many rows into each table, none with a null that need not have one, and one translation with a
    callback id of 10 kB."""
    engines = open_engines(url)
    with engines.writer.begin() as connection:
        for table in TABLES:
            made = [row_for(table, number) for number in range(1, rows + 1)]
            if table.name == "translations":
                made[0]["callback_id"] = LONG
            connection.execute(insert(table), made)
    engines.dispose()


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All there is, as the program reads it."""
    engines = open_engines(url)
    with engines.reader.connect() as connection:
        found = {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=lambda row: str(row[0]))
            for table in TABLES
        }
    engines.dispose()
    return found


def is_empty(url: str) -> bool:
    return not any(contents(url).values())
