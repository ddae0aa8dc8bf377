"""Everything from one database to another, whichever engines they are: all of it, or nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    ForeignKey,
    Table,
    func,
    insert,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.types import NullType

from tracker.errors import InputError, SchemaError, StoreError
from tracker.store import schema
from tracker.store.conversion import Checksum, Converter, Mended, Mending, Row, size_of
from tracker.store.engine import Engines, open_engines, parse_url, sqlite_path
from tracker.store.lock import sole_runner
from tracker.store.tables import metadata
from tracker.store.writer import store_error, translated

FETCHED = 50  # rows at a time: a body may be 1 MiB
BATCH_ROWS = 1_000
BATCH_BYTES = 4 * 2**20
LOCK_SECONDS = 5
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's own code
TABLES = tuple(metadata.sorted_tables)  # what others point to comes first


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is: `done` of `total` rows, each of which is copied and then read again."""

    doing: str
    table: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied and verified: rows and checksum of each table, and the texts that had to be changed.

    `mended` names a thousand of them at most, `mended_count` counts all.
    """

    rows: Mapping[str, int]
    checksums: Mapping[str, str]
    mended: Sequence[Mended]
    mended_count: int


def copy_database(source_url: str, target_url: str, tell: Callable[[Step], None]) -> Copied:
    """Copy every row into the empty database at `target_url`, in one transaction, and compare.

    The target's tables are made where there are none. Nobody can write to either database meanwhile.
    Raises InputError for a source that is its own target, SchemaError, AlreadyRunningError while a
    `tracker run` holds a SQLite file, and StoreError: for a target that holds something, and for rows that
    cannot be copied. Whatever ends it before its end leaves the target's tables empty.
    """
    _refuse_itself(source_url, target_url)
    with sole_runner(source_url), sole_runner(target_url), _opened(source_url) as source:
        schema.check(source.reader)
        with translated(), _opened(target_url) as target, _standing_still(source.writer) as reading:
            _refuse_orphans(reading)
            _prepare(target.writer)
            with target.writer.begin() as writing:
                _take(writing, "EXCLUSIVE", "target")
                _refuse_rows(writing)
                return _Copying(reading, writing, tell).run()


class _Copying:
    """One copy, from one open transaction into another."""

    def __init__(self, reading: Connection, writing: Connection, tell: Callable[[Step], None]) -> None:
        self._reading, self._writing, self._tell = reading, writing, tell
        self._mending = Mending()
        self._done = 0
        self._total = 2 * sum(_count(reading, table) for table in TABLES)

    def run(self) -> Copied:
        with _without_triggers(self._writing):
            sums = {table.name: self._copy(table) for table in TABLES}
        for table in TABLES:
            self._verify(table, sums[table.name])
        _count_on(self._writing)
        return Copied(
            rows={name: checksum.rows for name, checksum in sums.items()},
            checksums={name: checksum.hex for name, checksum in sums.items()},
            mended=self._mending.named,
            mended_count=self._mending.count,
        )

    def _copy(self, table: Table) -> Checksum:
        checksum = Checksum()
        for batch in _batches(self._rows(self._reading, table, "copying", self._mending)):
            for row in batch:
                checksum.add(row)
            _insert(self._writing, table, batch)
        return checksum

    def _verify(self, table: Table, copied: Checksum) -> None:
        found = Checksum()
        for row in self._rows(self._writing, table, "verifying", Mending()):
            found.add(row)
        if (found.rows, found.hex) != (copied.rows, copied.hex):
            raise StoreError(
                f"{table.name} is not what was copied: {found.rows} rows with the checksum {found.hex}, not "
                f"{copied.rows} with {copied.hex}; nothing was kept. Is there a trigger at the target?"
            )

    def _rows(self, connection: Connection, table: Table, doing: str, mending: Mending) -> Iterator[Row]:
        """Every row, fit for the target; raw ones are read, so that what is wrong can be named."""
        convert = Converter(table, to_postgresql=_is_postgresql(self._writing), mending=mending)
        raw = select(*(type_coerce(each, NullType()).label(each.name) for each in table.columns))
        wanted = raw.order_by(*table.primary_key.columns).execution_options(yield_per=FETCHED)
        found = connection.execute(wanted)
        for some in found.partitions():
            yield from map(convert, some)
            self._done += len(some)
            self._tell(Step(doing, table.name, self._done, self._total))


def _refuse_itself(source_url: str, target_url: str) -> None:
    source, target = parse_url(source_url), parse_url(target_url)
    path, other = sqlite_path(source), sqlite_path(target)
    if path is not None and not path.exists():
        raise StoreError(f"there is no database at {path}; TRACKER_DATABASE_URL names the one to copy")
    if source == target or (path is not None and other is not None and path.resolve() == other.resolve()):
        raise InputError("--to: names the database that is to be copied; name another, empty one")


@contextmanager
def _opened(url: str) -> Iterator[Engines]:
    engines = open_engines(url)
    try:
        yield engines
    finally:
        engines.dispose()


@contextmanager
def _standing_still(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment of the source, which nobody can change until the copy is done."""
    with engine.connect() as connection:
        if _is_postgresql(connection):
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            _take(connection, "SHARE", "database to copy")
            if not _is_postgresql(connection):  # any bytes may be text there; they are mended, not lost
                driver: Any = connection.connection.driver_connection
                driver.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            yield connection


