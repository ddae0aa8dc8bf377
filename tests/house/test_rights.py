"""The rights of docs/database.md, given word for word: what such a role can do, and what it cannot."""

import os
import pwd
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text

from tests.databases import write_migrated
from tests.house.pages import DATABASE, blocks, section
from tests.postgres import Server
from tracker.store import schema
from tracker.store.engine import open_engines
from tracker.store.tables import metadata

TABLES = [table.name for table in metadata.sorted_tables]
VIEWS = ("open_translations", "expiring_urls", "translation_timings", "tracker_health")
START_COLUMNS = ("video_translate_id", "callback_id", "title")
READER, INSERTER = "tracker_reader", "tracker_inserter"
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """A database on which the page's commands were run, and one translation."""
    with postgresql.migrated() as name:
        for block in blocks(section(DATABASE, "## Rights"), "sql"):
            postgresql.execute(block, name)
        postgresql.execute("INSERT INTO translations (callback_id) VALUES ('there before')", name)
        yield name
        for role in (READER, INSERTER):
            postgresql.execute(f"DROP OWNED BY {role}", name)
            postgresql.execute(f"DROP ROLE {role}", name)


def connected(server: Server, database: str, role: str) -> Connection:
    return psycopg.connect(host=str(server.folder), user=role, dbname=database, autocommit=True)


@pytest.fixture
def reader(postgresql: Server, database: str) -> Iterator[Connection]:
    with connected(postgresql, database, READER) as connection:
        yield connection


@pytest.fixture
def inserter(postgresql: Server, database: str) -> Iterator[Connection]:
    with connected(postgresql, database, INSERTER) as connection:
        yield connection


def run(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statement.encode())
    return cursor.fetchall() if cursor.description else []


WRITES = (
    *(f"DELETE FROM {table}" for table in TABLES),
    *(f"TRUNCATE {table} CASCADE" for table in TABLES),
    *(f"INSERT INTO {table} DEFAULT VALUES" for table in TABLES),
    "UPDATE translations SET status = 'success'",
    "UPDATE translations SET title = 'x'",
    "UPDATE tracker_state SET value = '{}'",
    "SELECT * FROM translations FOR UPDATE",
    "SELECT setval('translations_id_seq', 100)",
    "ALTER TABLE translations DROP COLUMN title",
    "DROP VIEW tracker_health",
    "CREATE TABLE mine (id int)",
)


@pytest.mark.parametrize("name", [*TABLES, *VIEWS, "alembic_version"])
def test_the_reader_reads_every_table_and_view(reader: Connection, name: str) -> None:
    run(reader, f"SELECT * FROM {name}")


def test_the_reader_sees_what_is_there(reader: Connection) -> None:
    assert run(reader, "SELECT callback_id, status FROM translations") == [("there before", "pending")]
    assert run(reader, "SELECT open FROM tracker_health") == [(1,)]


