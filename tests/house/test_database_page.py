"""docs/database.md names every table, view and column, and its SQL runs.

What its useful queries answer is told in test_useful_queries.py, what its rights allow in test_rights.py.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect

from tests.house.pages import DATABASE, ROOT, blocks, rows, section
from tracker.store.engine import Engines, open_engines
from tracker.store.schema import migrations

README = ROOT / "README.md"
QUERIES = [
    (page.name, block)
    for page in (DATABASE, README, ROOT / "docs" / "archive.md")
    for block in blocks(page.read_text(), "sql")
    if not block.startswith("-- PostgreSQL")
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("database") / "tracker.db"
    with closing(_engines(path)) as engines:
        migrations.migrate(engines.writer)
    return path


@pytest.fixture
def connection(database: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh copy, for INSERTs run too."""
    with (
        closing(sqlite3.connect(database)) as original,
        closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
    ):
        original.backup(copy)
        copy.execute("CREATE TABLE orders (number text, customer text)")  # the reader's own
        yield copy


def _engines(path: Path) -> "_Closing":
    return _Closing(open_engines(f"sqlite:///{path}"))


class _Closing:
    def __init__(self, engines: Engines) -> None:
        self.writer, self.close = engines.writer, engines.dispose


def test_every_column_of_every_table_and_view_is_named_and_none_that_does_not_exist(database: Path) -> None:
    with closing(_engines(database)) as engines:
        inspector = inspect(engines.writer)
        names = {*inspector.get_table_names(), *inspector.get_view_names()} - {"alembic_version"}
        real = {name: [column["name"] for column in inspector.get_columns(name)] for name in names}

    headings = {
        line.removeprefix("### ") for line in DATABASE.read_text().splitlines() if line.startswith("### ")
    }
    assert headings == set(real)
    assert {name: list(rows(section(DATABASE, f"### {name}"))) for name in real} == real


@pytest.mark.parametrize(("page", "query"), QUERIES)
def test_the_queries_run(page: str, query: str, connection: sqlite3.Connection) -> None:
    connection.executescript(query)


def test_there_are_queries_to_run() -> None:
    assert len([page for page, _ in QUERIES if page == DATABASE.name]) > 5


def test_the_example_inserts_are_pending_and_due(connection: sqlite3.Connection) -> None:
    [inserts, *_] = blocks(DATABASE.read_text(), "sql")

    connection.executescript(inserts)

    due = "SELECT COUNT(*), MIN(next_poll_at <= strftime('%Y-%m-%d %H:%M:%f999', 'now')) FROM translations"
    assert connection.execute(due).fetchone() == (inserts.count("INSERT"), 1)


def test_downgrading_takes_everything_away(tmp_path: Path) -> None:
    with closing(_engines(tmp_path / "tracker.db")) as engines:
        migrations.migrate(engines.writer)
        with engines.writer.connect() as opened:
            config = migrations.migrations_config()
            config.attributes["connection"] = opened
            command.downgrade(config, "base")
        assert inspect(engines.writer).get_table_names() == ["alembic_version"]