def _take(connection: Connection, mode: str, what: str) -> None:
    """Keep writers away; on SQLite the transaction has begun with the write lock. Raises StoreError."""
    if not _is_postgresql(connection):
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


def _prepare(target: Engine) -> None:
    """Make the tables where there are none; raises SchemaError for an older or newer schema."""
    with target.connect() as connection:
        found = schema.current_revision(connection)
    schema.refuse_unknown(found)
    if found is None:
        schema.migrate(target)
    elif found != schema.needed_revision():
        raise SchemaError(
            f"the target's schema {found} is older than this program's; run `tracker migrate` with "
            "TRACKER_DATABASE_URL set to the target, then copy again"
        )


def _refuse_rows(writing: Connection) -> None:
    for table in TABLES:
        if count := _count(writing, table):
            raise StoreError(
                f"the target is not empty: {table.name} has {count} row{'s' if count > 1 else ''}; "
                "name an empty database, nothing is ever mixed or overwritten"
            )


def _refuse_orphans(reading: Connection) -> None:
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


@contextmanager
def _without_triggers(writing: Connection) -> Iterator[None]:
    """What is copied has happened long ago: nobody is to be told of it again."""
    if not _is_postgresql(writing):
        yield
        return
    for table in TABLES:
        writing.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
    yield
    for table in TABLES:
        writing.execute(text(f"ALTER TABLE {table.name} ENABLE TRIGGER USER"))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """As many rows as fit into one batch, by number and by size."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += size_of(row)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _insert(writing: Connection, table: Table, batch: list[Row]) -> None:
    try:
        writing.execute(insert(table), batch)
    except (DataError, IntegrityError) as error:
        [key] = table.primary_key.columns
        where = f"{table.name}, rows {batch[0][key.name]} to {batch[-1][key.name]}"
        raise StoreError(f"{where}: {store_error(error)}; nothing was copied") from error


def _count_on(writing: Connection) -> None:
    """PostgreSQL's counters go on behind the highest number, and its planner learns what there is."""
    if not _is_postgresql(writing):
        return
    for table in TABLES:
        for key in table.primary_key.columns:
            counter = func.pg_get_serial_sequence(table.name, key.name)
            highest = writing.scalar(select(func.max(key)))
            if highest is not None and writing.scalar(select(counter)) is not None:
                writing.execute(select(func.setval(counter, highest)))
        writing.execute(text(f"ANALYZE {table.name}"))


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
