"""The pages of a real SQLite file: what is deleted makes it smaller."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import NOON
from tests.house.pages import ROOT
from tracker.domain.retention import Keep
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.store.retention import SPARE_PAGES
from tracker.store.schema import migrations
from tracker.tracking.retention import Retention

pytestmark = pytest.mark.anyio

PAGE, ROWS = 4096, 6000
KEEP = Keep(timedelta(days=7), timedelta(days=90))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracker.db"


def ask(path: Path, *statements: str) -> list[object]:
    """The first value of each answer, as any other program gets it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = [connection.execute(statement).fetchone() for statement in statements]
    return [row and row[0] for row in rows]


@contextmanager
def opened(path: Path) -> Iterator[Repository]:
    engines = open_engines(f"sqlite:///{path}")
    migrations.migrate(engines.writer)
    store = Repository(engines, lambda: NOON)
    store.open()
    try:
        yield store
    finally:
        store.close()


def size(path: Path) -> int:
    return path.stat().st_size


def fill(path: Path) -> None:
    """Thousands of old deliveries with bodies of a page each, and one of today."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
    old = "'2026-01-01 00:00:00.000000'"
    columns = "body_sha256, outcome, received_at, last_received_at"
    ask(
        path,
        f"{numbers} INSERT INTO deliveries (id, {columns}) SELECT i, i, 'applied', {old}, {old} FROM n",
        f"INSERT INTO deliveries ({columns}) VALUES ('x', 'applied', '2026-11-23', '2026-11-23')",
        "INSERT INTO delivery_bodies SELECT id, '[]', zeroblob(4000) FROM deliveries",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    )


async def prune(store: Repository) -> None:
    async with asyncio.timeout(60):
        await Retention(store, KEEP, lambda: NOON, lambda _kind, _count: None).tick()


async def test_the_file_shrinks_but_for_what_the_next_rows_will_need(path: Path) -> None:
    with opened(path) as store:
        fill(path)
        before = size(path)
        await prune(store)

    assert before > ROWS * PAGE
    assert size(path) < (SPARE_PAGES + 300) * PAGE
    assert ask(path, "PRAGMA freelist_count", "PRAGMA integrity_check") == [SPARE_PAGES, "ok"]
    assert ask(path, "SELECT COUNT(*) FROM deliveries", "SELECT COUNT(*) FROM delivery_bodies") == [1, 1]


@pytest.mark.parametrize("leave", ["nothing", "an empty file"])
def test_a_new_file_is_one_that_can_shrink(path: Path, leave: str) -> None:
    if leave == "an empty file":
        path.touch()
    with opened(path):
        pass

    assert ask(path, "PRAGMA auto_vacuum", "PRAGMA journal_mode") == [2, "wal"]


async def test_a_file_of_old_shrinks_once_it_was_vacuumed_as_the_page_says(path: Path) -> None:
    ask(path, "PRAGMA auto_vacuum = NONE", "CREATE TABLE made_by_an_older_release (n)")
    with opened(path) as store:
        fill(path)
        await prune(store)
        assert ask(path, "PRAGMA auto_vacuum", "PRAGMA freelist_count")[0] == 0
    before = size(path)
    assert before > ROWS * PAGE

    [told] = re.findall(
        r'^sqlite3 \S+ "(PRAGMA .*)"$', (ROOT / "docs" / "database.md").read_text(), re.MULTILINE
    )
    ask(path, *told.rstrip(";").split("; "))

    assert size(path) < before / 10
    assert ask(path, "PRAGMA auto_vacuum", "PRAGMA journal_mode") == [2, "wal"]
    assert ask(path, "PRAGMA integrity_check") == ["ok"]
