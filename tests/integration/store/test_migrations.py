"""Migrations on a real SQLite file, by our own code and by the alembic command."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tracker.errors import InputError, SchemaError, StoreError
from tracker.store import schema
from tracker.store.engine import Engines, open_engines
from tracker.store.tables import metadata

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracker.db"


@pytest.fixture
def engines(path: Path) -> Iterator[Engines]:
    engines = open_engines(f"sqlite:///{path}")
    yield engines
    engines.dispose()


def schema_of(path: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        everything = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [row for row in everything if "alembic_version" not in row[1]]


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_migrating_says_where_it_began_and_where_it_ended(engines: Engines) -> None:
    assert schema.migrate(engines.writer) == (None, schema.needed_revision())
    assert schema.migrate(engines.writer) == (schema.needed_revision(), schema.needed_revision())
    schema.check(engines.reader)


def test_down_and_up_again_gives_the_same_schema(engines: Engines, path: Path) -> None:
    schema.migrate(engines.writer)
    before = schema_of(path)
    config = schema.migrations_config()
    with engines.writer.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert [name for _, name, _ in schema_of(path) if not name.startswith("sqlite_")] == []

    schema.migrate(engines.writer)

    assert schema_of(path) == before
    assert {name for kind, name, _ in before if kind == "view"} == {
        "open_translations",
        "expiring_urls",
        "translation_timings",
        "tracker_health",
    }


@pytest.mark.parametrize("revision", schema.known_revisions())
def test_each_migration_goes_back_and_forth_around_data(engines: Engines, path: Path, revision: str) -> None:
    schema.migrate(engines.writer)
    before = schema_of(path)
    execute(path, "INSERT INTO translations (video_translate_id, title) VALUES ('a', 'A'), ('b', 'B')")
    execute(path, "INSERT INTO tracker_state (name, value) VALUES ('x', '1')")
    execute(path, "INSERT INTO submissions (idempotency_key, request) VALUES ('k', '{}')")
    execute(path, "UPDATE translations SET submission_id = 1 WHERE video_translate_id = 'b'")

    assert schema.migrate(engines.writer, revision) == (schema.needed_revision(), revision)
    with engines.reader.connect() as connection:
        assert schema.current_revision(connection) == revision
    assert schema.migrate(engines.writer) == (revision, schema.needed_revision())

    assert schema_of(path) == before
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT video_translate_id, title FROM translations ORDER BY id").fetchall()
        assert kept == [("a", "A"), ("b", "B")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_revision_that_nobody_knows_is_refused_before_anything_happens(
    engines: Engines, path: Path
) -> None:
    with pytest.raises(InputError, match="there is no schema 0815; this program knows 0001, 0002"):
        schema.migrate(engines.writer, "0815")
    assert not path.exists()


def test_the_migrations_make_the_tables_that_the_program_knows(engines: Engines) -> None:
    schema.migrate(engines.writer)

    with engines.reader.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_very_constraints_that_the_program_knows(
    engines: Engines, tmp_path: Path
) -> None:
    """What alembic does not compare: CHECKs, defaults, partial indexes, as SQLite wrote them down."""
    schema.migrate(engines.writer)
    made = open_engines(f"sqlite:///{tmp_path / 'made.db'}")
    metadata.create_all(made.writer)
    made.dispose()

    migrated = {
        name: sql for kind, name, sql in schema_of(tmp_path / "tracker.db") if kind in ("table", "index")
    }
    by_program = {name: sql for kind, name, sql in schema_of(tmp_path / "made.db")}

    assert {name: parts(sql) for name, sql in migrated.items()} == {
        name: parts(sql) for name, sql in by_program.items()
    }


def parts(sql: str | None) -> list[str]:
    """The lines of a CREATE statement, whatever their order; SQLite adds a column on the last one's line."""
    lines = re.split(r"\n|, (?=\w+ (?:INTEGER|VARCHAR|TEXT|FLOAT)\b)", sql or "")
    return sorted(line.strip().rstrip(",").replace(" CHECK ((", " CHECK (") for line in lines)


def alembic(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRACKER_DATABASE_URL": f"sqlite:///{path}"}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_alembic_command_goes_up_finds_nothing_missing_and_goes_down(path: Path) -> None:
    up = alembic(path, "upgrade", "head")
    assert up.returncode == 0, up.stderr
    checked = alembic(path, "check")
    assert (checked.returncode, checked.stdout.strip()) == (0, "No new upgrade operations detected."), (
        checked.stderr
    )
    down = alembic(path, "downgrade", "base")
    assert down.returncode == 0, down.stderr
    assert [kind for kind, name, _ in schema_of(path) if not name.startswith("sqlite_")] == []


def test_the_alembic_command_gives_the_schema_that_our_own_gives(
    engines: Engines, path: Path, tmp_path: Path
) -> None:
    schema.migrate(engines.writer)
    other = tmp_path / "other.db"

    assert alembic(other, "upgrade", "head").returncode == 0

    assert schema_of(other) == schema_of(path)


def test_migrations_written_as_sql_are_refused_with_the_command_to_run(path: Path) -> None:
    offline = alembic(path, "upgrade", "head", "--sql")

    assert offline.returncode != 0
    assert "tracker migrate" in offline.stderr


def test_a_database_without_tables_names_the_command(engines: Engines) -> None:
    with pytest.raises(SchemaError, match="no tables yet; run: tracker migrate"):
        schema.check(engines.reader)


def test_an_outdated_schema_names_the_command(
    engines: Engines, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.migrate(engines.writer)
    execute(path, "DELETE FROM alembic_version")  # as before the first migration

    with pytest.raises(SchemaError, match="run: tracker migrate"):
        schema.check(engines.reader)


def test_a_schema_from_the_future_asks_for_an_upgrade_and_is_left_alone(engines: Engines, path: Path) -> None:
    schema.migrate(engines.writer)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError, match=r"9999 is newer.*upgrade heygen-tracker"):
        schema.check(engines.reader)
    with pytest.raises(SchemaError, match=r"9999 is newer.*upgrade heygen-tracker"):
        schema.migrate(engines.writer)


def test_a_file_that_is_no_database_is_a_store_error(engines: Engines, path: Path) -> None:
    path.write_text("a letter to my aunt, who has never heard of SQLite in all her life" * 40)

    with pytest.raises(StoreError, match="file is not a database"):
        schema.check(engines.reader)
    with pytest.raises(StoreError, match="file is not a database"):
        schema.migrate(engines.writer)


def test_a_folder_that_is_missing_is_a_store_error(tmp_path: Path) -> None:
    engines = open_engines(f"sqlite:///{tmp_path / 'missing' / 'tracker.db'}")

    with pytest.raises(StoreError, match="unable to open database file"):
        schema.migrate(engines.writer)


def test_two_who_migrate_at_once_end_with_one_schema(path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tracker", "migrate"],
            cwd=ROOT,
            env={**os.environ, "TRACKER_DATABASE_URL": f"sqlite:///{path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (schema.needed_revision(),)
        ]
