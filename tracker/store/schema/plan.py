"""What a migration would run: the revisions on the way, and their SQL; nothing is run."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from alembic import command
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from tracker.store.engine import sqlite_path
from tracker.store.schema import migrations, revisions
from tracker.store.writer import translated

NOT_SHOWN = ("SELECT", "PRAGMA")  # what only looks


@dataclass(frozen=True, slots=True)
class Step:
    """One revision on the way: `up` adds it, else it is taken back. `sql` holds one statement each."""

    revision: str
    title: str
    up: bool
    sql: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from `before` (None: no tables yet) to `after`."""

    before: str | None
    after: str
    steps: list[Step]


def plan(reader: Engine, to: str | None = None) -> Plan:
    """What `migrate` would do with this database. Raises StoreError, and InputError for an unknown `to`."""
    wanted = migrations.wanted_revision(to)
    with translated():
        before = _found(reader)
        revisions.refuse_unknown(before)
        return Plan(before, wanted, steps_between(before, wanted, reader.dialect.name))


def steps_between(before: str | None, wanted: str, dialect: str) -> list[Step]:
    """The steps from one revision to another, with their SQL for that dialect."""
    ladder = [None, *revisions.known_revisions()]
    start, end = ladder.index(before), ladder.index(wanted)
    up = end >= start
    rungs = range(start + 1, end + 1) if up else range(start, end, -1)
    passed = [(ladder[rung - 1], str(ladder[rung])) for rung in rungs]
    sql = _rehearsed(before, passed, up=up) if dialect == "sqlite" else _written(passed, dialect, up=up)
    return [
        Step(revision, migrations.title_of(revision), up, statements)
        for (_, revision), statements in zip(passed, sql, strict=True)
    ]


def _found(reader: Engine) -> str | None:
    path = sqlite_path(reader.url)
    if path is not None and not path.exists():  # to look would make it
        return None
    with reader.connect() as connection:
        return revisions.current_revision(connection)


def _written(passed: Sequence[tuple[str | None, str]], dialect: str, *, up: bool) -> list[list[str]]:
    """The SQL as alembic writes it down without a database."""
    sql = []
    for below, revision in passed:
        statements: Any = _Statements()
        config = migrations.migrations_config(output_buffer=statements)
        config.attributes["dialect"] = dialect
        if up:
            command.upgrade(config, f"{below or 'base'}:{revision}", sql=True)
        else:
            command.downgrade(config, f"{revision}:{below or 'base'}", sql=True)
        sql.append(statements.taken)
    return sql


class _Statements:
    """Takes what alembic writes, statement by statement."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def write(self, text: str) -> None:
        if not text.startswith("-- "):  # alembic's own headings
            self.taken.append(text.strip())

    def flush(self) -> None:
        return None


def _rehearsed(before: str | None, passed: Sequence[tuple[str | None, str]], *, up: bool) -> list[list[str]]:
    """The SQL as SQLite gets it, tried out in memory: what it cannot alter is copied, and seen for that."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    sql: list[list[str]] = []
    with engine.connect() as connection:
        if before is not None:
            _go(connection, None, before)
        _hear(connection, sql)
        for below, revision in passed:
            sql.append([])
            here, there = (below, revision) if up else (revision, below)
            _go(connection, here, str(there))
    engine.dispose()
    return sql


def _go(connection: Connection, here: str | None, there: str) -> None:
    with connection.begin():
        migrations.go(connection, here, there)


def _hear(connection: Connection, sql: list[list[str]]) -> None:
    @event.listens_for(connection, "before_cursor_execute")
    def _(_connection: Connection, _cursor: object, statement: str, *_more: object) -> None:
        if not statement.lstrip().startswith(NOT_SHOWN):
            sql[-1].append(f"{dedent(statement).expandtabs(4).strip()};")
