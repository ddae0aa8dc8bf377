"""Migrations on a real SQLite file and a real server, by our own code and by the alembic command."""

import json
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
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from tests.integration.store.places import OnSqlite, Storage, schema_of
from tracker.errors import InputError, SchemaError, StoreError
from tracker.store.engine import Engines, open_engines
from tracker.store.schema import migrations, plan, revisions
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


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_migrating_says_where_it_began_and_where_it_ended(either: Engines) -> None:
    assert migrations.migrate(either.writer) == (None, revisions.needed_revision())
    assert migrations.migrate(either.writer) == (revisions.needed_revision(), revisions.needed_revision())
    revisions.check(either.reader)


def test_down_and_up_again_gives_the_same_schema(either: Engines, place: Storage) -> None:
    migrations.migrate(either.writer)
    before = place.schema()
    config = migrations.migrations_config()
    with either.writer.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert [name for _, name, _ in place.schema() if not name.startswith("sqlite_")] == []

    migrations.migrate(either.writer)

    assert place.schema() == before
    assert {name for kind, name, _ in before if kind == "view"} == {
        "open_translations",
        "expiring_urls",
        "translation_timings",
        "tracker_health",
    }


@pytest.mark.parametrize("revision", revisions.known_revisions())
def test_each_migration_goes_back_and_forth_around_data(
    either: Engines, place: Storage, revision: str
) -> None:
    migrations.migrate(either.writer)
    before = place.schema()
    place.sql("INSERT INTO translations (video_translate_id, title) VALUES ('a', 'A'), ('b', 'B')")
    place.sql("INSERT INTO tracker_state (name, value) VALUES ('x', '1')")
    place.sql("INSERT INTO submissions (idempotency_key, request) VALUES ('k', '{}')")
    place.sql("UPDATE translations SET submission_id = 1 WHERE video_translate_id = 'b'")

    assert migrations.migrate(either.writer, revision) == (revisions.needed_revision(), revision)
    with either.reader.connect() as connection:
        assert revisions.current_revision(connection) == revision
    assert migrations.migrate(either.writer) == (revision, revisions.needed_revision())

    assert place.schema() == before
    assert place.sql("SELECT video_translate_id, title FROM translations ORDER BY id") == [
        ("a", "A"),
        ("b", "B"),
    ]
    if isinstance(place, OnSqlite):
        assert place.sql("PRAGMA integrity_check") == [("ok",)]


def test_a_revision_that_nobody_knows_is_refused_before_anything_happens(
    engines: Engines, path: Path
) -> None:
    with pytest.raises(InputError, match="there is no schema revision 0815; known revisions: 0001, 0002"):
        migrations.migrate(engines.writer, "0815")
    assert not path.exists()


def test_the_migrations_make_the_tables_that_the_program_knows(either: Engines) -> None:
    migrations.migrate(either.writer)

    with either.reader.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_very_constraints_that_the_program_knows(
    engines: Engines, tmp_path: Path
) -> None:
    """What alembic does not compare: CHECKs, defaults, partial indexes, as SQLite wrote them down."""
    migrations.migrate(engines.writer)
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
    """The lines of a CREATE statement, whatever their order.

    SQLite adds a column on the last one's line, and its constraint with it.
    """
    lines = re.split(r"\n|, (?=\w+ (?:INTEGER|VARCHAR|TEXT|FLOAT)\b)| (?=CONSTRAINT ck_)", sql or "")
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
    migrations.migrate(engines.writer)
    other = tmp_path / "other.db"

    assert alembic(other, "upgrade", "head").returncode == 0

    assert schema_of(other) == schema_of(path)


def test_migrations_written_as_sql_are_refused_with_the_command_to_run(path: Path) -> None:
    offline = alembic(path, "upgrade", "head", "--sql")

    assert offline.returncode != 0
    assert "tracker migrate --plan" in offline.stderr


def test_a_database_without_tables_names_the_command(either: Engines) -> None:
    with pytest.raises(SchemaError, match="no tables yet; run: tracker migrate"):
        revisions.check(either.reader)


def test_an_outdated_schema_names_the_command(either: Engines, place: Storage) -> None:
    migrations.migrate(either.writer, revisions.known_revisions()[-2])

    with pytest.raises(SchemaError, match=r"is older than this program's; run: tracker migrate"):
        revisions.check(either.reader)


def test_a_schema_from_the_future_asks_for_an_upgrade_and_is_left_alone(
    either: Engines, place: Storage
) -> None:
    migrations.migrate(either.writer)
    before = place.schema()
    place.sql("UPDATE alembic_version SET version_num = '9999'")

    for refused in (
        lambda: revisions.check(either.reader),
        lambda: migrations.migrate(either.writer),
        lambda: migrations.migrate(either.writer, "0001"),
        lambda: plan.plan(either.reader),
    ):
        with pytest.raises(SchemaError, match=r"9999 is newer.*upgrade heygen-tracker"):
            refused()
    assert place.schema() == before


def test_a_file_that_is_no_database_is_a_store_error(engines: Engines, path: Path) -> None:
    path.write_text("a letter to my aunt, who has never heard of SQLite in all her life" * 40)

    with pytest.raises(StoreError, match="file is not a database"):
        revisions.check(engines.reader)
    with pytest.raises(StoreError, match="file is not a database"):
        migrations.migrate(engines.writer)


def test_a_folder_that_is_missing_is_a_store_error(tmp_path: Path) -> None:
    engines = open_engines(f"sqlite:///{tmp_path / 'missing' / 'tracker.db'}")

    with pytest.raises(StoreError, match="unable to open database file"):
        migrations.migrate(engines.writer)


def test_what_refers_to_a_table_that_sqlite_makes_anew_stays(engines: Engines, path: Path) -> None:
    migrations.migrate(engines.writer)
    execute(path, "INSERT INTO translations (video_translate_id) VALUES ('a')")
    execute(
        path,
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at) "
        "VALUES (1, 'pending', 'running', 'poll', '2026-11-23 12:00:00.000000')",
    )

    with migrations.for_migrations(engines.writer) as connection, connection.begin():
        for view in ("open_translations", "expiring_urls", "translation_timings", "tracker_health"):
            connection.exec_driver_sql(f"DROP VIEW {view}")
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("translations", recreate="always") as table:
            table.alter_column("title", server_default="nameless")

    with engines.writer.begin() as connection:
        assert connection.exec_driver_sql("SELECT translation_id FROM changes").fetchall() == [(1,)]
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_migration_that_fails_leaves_a_sqlite_file_as_it_was(engines: Engines, path: Path) -> None:
    execute(path, "CREATE TABLE submissions (somebody_elses TEXT)")  # in the way of the second migration
    before = schema_of(path)

    with pytest.raises(StoreError, match="submissions already exists"):
        migrations.migrate(engines.writer)

    assert schema_of(path) == before


def test_several_who_migrate_at_once_end_with_one_schema(place: Storage) -> None:
    several = [
        subprocess.Popen(
            [sys.executable, "-m", "tracker", "migrate", "--json"],
            cwd=ROOT,
            env={**os.environ, "TRACKER_DATABASE_URL": place.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60) for process in several]

    assert [process.returncode for process in several] == [0, 0, 0], said
    newest = revisions.needed_revision()
    began = [json.loads(out)["before"] for out, _ in said]
    assert sorted(began, key=str) == [newest, newest, None]
    assert place.sql("SELECT version_num FROM alembic_version") == [(newest,)]
