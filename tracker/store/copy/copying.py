"""Everything from one database to another, whichever engines they are: all of it, or nothing."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    func,
    insert,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType

from tracker.errors import StoreError
from tracker.store.copy.conversion import Checksum, Converter, Mended, Mending, Row, size_of
from tracker.store.copy.guards import (
    TABLES,
    count_rows,
    is_postgresql,
    prepare,
    refuse_itself,
    refuse_orphans,
    refuse_rows,
    standing_still,
    take,
)
from tracker.store.engine import open_engines
from tracker.store.process_lock import sole_runner
from tracker.store.schema import revisions
from tracker.store.writer import translated

FETCHED = 20  # rows at a time: a body may be 1 MiB
BATCH_ROWS = 1_000
BATCH_BYTES = 4 * 2**20


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
    refuse_itself(source_url, target_url)
    with sole_runner(source_url), sole_runner(target_url), open_engines(source_url) as source:
        revisions.check(source.reader)
        with translated(), open_engines(target_url) as target, standing_still(source.writer) as reading:
            refuse_orphans(reading)
            prepare(target.writer)
            with target.writer.begin() as writing:
                take(writing, "EXCLUSIVE", "target")
                refuse_rows(writing)
                return _Copying(reading, writing, tell).run()


class _Copying:
    """One copy, from one open transaction into another."""

    def __init__(self, reading: Connection, writing: Connection, tell: Callable[[Step], None]) -> None:
        self._reading, self._writing, self._tell = reading, writing, tell
        self._mending = Mending()
        self._done = 0
        self._total = 2 * sum(count_rows(reading, table) for table in TABLES)

    def run(self) -> Copied:
        with _without_triggers(self._writing):
            sums = {table.name: self._copy(table) for table in TABLES}
        for table in TABLES:
            self._verify(table, sums[table.name])
        _continue_numbers(self._writing)
        return Copied(
            rows={name: checksum.rows for name, checksum in sums.items()},
            checksums={name: checksum.hex for name, checksum in sums.items()},
            mended=self._mending.named,
            mended_count=self._mending.count,
        )

    def _copy(self, table: Table) -> Checksum:
        checksum = Checksum()
        with closing(self._rows(self._reading, table, "copying", self._mending)) as rows:
            for batch in _batches(rows):
                for row in batch:
                    checksum.add(row)
                _insert(self._writing, table, batch)
        return checksum

    def _verify(self, table: Table, copied: Checksum) -> None:
        found = Checksum()
        with closing(self._rows(self._writing, table, "verifying", Mending())) as rows:
            for row in rows:
                found.add(row)
        if (found.rows, found.hex) != (copied.rows, copied.hex):
            raise StoreError(
                f"{table.name} is not what was copied: {found.rows} rows with the checksum {found.hex}, not "
                f"{copied.rows} with {copied.hex}; nothing was kept. Is there a trigger at the target?"
            )

    def _rows(
        self, connection: Connection, table: Table, doing: str, mending: Mending
    ) -> Generator[Row, None, None]:
        """Every row, fit for the target; raw ones are read, so that what is wrong can be named."""
        convert = Converter(table, to_postgresql=is_postgresql(self._writing), mending=mending)
        raw = select(*(type_coerce(each, NullType()).label(each.name) for each in table.columns))
        wanted = raw.order_by(*table.primary_key.columns).execution_options(yield_per=FETCHED)
        with connection.execute(wanted) as found:
            for some in found.partitions():
                yield from map(convert, some)
                self._done += len(some)
                self._tell(Step(doing, table.name, self._done, self._total))


@contextmanager
def _without_triggers(writing: Connection) -> Iterator[None]:
    """What is copied has happened long ago: nobody is to be told of it again."""
    if not is_postgresql(writing):
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
    """Raises StoreError, which names the rows."""
    driver: Any = writing.dialect.dbapi
    try:
        if is_postgresql(writing):
            _stream(writing, table, batch)
        else:
            writing.execute(insert(table), batch)
    except (driver.Error, DBAPIError) as error:
        key = next(iter(table.primary_key.columns))
        [reason, *_] = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StoreError(
            f"{table.name}, rows {batch[0][key.name]} to {batch[-1][key.name]}: {reason}; nothing was copied"
        ) from error


def _stream(writing: Connection, table: Table, batch: list[Row]) -> None:
    """COPY takes half the time of INSERT."""
    driver: Any = writing.connection.driver_connection
    statement = f"COPY {table.name} ({', '.join(batch[0])}) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in batch:
            copy.write_row(tuple(row.values()))


def _continue_numbers(writing: Connection) -> None:
    """PostgreSQL's counters go on behind the highest number, and its planner learns what there is."""
    if not is_postgresql(writing):
        return
    for table in TABLES:
        for key in table.primary_key.columns:
            counter = func.pg_get_serial_sequence(table.name, key.name)
            highest = writing.scalar(select(func.max(key)))
            if highest is not None and writing.scalar(select(counter)) is not None:
                writing.execute(select(func.setval(counter, highest)))
        writing.execute(text(f"ANALYZE {table.name}"))
