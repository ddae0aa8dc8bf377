"""A store on each engine, as the tests open it, and another program's view of its database."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, event, insert, or_, select, update
from sqlalchemy.exc import OperationalError

from tests.builders import NOON
from tests.databases import write_migrated
from tests.fakes import FakeClock
from tests.postgres import Server
from tracker.domain.status import Source
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository
from tracker.store.tables import changes, deliveries, translations

__all__ = ["DISK_ERROR", "NOON", "Database", "open_postgresql", "open_sqlite"]

DISK_ERROR = OperationalError("", {}, sqlite3.OperationalError("disk I/O error"))
DEADLINE = 10.0


class Faults:
    """Makes the transactions of a store fail, or its writes wait, as a broken or a slow database does."""

    def __init__(self, engines: Engines) -> None:
        self._error: Exception | None = None
        self._wait: Callable[[], object] | None = None
        for engine in (engines.writer, engines.reader):
            event.listen(engine, "begin", self._before, insert=True)
        self._writer = engines.writer

    def _before(self, connection: Connection) -> None:
        if self._error is not None:
            raise self._error
        if self._wait is not None and connection.engine is self._writer:
            self._wait()

    @contextmanager
    def failing(self, error: Exception = DISK_ERROR) -> Iterator[None]:
        """Every transaction raises `error` when it begins."""
        self._error = error
        try:
            yield
        finally:
            self._error = None

    @contextmanager
    def stalled(self) -> Iterator[asyncio.Event]:
        """No write begins; the event is set once a write waits."""
        loop, waits, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def wait() -> None:
            loop.call_soon_threadsafe(waits.set)
            end.wait(DEADLINE)

        self._wait = wait
        try:
            yield waits
        finally:
            self._wait = None
            end.set()


@dataclass(frozen=True, slots=True)
class Database:
    """A store whose clock stands at noon until a test moves it, and what another program sees and does."""

    store: Repository
    sql: Callable[[str], list[tuple[Any, ...]]]
    engines: Engines
    clock: FakeClock
    faults: Faults

    def put(self, **columns: Any) -> None:
        """Insert a translation, tracked and due since noon unless `columns` say otherwise."""
        self.track(columns.pop("video_translate_id", None), **columns)

    def track(self, *video_translate_ids: str | None, **columns: Any) -> None:
        """Insert a translation for each of these ids, likewise."""
        common = {"created_at": NOON, "next_poll_at": NOON, **columns}
        rows = [{"video_translate_id": name, **common} for name in video_translate_ids]
        with self.engines.writer.begin() as connection:
            connection.execute(insert(translations), rows)

    def end(self, *sources: Source) -> None:
        """Insert a translation that has ended for each of these sources, which was the first to report it."""
        now = self.clock()
        with self.engines.writer.begin() as connection:
            for source in sources:
                row = {"callback_id": "ended", "created_at": now, "status": "success", "next_poll_at": None}
                new = insert(translations).values(row).returning(translations.c.id)
                number = connection.execute(new).scalar_one()
                change = {"old_status": "running", "new_status": "success", "source": source.value}
                times = {"observed_at": now, "recorded_at": now}
                connection.execute(insert(changes).values(translation_id=number, **change, **times))

    def change(self, *video_translate_ids: str | None, **columns: Any) -> None:
        """Update these translations."""
        name = translations.c.video_translate_id
        named = name.in_([one for one in video_translate_ids if one is not None])
        which = or_(named, name.is_(None)) if None in video_translate_ids else named
        with self.engines.writer.begin() as connection:
            connection.execute(update(translations).where(which).values(columns))

    def _read(self, wanted: Select[Any]) -> list[dict[str, Any]]:
        with self.engines.reader.begin() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]

    def rows(self) -> list[dict[str, Any]]:
        """The translations by column name, ordered by id."""
        return self._read(select(translations).order_by(translations.c.id))

    def row(self, video_translate_id: str) -> dict[str, Any]:
        """The translation with this id."""
        [row] = self._read(
            select(translations).where(translations.c.video_translate_id == video_translate_id)
        )
        return row

    def claimed(self) -> list[str]:
        """The ids of the translations that somebody holds a claim on."""
        return [row["video_translate_id"] for row in self.rows() if row["claimed_by"] is not None]

    def changes(self) -> list[tuple[str, str, str]]:
        """Old status, new status and source of each change, oldest first."""
        found = self._read(select(changes).order_by(changes.c.id))
        return [(row["old_status"], row["new_status"], row["source"]) for row in found]

    def deliveries(self) -> list[dict[str, Any]]:
        """signed_by, outcome, error and times_received of each delivery, oldest first."""
        names = ("signed_by", "outcome", "error", "times_received")
        return self._read(select(*(deliveries.c[name] for name in names)).order_by(deliveries.c.id))

    @contextmanager
    def second(self) -> Iterator[Repository]:
        """The store of another program on this database."""
        url = self.engines.writer.url.render_as_string(hide_password=False)
        store = Repository(open_engines(url, synchronous="off"), self.clock)
        store.open()
        try:
            yield store
        finally:
            store.close()


@contextmanager
def open_sqlite(folder: Path) -> Iterator[Database]:
    path = folder / "tracker.db"
    write_migrated(path)

    def sql(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    with _opened(open_engines(f"sqlite:///{path}", synchronous="off"), sql) as database:
        yield database


@contextmanager
def open_postgresql(server: Server) -> Iterator[Database]:
    with (
        server.migrated() as name,
        _opened(open_engines(server.url(name)), partial(server.execute, database=name)) as database,
    ):
        yield database


@contextmanager
def _opened(engines: Engines, sql: Callable[[str], list[tuple[Any, ...]]]) -> Iterator[Database]:
    clock, faults = FakeClock(), Faults(engines)
    store = Repository(engines, clock)
    store.open()
    try:
        yield Database(store, sql, engines, clock, faults)
    finally:
        store.close()
