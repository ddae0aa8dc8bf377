"""Two engines on one database: one that writes, one that only reads."""

from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tracker.errors import SettingsError
from tracker.store.sharing import share_with_group

BUSY_SECONDS = 5  # less than a webhook may wait
READERS = 4
UNLIMITED = "tracker_unlimited"  # an execution option: migrations set time-outs of their own
# A server that is gone is noticed sooner than a webhook's sender gives up. libpq's own names; the url wins.
LIBPQ = {
    "connect_timeout": "5",
    "tcp_user_timeout": "7000",  # milliseconds
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "application_name": "tracker",
}
# Set anew in each transaction: behind PgBouncer another one may have another session.
# Who is frozen in the middle of one holds up nobody for longer than a webhook may wait.
TIME_OUTS = (
    "SET LOCAL statement_timeout = '7s'; SET LOCAL lock_timeout = '5s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '7s'; SET LOCAL timezone = 'UTC'"
)


@dataclass(frozen=True, slots=True)
class Engines:
    """`writer` begins every transaction with the write lock; `reader` cannot write. A context manager."""

    writer: Engine
    reader: Engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def dispose(self) -> None:
        """Close the connections; those in use are closed when they are given back."""
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
            "TRACKER_DATABASE_URL: is not a database URL; "
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
        return _open_postgresql(url)
    writer = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
    reader = create_engine(url, pool_size=READERS, max_overflow=0, hide_parameters=True)
    # auto_vacuum counts while the file is still empty, and the change to WAL writes its first page.
    pragmas = ["auto_vacuum = INCREMENTAL", "journal_mode = WAL"]
    pragmas += [f"synchronous = {synchronous.upper()}", "foreign_keys = ON"]
    _prepare_sqlite(writer, begin="BEGIN IMMEDIATE", pragmas=pragmas)
    _prepare_sqlite(reader, begin="BEGIN", pragmas=["query_only = ON"])
    return Engines(writer, reader)


def _open_postgresql(url: URL) -> Engines:
    """The parameters of the url, such as sslmode, are libpq's own."""
    libpq: dict[str, Any] = {name: value for name, value in LIBPQ.items() if name not in url.query}
    options: dict[str, Any] = {
        "pool_pre_ping": True,
        "hide_parameters": True,
        # prepared statements belong to one session, which PgBouncer does not promise
        "connect_args": libpq | {"prepare_threshold": None},
    }
    writer = create_engine(url, pool_size=2, **options)
    reader = create_engine(url, pool_size=READERS, execution_options={"postgresql_readonly": True}, **options)
    for engine in (writer, reader):
        event.listen(engine, "begin", _limit)
    return Engines(writer, reader)


def _limit(connection: Connection) -> None:
    if not connection.get_execution_options().get(UNLIMITED):
        connection.exec_driver_sql(TIME_OUTS)


def _prepare_sqlite(engine: Engine, *, begin: str, pragmas: list[str]) -> None:
    """Take transactions into our own hands: the driver begins none before a SELECT, and loses updates."""

    @event.listens_for(engine, "do_connect")
    def _(*_connecting: object) -> None:
        if (path := sqlite_path(engine.url)) is not None:
            share_with_group(path)

    @event.listens_for(engine, "connect")
    def _(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in [f"busy_timeout = {BUSY_SECONDS * 1000}", *pragmas]:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql(begin)
