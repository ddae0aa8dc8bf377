"""What the daemon asks every few seconds reads no more of a large table than it takes, on both engines.

Counted are the rows that PostgreSQL reads, and the steps of SQLite's virtual machine. The database has more
of everything in the way than is taken: were one condition not in an index, thousands would be read.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from tests.builders import URL, delivery, webhook
from tests.contract.openers import NOON, Database
from tests.contract.test_retention_contract import statements
from tracker.domain.claims import Due
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store import claims
from tracker.store.tables import translations

pytestmark = pytest.mark.anyio

CROWD = 1_000  # of each sort
TAKEN = 20
# For each row that is taken; to read one crowd costs 1,000 rows, or 10,000 steps.
ROWS_EACH = 6
STEPS_EACH = 250
HOUR = timedelta(hours=1)
CROWD_AGE = timedelta(seconds=CROWD - 1)
SORTS = {
    # status, next poll in hours from noon, last error, attention, whether it has an id
    "due": ("running", -1.0, None, None, True),
    "later": ("pending", 1.0, None, None, True),
    "ended_due": ("success", -2.0, None, None, True),
    "doubtful": ("pending", -3.0, "not_found: no such translation", None, True),
    "lost": ("pending", 5.0, "not_found: no such translation", "not_found", True),
    "nameless": ("pending", -9.0, None, None, False),
    "overdue": ("running", 4.0, None, "overdue", True),
    "settled": ("success", None, None, None, True),
    "failed": ("failed", None, None, None, True),
}


def crowd(database: Database, sorts: Iterable[str] = SORTS, prefix: str = "") -> None:
    """A crowd of each sort, each with the change that a list told of its end."""
    rows = [row for sort in sorts for row in _rows(sort, prefix)]
    with database.engines.writer.begin() as connection:
        for start in range(0, len(rows), 1000):
            connection.execute(insert(translations), rows[start : start + 1000])
        connection.exec_driver_sql(
            "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at) "
            "SELECT id, 'running', status, 'list', created_at FROM translations WHERE finished_at IS NOT NULL"
        )
    if database.engines.writer.dialect.name == "postgresql":
        database.sql("CHECKPOINT")  # what is not on the disk yet is not held for visible to all
        database.sql("VACUUM ANALYZE translations")  # autovacuum's work; SQLite goes without


def _rows(sort: str, prefix: str) -> Iterator[dict[str, Any]]:
    status, hours, error, attention, has_id = SORTS[sort]
    for number in range(CROWD):
        created = NOON - HOUR * 2 - timedelta(seconds=number)
        yield {
            "video_translate_id": f"{prefix}{sort}-{number}" if has_id else None,
            "callback_id": f"{prefix}{sort}-{number}",
            "status": status,
            "title": "x" * 1000,  # as long as rows are: a short table tempts to read all of it
            "last_error": error,
            "attention": attention,
            "next_poll_at": None if hours is None else NOON + HOUR * hours + timedelta(milliseconds=number),
            "last_polled_at": created,
            "created_at": created,
            "finished_at": created if status in ("success", "failed") else None,
        }


@contextmanager
def watched(database: Database) -> Iterator[list[int]]:
    """How much each statement reads: it is run for once, measured, and undone, before it is run."""
    seen: list[int] = []
    measure = sqlite_steps if database.engines.writer.dialect.name == "sqlite" else postgresql_rows

    def look(connection: Connection, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        if not statement.startswith(("SELECT", "UPDATE", "WITH", "DELETE")):
            return
        driver = connection.connection.driver_connection
        each = parameters if many else [parameters]
        seen.append(sum(measure(driver, statement, one) for one in each))

    engines = (database.engines.writer, database.engines.reader)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", look)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", look)


def sqlite_steps(driver: Any, statement: str, parameters: Sequence[Any]) -> int:
    """Steps of the virtual machine, which are the same each time."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    cursor = driver.cursor()
    writes = not statement.startswith("SELECT")
    if writes:
        cursor.execute("SAVEPOINT looked_at")
    driver.set_progress_handler(step, 1)
    cursor.execute(statement, parameters).fetchall()
    driver.set_progress_handler(None, 0)
    if writes:
        cursor.execute("ROLLBACK TO looked_at")
        cursor.execute("RELEASE looked_at")
    return steps


def postgresql_rows(driver: Any, statement: str, parameters: Any) -> int:
    """Rows that its scans touched, those that a filter threw away included."""
    cursor = driver.cursor()
    cursor.execute("SAVEPOINT looked_at")
    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
    [[[told]]] = cursor.fetchall()
    cursor.execute("ROLLBACK TO looked_at")
    return _touched(told["Plan"])


