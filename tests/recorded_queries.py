"""The SQL of a version's store, kept beside the tests: each later schema must still bear it.

`make queries` writes down what this version says, for its schema. What was released is never
written again: it is what a daemon of that release says while the schema is already the next one's.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from tests import store_scenario
from tests.builders import PAYLOADS
from tests.postgres import Server, find_binaries
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository
from tracker.store.schema import migrations, revisions

QUERIES = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
ENGINES = ("sqlite", "postgresql")


@dataclass(slots=True)
class Recording:
    """Statements, and in which order they came: the statement's number, its parameters, the rows it wrote.

    `rows` None: nobody can tell. A list of parameters is one execution for each.
    """

    statements: list[str] = field(default_factory=list)
    played: list[tuple[int, Any, int | None]] = field(default_factory=list)

    def add(self, statement: str, parameters: Any, rows: int | None) -> None:
        if statement not in self.statements:
            self.statements.append(statement)
        self.played.append((self.statements.index(statement), _as_json(parameters), rows))


def path_of(revision: str) -> Path:
    return PAYLOADS / f"queries-{revision}.json"


def recorded_revisions() -> list[str]:
    """Of which schemas there is a recording, the oldest first."""
    return sorted(path.stem.partition("-")[2] for path in PAYLOADS.glob("queries-*.json"))


def recorded(revision: str, engine: str) -> Recording:
    kept = json.loads(path_of(revision).read_text())[engine]
    return Recording(kept["statements"], [tuple(one) for one in kept["played"]])


def record(engines: Engines) -> Recording:
    """What the store says to an empty database of the newest schema."""
    recording = Recording()
    for engine in (engines.writer, engines.reader):
        _listen(engine, recording)
    with engines.writer.begin() as other:
        for statement in store_scenario.INSERTS:
            other.exec_driver_sql(statement)
    store = Repository(engines, store_scenario.ticking())
    store.open()
    try:
        asyncio.run(store_scenario.play(store))
    finally:
        store.close()
    return recording


def _listen(engine: Engine, recording: Recording) -> None:
    @event.listens_for(engine, "after_cursor_execute")
    def _(_connection: object, cursor: Any, statement: str, parameters: Any, *_more: object) -> None:
        words = statement.split()
        if words[0] in QUERIES and "alembic_version" not in statement and "pg_catalog" not in statement:
            counted = words[0] in ("UPDATE", "DELETE") and "RETURNING" not in words
            recording.add(statement, parameters, cursor.rowcount if counted else None)


def replay_on_sqlite(path: Path, recording: Recording) -> Iterator[str]:
    """Say it all again, as a daemon would that knows no newer schema; yields what went wrong."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield from _replay(connection.cursor(), recording, sqlite3.Error)


def replay_on_postgresql(connection: "psycopg.Connection[Any]", recording: Recording) -> Iterator[str]:
    """The same on PostgreSQL; `connection` commits every statement at once."""
    with connection.cursor() as cursor:
        yield from _replay(cursor, recording, psycopg.Error)


def _replay(cursor: Any, recording: Recording, error: type[Exception]) -> Iterator[str]:
    for number, parameters, rows in recording.played:
        statement = recording.statements[number]
        given = _from_json(parameters)
        many = isinstance(given, list) and bool(given) and isinstance(given[0], list | dict)
        try:
            (cursor.executemany if many else cursor.execute)(statement, given)
        except error as refused:
            yield f"{refused}: {statement}"
            continue
        if rows is not None and cursor.rowcount != rows:
            yield f"it wrote {cursor.rowcount} rows, and {rows} when it was recorded: {statement}"


def _as_json(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat(" ", "microseconds")
        case psycopg.Binary():
            return _as_json(value.obj)
        case bytes() | memoryview():
            return {"hex": bytes(value).hex()}
        case str():
            return str(value)
        case Mapping():
            return {key: _as_json(one) for key, one in value.items()}
        case Sequence():
            return [_as_json(one) for one in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(one) for one in value]
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else _of_each(value)
    return value


def _of_each(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _from_json(one) for key, one in value.items()}


@contextmanager
def _opened(url: str) -> Iterator[Engines]:
    engines = open_engines(url)
    migrations.migrate(engines.writer)
    yield engines
    engines.dispose()


def main() -> None:
    """Write down what this version's store says on both engines."""
    binaries = find_binaries()
    if binaries is None:
        sys.exit("there is no PostgreSQL server's program; Debian has it in the package postgresql")
    with tempfile.TemporaryDirectory() as folder, Server(binaries) as server, server.database() as name:
        urls = {"sqlite": f"sqlite:///{folder}/tracker.db", "postgresql": server.url(name)}
        kept: dict[str, dict[str, list[Any]]] = {}
        for engine in ENGINES:
            with _opened(urls[engine]) as engines:
                said = record(engines)
                kept[engine] = {"statements": said.statements, "played": list(said.played)}
    path = path_of(revisions.needed_revision())
    path.write_text(_readable(kept))
    print(path.name, *(f"{engine}: {len(said['played'])}" for engine, said in kept.items()))


def _readable(kept: Mapping[str, Mapping[str, Sequence[object]]]) -> str:
    """JSON with a line for each statement, so that a difference can be read."""
    parts = [
        f'"{engine}": {{\n'
        + ",\n".join(
            f'"{what}": [\n' + ",\n".join(json.dumps(one, sort_keys=True) for one in listed) + "\n]"
            for what, listed in said.items()
        )
        + "\n}"
        for engine, said in kept.items()
    ]
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    main()
