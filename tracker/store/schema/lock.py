"""Migrations on PostgreSQL: one at a time, never in the way of others for long, never cut off."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, Row, event, text
from sqlalchemy.exc import OperationalError

from tracker.errors import StoreError
from tracker.store.engine import UNLIMITED

log = structlog.get_logger("tracker.store")
T = TypeVar("T")

ADVISORY_LOCK = int.from_bytes(b"tracker")  # one number for every tracker, and hardly anybody else's
LOOK_SECONDS = 0.5
LOCK_NOT_AVAILABLE = "55P03"  # the SQLSTATE of a lock_timeout

TAKE = text("SELECT pg_try_advisory_xact_lock(:key)")
# Whatever the server has of these: not every version knows every one.
LIMITS = text(
    "SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN :lock_timeout ELSE '0' END, :local) "
    "FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout', "
    "'idle_in_transaction_session_timeout')"
)
HOLDERS = text(
    "SELECT held.pid, string_agg(DISTINCT named.relname, ', ' ORDER BY named.relname) AS relations, "
    "seen.usename, seen.application_name, "
    "CAST(EXTRACT(EPOCH FROM clock_timestamp() - seen.xact_start) AS INTEGER) AS seconds "
    "FROM pg_locks held JOIN pg_class named ON named.oid = held.relation "
    "LEFT JOIN pg_stat_activity seen ON seen.pid = held.pid "
    "WHERE held.granted AND held.pid IS DISTINCT FROM pg_backend_pid() "
    "AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND named.relkind = 'r' AND named.relnamespace = current_schema()::regnamespace "
    "AND (seen.xact_start IS NULL OR seen.xact_start < clock_timestamp() - make_interval(secs => :since)) "
    "GROUP BY held.pid, seen.usename, seen.application_name, seen.xact_start "
    "ORDER BY seen.xact_start NULLS LAST"
)


@dataclass(frozen=True, slots=True)
class LockPatience:
    """How long a migration waits for a table's lock, in seconds, how often, and how long between.

    Everybody who comes after it waits behind it, so it gives up soon, and comes again.
    """

    seconds: float = 5.0
    attempts: int = 3
    pause: float = 2.0


@contextmanager
def sole_migrator(writer: Engine) -> Iterator[Connection]:
    """Hold the right to migrate this database; waits while another process has it.

    The lock belongs to a transaction of a connection of its own, which is what is yielded: so it holds behind
    a pooler, too, and ends with us. It is tried for, and not waited for: a statement that waits keeps a
    snapshot, for whose end CREATE INDEX CONCURRENTLY would wait in turn.
    """
    with writer.connect() as keeper:
        told = False
        while not _take(keeper):
            if not told:
                log.warning(
                    "waiting for another migration",
                    advice="it continues when the other migration has finished",
                )
            told = True
            time.sleep(LOOK_SECONDS)
        yield keeper


def _take(keeper: Connection) -> bool:
    """Begin a transaction that holds the lock, or end it."""
    _lift_limits(keeper, lock_timeout=0, local=True)
    if keeper.scalar(TAKE, {"key": ADVISORY_LOCK}):
        return True
    keeper.rollback()
    return False


def with_patience(
    writer: Engine, keeper: Connection, patience: LockPatience, run: Callable[[Connection], T]
) -> T:
    """Run migrations on a connection whose waits for locks are short and whose statements may take long.

    Raises StoreError, with who is in the way, where no attempt got its locks.
    """
    holders: list[Row[tuple[object, ...]]] = []
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.pause)
        _let_go_of_snapshot(keeper)
        with writer.connect().execution_options(**{UNLIMITED: True}) as connection:
            _limit(connection, patience.seconds)
            try:
                return run(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
            finally:
                connection.invalidate()  # what was set for its session is for nobody else
            holders = list(keeper.execute(HOLDERS, {"since": patience.seconds}))
    raise StoreError(
        f"the migration waited {patience.attempts} times {patience.seconds:g} s for a lock and gave up; "
        f"{_in_the_way(holders)}; then run the migration again"
    )


def _let_go_of_snapshot(keeper: Connection) -> None:
    """The latest question with parameters keeps its snapshot until the next statement of its session.

    CREATE INDEX CONCURRENTLY would wait for its end, for ever.
    """
    keeper.exec_driver_sql("SELECT 1").close()


def _limit(connection: Connection, seconds: float) -> None:
    """Set the time-outs of each transaction; the server's own, and the engine's, are not for migrations.

    Outside a transaction none holds: CREATE INDEX CONCURRENTLY waits without being in anybody's way, and
    one that was cut off leaves an invalid index.
    """

    @event.listens_for(connection, "begin")
    def _(begun: Connection) -> None:
        local = begun.get_execution_options().get("isolation_level") != "AUTOCOMMIT"
        _lift_limits(begun, lock_timeout=seconds if local else 0, local=local)


def _lift_limits(connection: Connection, *, lock_timeout: float, local: bool) -> None:
    connection.execute(LIMITS, {"lock_timeout": str(int(lock_timeout * 1000)), "local": local}).close()


def _in_the_way(holders: list[Row[tuple[object, ...]]]) -> str:
    """Who holds the tables for longer than we waited, the longest first, and what to do about it."""
    if not holders:
        return "the lock is free now: wait until the database is less busy"
    first = holders[0]
    if first.pid is None:
        return f"{first.relations} is held by a prepared transaction: end it, see pg_prepared_xacts"
    since = "" if first.seconds is None else f", for {first.seconds} s"
    who = f"process {first.pid} (user {first.usename}, {first.application_name or 'nameless'}{since})"
    more = f", {len(holders) - 1} more after it" if len(holders) > 1 else ""
    return f"{first.relations} is held by {who}{more}: end it, or SELECT pg_terminate_backend({first.pid})"