def _touched(node: dict[str, Any]) -> int:
    below = sum(_touched(child) for child in node.get("Plans", []))
    if "Scan" not in node["Node Type"] or "Relation Name" not in node:
        return below
    thrown = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return below + int((node["Actual Rows"] + thrown) * node["Actual Loops"])


Work = Callable[[Database], Awaitable[object]]


def claim(batch: int) -> Work:
    async def work(database: Database) -> object:
        taken = await database.store.claim_due(NOON, TAKEN, "one", HOUR, Due(NOON, NOON, batch))
        return sum(not claim.alone for claim in taken), sum(claim.alone for claim in taken)

    return work


async def flag(database: Database) -> object:
    """Two of each sort that is open and not flagged."""
    return len(await database.store.flag_overdue(NOON, HOUR * 2 + timedelta(seconds=CROWD - 3)))


async def hasten(database: Database) -> object:
    with database.engines.writer.begin() as connection:
        return claims.hasten(connection, NOON + HOUR * 4.5, HOUR / 60, TAKEN)


async def store_webhooks(database: Database) -> object:
    """For every other one its callback_id is all that was known until now."""
    names = [f"{sort}-{number}" for sort in ("due", "nameless") for number in range(TAKEN // 2)]
    records = [
        Record(
            delivery=delivery(name.encode()),
            observation=webhook(Status.SUCCESS, video_translate_id=name, callback_id=name, url=URL),
        )
        for name in names
    ]
    recorded = await database.store.apply(records, partial(determine_outcome, schedule=Schedule()))
    return sum(one.change is not None and not one.is_new for one in recorded)


async def list_flagged(database: Database) -> object:
    """As the dashboard does; what stands behind the last flag is not looked at."""
    return len(await database.store.list_translations(flagged=True, newest_first=True, limit=50))


WORK: dict[str, tuple[Work, int, object]] = {
    # work, how many rows it has to take at most, what it brings
    "claims one by one": (claim(1), TAKEN, (0, TAKEN)),
    "claims for bulk questions": (claim(5), TAKEN // 2 * 5, (TAKEN // 2 * 5, TAKEN // 2)),
    "flags": (flag, 8, 8),
    "hastens": (hasten, TAKEN, TAKEN),
    "the oldest due": (lambda database: database.store.oldest_due(NOON), 1, NOON - HOUR * 3),
    "the oldest open": (lambda database: database.store.oldest_open(), 1, NOON - HOUR * 2 - CROWD_AGE),
    "stores webhooks": (store_webhooks, TAKEN, TAKEN),
    "lists what is flagged": (list_flagged, 50, 50),
    "claims a renewal": (lambda database: database.store.claim_renewal(NOON, "one", HOUR), 1, None),
    "frees its claims": (lambda database: database.store.free_claims(), 1, None),
}


@pytest.mark.parametrize("name", WORK)
async def test_it_reads_no_more_than_it_takes(database: Database, name: str) -> None:
    crowd(database)
    work, taken, expected = WORK[name]

    with watched(database) as read:
        assert await work(database) == expected

    each = STEPS_EACH if database.engines.writer.dialect.name == "sqlite" else ROWS_EACH
    assert read
    assert max(read) <= each * (taken + 4), read


async def test_health_and_plan_read_nothing_of_what_has_ended(database: Database) -> None:
    crowd(database)

    async def look() -> int:
        with watched(database) as read:
            health = await database.store.health()
            assert await database.store.count_open(NOON) == (0, 5 * CROWD)
        assert health["open"] == 6 * CROWD
        assert health["last_good_poll_at"]
        return sum(read)

    before = await look()
    crowd(database, ["settled", "failed"], "more ")
    assert await look() <= before + STEPS_EACH


async def test_only_the_latest_changes_tell_whether_webhooks_come(database: Database) -> None:
    database.sql("INSERT INTO translations (video_translate_id, status) VALUES ('first', 'success')")
    database.sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at) "
        "SELECT id, 'running', status, 'webhook', created_at FROM translations"
    )
    assert await database.store.recent_end_sources(TAKEN) == [Source.WEBHOOK]
    crowd(database, ["settled"])  # a thousand
    assert await database.store.recent_end_sources(TAKEN) == []
    assert not await database.store.heard_since_ends(TAKEN)


async def test_counts_for_the_metrics_are_read_from_an_index(database: Database) -> None:
    crowd(database)
    with statements(database) as seen:
        assert sum(count for *_, count in await database.store.counts()) == len(SORTS) * CROWD
    with database.engines.reader.connect() as connection:
        asked = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{asked} {seen[0][0]}")]
    assert any("COVERING INDEX" in line or "Index Only Scan" in line for line in plan), plan
