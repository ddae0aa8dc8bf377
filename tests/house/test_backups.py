"""The backups of docs/database.md, made and restored by its own commands."""

import os
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.copies import contents, fill, sqlite_database
from tests.house.pages import DATABASE, blocks, section
from tests.postgres import Server
from tracker.store.engine import open_engines
from tracker.store.schema import revisions

SQLITE, POSTGRESQL = blocks(section(DATABASE, "## Backup"), "sh")
NEXT = "INSERT INTO translations (callback_id) VALUES ('next') RETURNING id"


def test_a_sqlite_backup_is_one_moment_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [program, name, statement] = shlex.split(SQLITE)
    assert program == "sqlite3"
    monkeypatch.chdir(tmp_path)
    with sqlite_database(tmp_path, "tracker", migrated=True) as url:
        fill(url)
        before = contents(url)
        writer = open_engines(url).writer
        with writer.begin() as connection:
            connection.execute(text("DELETE FROM tracker_state"))  # not committed, and so not in the backup

            with closing(sqlite3.connect(tmp_path / name)) as shell:
                shell.execute(statement)
        writer.dispose()

    restored = f"sqlite:///{tmp_path / 'tracker-backup.db'}"
    assert contents(restored) == before
    engines = open_engines(restored)
    revisions.check(engines.reader)
    engines.dispose()


@pytest.fixture
def tracker(postgresql: Server) -> Iterator[str]:
    """The url of the database that the page calls `tracker`."""
    with postgresql.migrated() as name:
        postgresql.execute(f"ALTER DATABASE {name} RENAME TO tracker")
        try:
            yield postgresql.url("tracker")
        finally:
            postgresql.execute("DROP DATABASE IF EXISTS tracker_restored WITH (FORCE)")
            postgresql.execute(f"ALTER DATABASE tracker RENAME TO {name}")


def test_a_dump_of_postgresql_is_restored_whole(postgresql: Server, tracker: str, tmp_path: Path) -> None:
    fill(tracker)
    postgresql.execute("SELECT setval('translations_id_seq', 40)", "tracker")
    environment = {"PGHOST": str(postgresql.folder), "PGUSER": "tests"}
    environment["PATH"] = f"{postgresql.binaries}:{os.environ['PATH']}"

    subprocess.run(["bash", "-euc", POSTGRESQL], cwd=tmp_path, env=environment, check=True)

    restored = postgresql.url("tracker_restored")
    assert contents(restored) == contents(tracker)
    assert postgresql.execute(NEXT, "tracker_restored") == [(41,)]
    assert postgresql.execute("SELECT open FROM tracker_health", "tracker_restored") == [(7,)]
    engines = open_engines(restored)
    revisions.check(engines.reader)
    engines.dispose()
