"""A database copied into another one: everything arrives, or nothing."""

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert

from tests.copies import (
    BODY,
    TABLES,
    contents,
    fill,
    is_empty,
    postgresql_database,
    row_for,
    sqlite_database,
)
from tests.postgres import Server
from tracker.errors import AlreadyRunningError, InputError, SchemaError, SettingsError, StoreError
from tracker.store.copy.copying import Copied, Step, copy_database
from tracker.store.engine import open_engines
from tracker.store.process_lock import is_running, sole_runner
from tracker.store.schema import migrations
from tracker.store.tables import deliveries, delivery_bodies

MIB = 2**20


def copy(source: str, target: str) -> Copied:
    return copy_database(source, target, lambda _: None)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[str]:
    """The url of a migrated file."""
    with sqlite_database(tmp_path, "source", migrated=True) as url:
        yield url


@pytest.fixture
def new_sqlite(tmp_path: Path) -> Iterator[str]:
    """The url of a file that is not there yet."""
    with sqlite_database(tmp_path, "target", migrated=False) as url:
        yield url


@pytest.fixture
def server_url(postgresql: Server) -> Iterator[str]:
    """The url of a migrated database."""
    with postgresql_database(postgresql, migrated=True) as url:
        yield url


@pytest.fixture
def new_server_url(postgresql: Server) -> Iterator[str]:
    """The url of a database without tables."""
    with postgresql_database(postgresql, migrated=False) as url:
        yield url


