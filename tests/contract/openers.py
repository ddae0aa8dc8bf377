"""A store on each engine, as the contract tests open it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Select, insert, or_, select, update

from tests.builders import NOON
from tests.fakes import FakeClock
from tests.postgres import Server
from tracker.store import schema
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository
from tracker.store.tables import changes, deliveries, translations

__all__ = ["NOON", "Opened", "open_postgresql", "open_sqlite"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and another program's view of the same database: a Scene that also takes SQL."""

    store: Repository
    sql: Callable[[str], list[tuple[Any, ...]]]
    engines: Engines
    clock: FakeClock = field(default_factory=FakeClock)

    def put(self, **columns: Any) -> None:
        with self.engines.writer.begin() as connection:
            values = {"created_at": NOON, "next_poll_at": NOON, **columns}
            connection.execute(insert(translations).values(values))

    def change(self, *video_translate_ids: str | None, **columns: Any) -> None:
        name = translations.c.video_translate_id
        named = name.in_([one for one in video_translate_ids if one is not None])
        which = or_(named, name.is_(None)) if None in video_translate_ids else named
        with self.engines.writer.begin() as connection:
            connection.execute(update(translations).where(which).values(columns))

    def _read(self, wanted: Select[Any]) -> list[dict[str, Any]]:
        with self.engines.reader.begin() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]

    def rows(self) -> list[dict[str, Any]]:
        return self._read(select(translations).order_by(translations.c.id))

    def changes(self) -> list[tuple[str, str, str]]:
        found = self._read(select(changes).order_by(changes.c.id))
        return [(row["old_status"], row["new_status"], row["source"]) for row in found]

    def deliveries(self) -> list[dict[str, Any]]:
        names = ("signed_by", "outcome", "error", "times_received")
        return self._read(select(*(deliveries.c[name] for name in names)).order_by(deliveries.c.id))


@contextmanager
def open_sqlite(folder: Path) -> Iterator[Opened]:
    path = folder / "tracker.db"
    engines = open_engines(f"sqlite:///{path}")
    schema.migrate(engines.writer)

    def sql(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    with _opened(engines, sql) as opened:
        yield opened


@contextmanager
def open_postgresql(server: Server) -> Iterator[Opened]:
    with (
        server.migrated() as name,
        _opened(open_engines(server.url(name)), partial(server.execute, database=name)) as opened,
    ):
        yield opened


@contextmanager
def _opened(engines: Engines, sql: Callable[[str], list[tuple[Any, ...]]]) -> Iterator[Opened]:
    clock = FakeClock()
    store = Repository(engines, clock)
    store.open()
    try:
        yield Opened(store, sql, engines, clock)
    finally:
        store.close()
