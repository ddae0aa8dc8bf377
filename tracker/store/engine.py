"""Two engines on one database: one that writes, one that only reads."""

from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tracker.errors import SettingsError

BUSY_SECONDS = 5  # less than a webhook may wait
READERS = 4


@dataclass(frozen=True, slots=True)
class Engines:
    """`writer` begins every transaction with the write lock; `reader` cannot write."""

    writer: Engine
    reader: Engine

    def dispose(self) -> None:
        self.writer.dispose()
        self.reader.dispose()


def parse_url(database_url: str) -> URL:
    """The url as operators paste it; raises SettingsError, which never shows a password."""
    try:
        url = make_url(database_url)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise SettingsError(
            "TRACKER_DATABASE_URL: not a database url; "
            "examples: sqlite:///tracker.db, postgresql://user:password@host/tracker"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(
            f"TRACKER_DATABASE_URL: {url.get_backend_name()} is not supported; use sqlite or postgresql"
        )
    if "@" in (url.host or ""):  # or the end of the password would be told as the host's name
        raise SettingsError(
            "TRACKER_DATABASE_URL: a password with @ : / or % in it must be written as %40 %3A %2F %25"
        )
    if url.get_backend_name() == "sqlite" and sqlite_path(url) is None:
        raise SettingsError("TRACKER_DATABASE_URL: SQLite needs a file; example: sqlite:///tracker.db")
    return url


def sqlite_path(url: URL) -> Path | None:
    """The database file, or None for PostgreSQL and for SQLite in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def open_engines(database_url: str, *, synchronous: str = "full") -> Engines:
    """Engines for `database_url`; nothing is connected yet. `synchronous` is SQLite's."""
    url = parse_url(database_url)
    if url.get_backend_name() == "postgresql":
        options: dict[str, Any] = {"pool_pre_ping": True, "hide_parameters": True}
        writer = create_engine(url, pool_size=2, **options)
        reader = create_engine(
            url, pool_size=READERS, execution_options={"postgresql_readonly": True}, **options
        )
        return Engines(writer, reader)
    writer = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
    reader = create_engine(url, pool_size=READERS, max_overflow=0, hide_parameters=True)
    pragmas = ["journal_mode = WAL", f"synchronous = {synchronous.upper()}", "foreign_keys = ON"]
    _prepare_sqlite(writer, begin="BEGIN IMMEDIATE", pragmas=pragmas)
    _prepare_sqlite(reader, begin="BEGIN", pragmas=["query_only = ON"])
    return Engines(writer, reader)


def _prepare_sqlite(engine: Engine, *, begin: str, pragmas: list[str]) -> None:
    """Take transactions into our own hands: the driver begins none before a SELECT, and loses updates."""

    @event.listens_for(engine, "connect")
    def _(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in [f"busy_timeout = {BUSY_SECONDS * 1000}", *pragmas]:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql(begin)