@pytest.fixture(params=["sqlite", "server_url"], ids=["sqlite", "postgresql"])
def source(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=["new_sqlite", "new_server_url"], ids=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def file_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def execute(url: str, statement: str, *values: object) -> None:
    """As sqlite3's shell does it, foreign keys switched off."""
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as connection:
        connection.execute(statement, values)


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(file_of(url), isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()
    with psycopg.connect(url, autocommit=True) as server:
        return server.execute(statement.encode()).fetchall()


# What arrives


def test_every_column_of_every_table_arrives_between_any_two_engines(source: str, target: str) -> None:
    fill(source)
    before = contents(source)
    columns = [column for rows in before.values() for column in zip(*rows, strict=True)]
    assert all(any(value is not None for value in column) for column in columns)

    copied = copy(source, target)

    assert contents(target) == contents(source) == before
    assert copied.rows == {table.name: 12 for table in TABLES}
    assert copied.mended_count == 0


def test_there_and_back_again_gives_the_same_checksums(
    sqlite: str, new_server_url: str, new_sqlite: str
) -> None:
    fill(sqlite)

    there, back = copy(sqlite, new_server_url), copy(new_server_url, new_sqlite)

    assert there == back
    assert len(set(there.checksums.values())) == len(TABLES)


def test_an_empty_database_is_copied_too(source: str, target: str) -> None:
    assert set(copy(source, target).rows.values()) == {0}
    assert is_empty(target)
    [(number,)] = ask(target, "INSERT INTO translations (callback_id) VALUES ('first') RETURNING id")
    assert number == 1


def test_a_target_that_was_migrated_before_is_filled(sqlite: str, server_url: str) -> None:
    fill(sqlite)

    copy(sqlite, server_url)

    assert contents(server_url) == contents(sqlite)


def test_numbers_are_kept_and_go_on_behind_the_highest(source: str, target: str) -> None:
    fill(source)

    copy(source, target)

    [(number,)] = ask(target, "INSERT INTO translations (callback_id) VALUES ('next') RETURNING id")
    assert number == 13


def test_times_that_another_program_wrote_shorter_are_the_same_moments(
    sqlite: str, new_server_url: str
) -> None:
    for number, time in enumerate(
        ("2026-11-23 09:30:00", "2026-11-23 09:30:00.5", "2026-11-23 09:30:00.1234567")
    ):
        execute(sqlite, "INSERT INTO translations (callback_id, created_at) VALUES (?, ?)", str(number), time)

    copy(sqlite, new_server_url)

    shown = ask(
        new_server_url,
        "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') "
        "FROM translations ORDER BY id",
    )
    assert shown == [
        ("2026-11-23 09:30:00.000000",),
        ("2026-11-23 09:30:00.500000",),
        ("2026-11-23 09:30:00.123456",),
    ]


def test_a_text_with_nul_stays_as_it_is_where_it_can(sqlite: str, new_sqlite: str) -> None:
    execute(sqlite, "INSERT INTO translations (callback_id) VALUES (?)", "before\0after")

    assert copy(sqlite, new_sqlite).mended_count == 0
    assert ask(new_sqlite, "SELECT callback_id FROM translations") == [("before\0after",)]


def test_nul_that_postgresql_cannot_hold_is_replaced_and_named(sqlite: str, new_server_url: str) -> None:
    execute(sqlite, "INSERT INTO translations (callback_id) VALUES ('fine')")
    execute(sqlite, "INSERT INTO translations (callback_id, title) VALUES ('x', ?)", "before\0after")

    copied = copy(sqlite, new_server_url)

    assert [(one.table, one.row, one.column) for one in copied.mended] == [("translations", 2, "title")]
    assert ask(new_server_url, "SELECT title FROM translations WHERE id = 2") == [("before\ufffdafter",)]


def test_bytes_that_are_no_text_are_replaced_and_named(sqlite: str, target: str) -> None:
    execute(sqlite, "INSERT INTO translations (callback_id, title) VALUES ('x', CAST(x'41ff42' AS TEXT))")

    copied = copy(sqlite, target)

    assert [(one.table, one.row, one.column) for one in copied.mended] == [("translations", 1, "title")]
    assert ask(target, "SELECT title FROM translations") == [("A\ufffdB",)]


def test_more_mended_texts_than_are_named_are_counted(sqlite: str, new_server_url: str) -> None:
    with closing(sqlite3.connect(file_of(sqlite))) as connection, connection:
        rows = [(f"{number}\0",) for number in range(1_005)]
        connection.executemany("INSERT INTO translations (callback_id) VALUES (?)", rows)

    copied = copy(sqlite, new_server_url)

    assert (len(copied.mended), copied.mended_count) == (1_000, 1_005)


def test_memory_does_not_grow_with_the_bodies(sqlite: str, target: str) -> None:
    engines = open_engines(sqlite)
    with engines.writer.begin() as connection:
        for number in range(1, 151):
            connection.execute(insert(deliveries), [row_for(deliveries, number)])
            body = {"delivery_id": number, "headers": "[]", "body": BODY}
            connection.execute(insert(delivery_bodies), [body])
    engines.dispose()

    tracemalloc.start()
    copy(sqlite, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 75 * MIB
    assert ask(target, "SELECT COUNT(*), SUM(LENGTH(body)) FROM delivery_bodies") == [(150, 150 * MIB)]


def test_progress_is_told_from_the_first_row_to_the_last(sqlite: str, target: str) -> None:
    fill(sqlite, 50)
    steps: list[Step] = []

    copy_database(sqlite, target, steps.append)

    assert [step.done for step in steps] == sorted({step.done for step in steps})
    assert {step.total for step in steps} == {steps[-1].done} == {2 * 50 * len(TABLES)}
    assert [step.doing for step in steps] == sorted(step.doing for step in steps)  # copying, then verifying


def test_triggers_of_the_target_are_not_told_what_happened_long_ago(sqlite: str, server_url: str) -> None:
    fill(sqlite)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'told again'; END $$"
        )
        server.execute("CREATE TRIGGER refuse BEFORE INSERT ON changes EXECUTE FUNCTION refuse()")

    copy(sqlite, server_url)

    with pytest.raises(psycopg.errors.RaiseException, match="told again"):
        ask(server_url, "INSERT INTO changes SELECT * FROM changes")


# Nobody else


def test_a_source_that_a_tracker_runs_on_is_refused(sqlite: str, target: str) -> None:
    with sole_runner(sqlite), pytest.raises(AlreadyRunningError, match="stop it first"):
        copy(sqlite, target)


def test_a_target_that_a_tracker_runs_on_is_refused(sqlite: str, new_sqlite: str) -> None:
    with sole_runner(new_sqlite), pytest.raises(AlreadyRunningError, match="stop it first"):
        copy(sqlite, new_sqlite)


def test_no_tracker_starts_on_the_source_meanwhile(sqlite: str, new_server_url: str) -> None:
    fill(sqlite)
    held: set[bool | None] = set()

    copy_database(sqlite, new_server_url, lambda _: held.add(is_running(sqlite)))

    assert held == {True}
    assert is_running(sqlite) is False


def is_kept_from_writing(url: str) -> bool:
    """Whether another program has to wait."""
    statement = "DELETE FROM tracker_state"
    try:
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(file_of(url), timeout=0)) as connection:
                connection.execute(statement)
        else:
            with psycopg.connect(url, options="-c lock_timeout=1ms") as server:
                server.execute(statement)
    except (sqlite3.OperationalError, psycopg.errors.LockNotAvailable):
        return True
    return False


def test_a_source_that_a_tracker_polls_is_refused(postgresql: Server, new_sqlite: str) -> None:
    with postgresql.migrated() as name:
        postgresql.execute("INSERT INTO tracker_instances VALUES ('host:7', now(), now())", name)
        with pytest.raises(StoreError, match="the tracker host:7 polls the database to copy; stop it"):
            copy(postgresql.url(name), new_sqlite)
        postgresql.execute("UPDATE tracker_instances SET seen_at = now() - interval '1 minute'", name)
        copy(postgresql.url(name), new_sqlite)


def test_nobody_writes_to_the_source_meanwhile(source: str, new_sqlite: str) -> None:
    fill(source)
    kept: set[bool] = set()

    copy_database(source, new_sqlite, lambda _: kept.add(is_kept_from_writing(source)))

    assert kept == {True}
    assert not is_kept_from_writing(source)


def test_a_writer_that_does_not_end_is_named(server_url: str, new_sqlite: str) -> None:
    with psycopg.connect(server_url) as server:
        server.execute("INSERT INTO translations (callback_id) VALUES ('not committed')")

        with pytest.raises(StoreError, match="another program is writing to the database to copy"):
            copy(server_url, new_sqlite)


# What is refused


def test_a_target_that_holds_something_is_refused_with_table_and_count(source: str, target: str) -> None:
    copy(source, target)
    fill(source, 3)
    copy_of_the_second = contents(source)
    statement = "INSERT INTO translations (callback_id) VALUES ('mine'), ('too') RETURNING id"
    ask(target, statement)

    with pytest.raises(StoreError, match="the target is not empty: translations has 2 rows"):
        copy(source, target)

    assert contents(source) == copy_of_the_second
    assert len(contents(target)["translations"]) == 2


def test_a_database_is_not_copied_into_itself(source: str) -> None:
    with pytest.raises(InputError, match="--to: names the database that is to be copied"):
        copy(source, source)


def test_a_link_to_the_source_is_the_source(sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(file_of(sqlite))

    with pytest.raises(InputError, match="--to"):
        copy(sqlite, f"sqlite:///{tmp_path / 'link.db'}")


def test_a_source_that_is_not_there_is_not_made(new_sqlite: str, server_url: str) -> None:
    with pytest.raises(StoreError, match="there is no database at"):
        copy(new_sqlite, server_url)

    assert not Path(file_of(new_sqlite)).exists()


def test_a_source_without_tables_is_refused(new_server_url: str, new_sqlite: str) -> None:
    with pytest.raises(SchemaError, match="no tables yet"):
        copy(new_server_url, new_sqlite)


@pytest.mark.parametrize(("revision", "told"), [("0001", "older than this program's"), ("9999", "newer")])
def test_a_target_with_another_schema_is_refused(
    sqlite: str, new_server_url: str, revision: str, told: str
) -> None:
    engines = open_engines(new_server_url)
    migrations.migrate(engines.writer)
    migrations.migrate(engines.writer, "0001")
    engines.dispose()
    with psycopg.connect(new_server_url) as server:
        server.execute("UPDATE alembic_version SET version_num = %s", [revision])

    with pytest.raises(SchemaError, match=told):
        copy(sqlite, new_server_url)


def test_an_url_that_is_none_is_refused(sqlite: str) -> None:
    with pytest.raises(SettingsError):
        copy(sqlite, "mysql://somewhere/tracker")


@pytest.mark.parametrize(
    ("deleted", "told"),
    [
        (
            "translations",
            [
                f"{table}: 12 of its rows belong to translations that are no longer there"
                for table in ("archived_files", "changes", "link_changes")
            ],
        ),
        ("deliveries", ["changes: 12 of its rows belong to", "delivery_bodies: 12 of its rows belong to"]),
    ],
)
def test_rows_that_lost_what_they_belong_to_are_refused_with_the_way_out(
    sqlite: str, new_server_url: str, deleted: str, told: list[str]
) -> None:
    fill(sqlite)
    execute(sqlite, f"DELETE FROM {deleted}")

    for expected in told:
        with pytest.raises(StoreError, match=expected) as refused:
            copy(sqlite, new_server_url)
        execute(sqlite, str(refused.value).partition("copy again: ")[2])
    copy(sqlite, new_server_url)

    assert contents(new_server_url) == contents(sqlite)


@pytest.mark.parametrize(
    ("columns", "values", "told"),
    [
        (
            "video_translate_id",
            (["x" * 256],),
            r"row 13: video_translate_id: 'x+\.\.\. is longer than PostgreSQL's 255",
        ),
        ("callback_id, title", (["a", b"\x00"],), "row 13: title: b'.*' is of the wrong type"),
        ("callback_id, poll_count", (["a", 2**40],), "row 13: poll_count: 1099511627776 is larger"),
        ("callback_id, poll_count", (["a", "many"],), "row 13: poll_count: 'many' is of the wrong type"),
        ("video_translate_id", (["a\0"], ["a\ufffd"]), "translations, rows 1 to 14: duplicate key value"),
    ],
)
def test_a_row_that_postgresql_cannot_hold_is_named_and_nothing_is_kept(
    sqlite: str, server_url: str, columns: str, values: tuple[list[object], ...], told: str
) -> None:
    fill(sqlite)
    for row in values:
        marks = ", ".join("?" * len(row))
        execute(sqlite, f"INSERT INTO translations ({columns}) VALUES ({marks})", *row)

    with pytest.raises(StoreError, match=told):
        copy(sqlite, server_url)

    assert is_empty(server_url)


def test_a_time_that_is_none_is_named(sqlite: str, target: str) -> None:
    fill(sqlite)
    execute(sqlite, "UPDATE changes SET observed_at = 'yesterday' WHERE id = 7")

    with pytest.raises(StoreError, match="changes, row 7: observed_at: 'yesterday' is no time"):
        copy(sqlite, target)

    assert is_empty(target)


def test_a_copy_that_is_interrupted_leaves_nothing_and_can_be_made_again(sqlite: str, target: str) -> None:
    fill(sqlite, 200)

    def interrupt(step: Step) -> None:
        if step.doing == "verifying":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(sqlite, target, interrupt)
    assert is_empty(target)

    copy(sqlite, target)
    assert contents(target) == contents(sqlite)


def test_what_the_target_changes_on_the_way_is_noticed(sqlite: str, new_sqlite: str) -> None:
    fill(sqlite)
    engines = open_engines(new_sqlite)
    migrations.migrate(engines.writer)
    engines.dispose()
    execute(
        new_sqlite,
        "CREATE TRIGGER lie AFTER INSERT ON translations WHEN NEW.id = 3 BEGIN "
        "UPDATE translations SET title = 'another' WHERE id = 3; END",
    )

    with pytest.raises(StoreError, match="translations is not what was copied: 12 rows"):
        copy(sqlite, new_sqlite)

    assert is_empty(new_sqlite)
