"""A store on each engine, as the contract tests open it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.postgres import Server
from tracker.store import schema
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and another program's view of the same database."""

    store: Repository
    sql: Callable[[str], list[tuple[Any, ...]]]
    engines: Engines


@contextmanager
def open_sqlite(folder: Path) -> Iterator[Opened]:
    path = folder / "tracker.db"
    engines = open_engines(f"sqlite:///{path}")
    schema.migrate(engines.writer)
    store = Repository(engines, lambda: NOON)
    store.open()

    def sql(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    try:
        yield Opened(store, sql, engines)
    finally:
        store.close()


@contextmanager
def open_postgresql(server: Server) -> Iterator[Opened]:
    with server.migrated() as name:
        engines = open_engines(server.url(name))
        store = Repository(engines, lambda: NOON)
        store.open()
        try:
            yield Opened(store, partial(server.execute, database=name), engines)
        finally:
            store.close()
