"""Migrations on a real PostgreSQL server, among others who use it: waits that end, and who is named then."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from tests.postgres import Server
from tracker.errors import StoreError
from tracker.store.engine import Engines, open_engines
from tracker.store.schema import migrations, revisions
from tracker.store.schema.lock import LockPatience, sole_migrator, with_patience
from tracker.store.writer import translated

HASTY = LockPatience(seconds=0.2, attempts=2, pause=0.05)
HELD = "SELECT granted FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture
def name(postgresql: Server) -> Iterator[str]:
    with postgresql.migrated() as name:
        yield name


@pytest.fixture
def engines(postgresql: Server, name: str) -> Iterator[Engines]:
    engines = open_engines(postgresql.url(name))
    yield engines
    engines.dispose()


def test_who_holds_a_table_is_named_with_the_way_out(postgresql: Server, engines: Engines, name: str) -> None:
    with postgresql.connect(name) as other, other.transaction():
        other.execute("SET application_name = 'a report'")
        other.execute("SELECT * FROM translations")
        with pytest.raises(StoreError) as refused:
            migrations.migrate(engines.writer, "0001", HASTY)
        number = other.info.backend_pid

    told = str(refused.value)
    assert told.startswith(
        "the migration waited 2 times 0.2 s for a lock and gave up; translations is held by"
    )
    assert f"process {number} (user tests, a report, for " in told
    assert told.endswith(f"end it, or SELECT pg_terminate_backend({number}); then run the migration again")


def test_several_who_hold_a_table_are_counted(postgresql: Server, engines: Engines, name: str) -> None:
    with postgresql.connect(name) as first, first.transaction(), postgresql.connect(name) as second:
        first.execute("SELECT * FROM translations")
        number = first.info.backend_pid
        with second.transaction():
            second.execute("SELECT * FROM translations, changes")
            with pytest.raises(StoreError) as refused:
                migrations.migrate(engines.writer, "0001", HASTY)

    assert f"translations is held by process {number} " in str(refused.value)
    assert ", 1 more after it: end it, or " in str(refused.value)


def test_a_prepared_transaction_is_named_as_one(postgresql: Server, engines: Engines, name: str) -> None:
    with postgresql.connect(name) as other:
        other.autocommit = False
        other.execute("SELECT * FROM translations")
        other.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        with pytest.raises(
            StoreError, match="translations is held by a prepared transaction: end it, see pg_"
        ):
            migrations.migrate(engines.writer, "0001", HASTY)
    finally:
        postgresql.execute("ROLLBACK PREPARED 'forgotten'", name)


def test_a_migration_that_gave_up_left_the_schema_and_its_locks_behind_nobody(
    postgresql: Server, engines: Engines, name: str
) -> None:
    with postgresql.connect(name) as other, other.transaction():
        other.execute("SELECT * FROM translations")
        with pytest.raises(StoreError, match="gave up"):
            migrations.migrate(engines.writer, "0001", HASTY)
        with engines.reader.begin() as connection:
            assert revisions.current_revision(connection) == revisions.needed_revision()
        assert postgresql.execute(HELD, name) == []

    assert migrations.migrate(engines.writer, "0001", HASTY) == (revisions.needed_revision(), "0001")


def test_a_lock_that_is_let_go_between_two_attempts_is_taken(
    postgresql: Server, engines: Engines, name: str
) -> None:
    long_enough = LockPatience(seconds=0.1, attempts=100, pause=0.05)
    with ThreadPoolExecutor(1) as pool:
        with postgresql.connect(name) as other, other.transaction():
            other.execute("SELECT * FROM translations")
            migrating = pool.submit(migrations.migrate, engines.writer, "0001", long_enough)
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            while not postgresql.execute(waiting, name):
                assert not migrating.done(), migrating.result()

        assert migrating.result(timeout=20) == (revisions.needed_revision(), "0001")


def test_no_time_out_of_the_server_ends_a_migration(postgresql: Server, engines: Engines, name: str) -> None:
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        postgresql.execute(f"ALTER DATABASE {name} SET {setting} = '200ms'")
    limits = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")

    def look(connection: Connection) -> list[object]:
        with connection.begin():
            connection.exec_driver_sql("SELECT pg_sleep(0.3)")
            return [connection.exec_driver_sql(f"SHOW {limit}").scalar() for limit in limits]

    with sole_migrator(engines.writer) as keeper:
        assert with_patience(engines.writer, keeper, HASTY, look) == ["0", "0", "200ms"]
        assert keeper.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "0"
    with engines.writer.begin() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() != "0"


def test_outside_a_transaction_nothing_is_cut_off(engines: Engines) -> None:
    """CREATE INDEX CONCURRENTLY waits without being in anybody's way."""

    def look(connection: Connection) -> list[object]:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        limits = ("lock_timeout", "statement_timeout")
        return [connection.exec_driver_sql(f"SHOW {limit}").scalar() for limit in limits]

    with sole_migrator(engines.writer) as keeper:
        assert with_patience(engines.writer, keeper, HASTY, look) == ["0", "0"]


def test_the_second_begins_once_the_first_has_ended(engines: Engines) -> None:
    """It waits without a statement of its own, on which CREATE INDEX CONCURRENTLY would wait in turn."""
    entered = threading.Event()

    def second() -> None:
        with sole_migrator(engines.writer):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with sole_migrator(engines.writer) as keeper:
            waiting = pool.submit(second)
            assert not entered.wait(1.2)
            assert keeper.exec_driver_sql(HELD).fetchall() == [(True,)]
        waiting.result(timeout=20)
    assert entered.is_set()


def test_other_errors_than_a_lock_are_told_at_once(engines: Engines) -> None:
    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1 FROM a_table_that_is_not_there")

    with (
        pytest.raises(StoreError, match="a_table_that_is_not_there"),
        translated(),
        sole_migrator(engines.writer) as keeper,
    ):
        with_patience(engines.writer, keeper, HASTY, fail)
