"""Before a copy: what would make it wrong is refused, and both databases are held still."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, ForeignKey, Table, func, select, text
from sqlalchemy.exc import OperationalError

from tracker.errors import InputError, SchemaError, StoreError
from tracker.store.engine import parse_url, sqlite_path
from tracker.store.schema import migrations, revisions
from tracker.store.tables import metadata, tracker_instances

LOCK_SECONDS = 5
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's own code
# What others point to comes first; who polls there is of no interest to the copy.
TABLES = tuple(table for table in metadata.sorted_tables if table is not tracker_instances)
POLLING = text("SELECT name FROM tracker_instances WHERE seen_at > now() - interval '30 seconds' LIMIT 1")


def refuse_itself(source_url: str, target_url: str) -> None:
    source, target = parse_url(source_url), parse_url(target_url)
    path, other = sqlite_path(source), sqlite_path(target)
    if path is not None and not path.exists():
        raise StoreError(f"there is no database at {path}; TRACKER_DATABASE_URL names the one to copy")
    if source == target or (path is not None and other is not None and path.resolve() == other.resolve()):
        raise InputError("--to: names the database that is to be copied; name another, empty one")


@contextmanager
def standing_still(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment of the source, which nobody can change until the copy is done."""
    with engine.connect() as connection:
        if is_postgresql(connection):
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            refuse_polling(connection)
            take(connection, "SHARE", "database to copy")
            if not is_postgresql(connection):  # any bytes may be text there; they are mended, not lost
                driver: Any = connection.connection.driver_connection
                driver.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            yield connection


def refuse_polling(connection: Connection) -> None:
    """SQLite's lock file tells of a `tracker run`; on PostgreSQL each says itself that it is there."""
    if is_postgresql(connection) and (name := connection.scalar(POLLING)) is not None:
        raise StoreError(f"the tracker {name} polls the database to copy; stop it, then copy again")


def take(connection: Connection, mode: str, what: str) -> None:
    """Keep writers away; on SQLite the transaction has begun with the write lock. Raises StoreError."""
    if not is_postgresql(connection):
        return
    for limit in ("statement_timeout = 0", "idle_in_transaction_session_timeout = 0"):
        connection.execute(text(f"SET LOCAL {limit}"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    try:
        connection.execute(text(f"LOCK TABLE {', '.join(each.name for each in TABLES)} IN {mode} MODE"))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise StoreError(
            f"another program is writing to the {what}, and did not end within {LOCK_SECONDS} s; stop "
            "`tracker run` and the programs that insert, then copy again"
        ) from error


def prepare(target: Engine) -> None:
    """Make the tables where there are none; raises SchemaError for an older or newer schema."""
    with target.connect() as connection:
        found = revisions.current_revision(connection)
    revisions.refuse_unknown(found)
    if found is None:
        migrations.migrate(target)
    elif found != revisions.needed_revision():
        raise SchemaError(
            f"the target's schema {found} is older than this program's; run `tracker migrate` with "
            "TRACKER_DATABASE_URL set to the target, then copy again"
        )


def refuse_rows(writing: Connection) -> None:
    for table in TABLES:
        if count := count_rows(writing, table):
            raise StoreError(
                f"the target is not empty: {table.name} has {count} row{'s' if count > 1 else ''}; "
                "name an empty database, nothing is ever mixed or overwritten"
            )


def refuse_orphans(reading: Connection) -> None:
    """SQLite's shell deletes rows that others point to; PostgreSQL would not take what is left."""
    for table in TABLES:
        for key in table.foreign_keys:
            there = select(key.column).where(key.column == key.parent).exists()
            lost = select(func.count()).where(key.parent.is_not(None), ~there)
            if count := reading.scalar(lost):
                raise StoreError(
                    f"{table.name}: {count} of its rows belong to {key.column.table.name} that are no longer "
                    f"there; run this SQL, then copy again: {_cure(key)}"
                )


def _cure(key: ForeignKey) -> str:
    """What the database itself would have done with foreign keys switched on."""
    column, other = key.parent, key.column
    remedy = ["DELETE FROM", column.table.name]
    if key.ondelete == "SET NULL":
        remedy = ["UPDATE", column.table.name, "SET", column.name, "= NULL"]
    others = ["(SELECT", other.name, "FROM", f"{other.table.name});"]
    return " ".join([*remedy, "WHERE", column.name, "NOT IN", *others])


def count_rows(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