@pytest.mark.parametrize("statement", [*WRITES, "SELECT nextval('translations_id_seq')"])
def test_the_reader_writes_nothing(reader: Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        run(reader, statement)


@pytest.mark.parametrize("column", START_COLUMNS)
def test_the_reader_starts_nothing(reader: Connection, column: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        run(reader, f"INSERT INTO translations ({column}) VALUES ('x')")


def test_the_reader_reads_what_migrations_make_anew(
    postgresql: Server, database: str, reader: Connection
) -> None:
    engines = open_engines(postgresql.url(database))
    schema.migrate(engines.writer, "0001")
    schema.migrate(engines.writer)
    engines.dispose()

    for name in (*TABLES, *VIEWS):
        run(reader, f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO translations (video_translate_id) VALUES ('7544c0b52ada44fda693a15b1181b5b4-es')",
        "INSERT INTO translations (callback_id) VALUES ('order-42')",
        "INSERT INTO translations (video_translate_id, callback_id, title) VALUES ('a', 'b', 'Welcome')",
        "INSERT INTO translations (callback_id) VALUES ('order-44') ON CONFLICT DO NOTHING",
    ],
)
def test_the_inserter_starts_tracking(
    postgresql: Server, database: str, inserter: Connection, statement: str
) -> None:
    run(inserter, statement)

    now_due = "SELECT status, next_poll_at <= now(), poll_count FROM translations WHERE id > 1"
    assert postgresql.execute(now_due, database) == [("pending", True, 0)]


def test_a_known_id_is_no_error_for_the_inserter_that_says_so(
    postgresql: Server, database: str, inserter: Connection
) -> None:
    for _ in range(2):
        run(inserter, "INSERT INTO translations (video_translate_id) VALUES ('a') ON CONFLICT DO NOTHING")

    assert postgresql.execute("SELECT COUNT(*) FROM translations", database) == [(2,)]


def test_the_inserter_learns_the_number_of_its_row(
    postgresql: Server, database: str, inserter: Connection
) -> None:
    run(inserter, "INSERT INTO translations (callback_id) VALUES ('mine')")

    [(number,)] = run(inserter, "SELECT currval('translations_id_seq')")
    mine = "SELECT id FROM translations WHERE callback_id = 'mine'"
    assert postgresql.execute(mine, database) == [(number,)]


def test_returning_needs_one_more_right(postgresql: Server, database: str, inserter: Connection) -> None:
    statement = "INSERT INTO translations (callback_id) VALUES ('mine') RETURNING id"
    with pytest.raises(InsufficientPrivilege):
        run(inserter, statement)
    grant = "GRANT SELECT (id) ON translations TO tracker_inserter"
    assert f"`{grant}`" in section(DATABASE, "## Rights")

    postgresql.execute(grant, database)

    assert len(run(inserter, statement)) == 1
    with pytest.raises(InsufficientPrivilege):
        run(inserter, "SELECT callback_id FROM translations")


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_the_inserter_reads_nothing(inserter: Connection, name: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        run(inserter, f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    "column",
    [column.name for column in metadata.tables["translations"].columns if column.name not in START_COLUMNS],
)
def test_the_inserter_sets_no_other_column(inserter: Connection, column: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        run(inserter, f"INSERT INTO translations (callback_id, {column}) VALUES ('x', DEFAULT)")


@pytest.mark.parametrize(
    "statement",
    [
        *(one for one in WRITES if one != "INSERT INTO translations DEFAULT VALUES"),
        *(
            f"INSERT INTO {table} ({metadata.tables[table].columns.keys()[0]}) VALUES (DEFAULT)"
            for table in TABLES
        ),
        "INSERT INTO translations (video_translate_id) VALUES ('a') "
        "ON CONFLICT (video_translate_id) DO UPDATE SET status = 'success'",
    ],
)
def test_the_inserter_does_nothing_else(inserter: Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        run(inserter, statement)


# SQLite: the mode of the file

INSERT = "INSERT INTO translations (callback_id) VALUES ('x')"
COUNT = "SELECT COUNT(*) FROM translations"


@pytest.fixture
def path() -> Iterator[Path]:
    """A migrated file in a folder that anybody may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        write_migrated(path := Path(folder) / "tracker.db")
        yield path


@contextmanager
def daemon_on(path: Path) -> Iterator[None]:
    """Somebody has it open, and has written what is in the log alone as yet."""
    engines = open_engines(f"sqlite:///{path}")
    with engines.writer.begin() as connection:
        connection.execute(text(INSERT))
    yield
    engines.dispose()


@contextmanager
def guest(path: Path) -> Iterator[None]:
    """As somebody who may read the files and write neither them nor their folder."""
    files = list(path.parent.iterdir())
    for one in files:
        one.chmod(0o444)
    path.parent.chmod(0o555)
    if os.geteuid() == 0:  # whom no mode stops
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        path.parent.chmod(0o755)
        for one in files:
            one.chmod(0o644)


def ask(path: Path, options: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?{options}", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def test_the_log_and_the_index_of_sqlite_get_the_mode_of_the_file(path: Path) -> None:
    path.chmod(0o640)

    with daemon_on(path):
        modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}

    assert modes == dict.fromkeys(("tracker.db", "tracker.db-wal", "tracker.db-shm"), 0o640)


def test_who_may_only_read_the_file_reads_while_the_daemon_runs_and_writes_nothing(path: Path) -> None:
    with daemon_on(path), guest(path):
        assert ask(path, "mode=ro", COUNT) == [(1,)]
        for options in ("mode=ro", "mode=rw"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                ask(path, options, INSERT)


def test_once_the_daemon_has_stopped_a_guest_reads_an_immutable_file(path: Path) -> None:
    with daemon_on(path):
        pass

    with guest(path):
        with pytest.raises(sqlite3.OperationalError):
            ask(path, "mode=ro", COUNT)
        assert ask(path, "mode=ro&immutable=1", COUNT) == [(1,)]


def test_an_immutable_file_does_not_show_what_is_new(path: Path) -> None:
    with daemon_on(path):
        pass

    with daemon_on(path):
        assert ask(path, "mode=ro", COUNT) == [(2,)]
        assert ask(path, "mode=ro&immutable=1", COUNT) == [(1,)]


def test_the_owner_who_asks_to_read_only_writes_nothing_by_mistake(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        ask(path, "mode=ro", INSERT)
