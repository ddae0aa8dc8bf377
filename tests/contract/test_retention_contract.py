"""What retention must delete, and what it must leave: on SQLite and on a real PostgreSQL server."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from tests.contract.openers import NOON, Database, open_postgresql
from tests.postgres import Server
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome, determine_outcome
from tracker.domain.record import Record, RecordResult
from tracker.domain.retention import Keep, Kind
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store import retention as retention_store
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.store.tables import changes, deliveries, delivery_bodies, link_changes, submissions, translations
from tracker.tracking.retention import Retention

pytestmark = pytest.mark.anyio

WEEK, QUARTER, YEAR = timedelta(days=7), timedelta(days=90), timedelta(days=365)
KEEP = Keep(WEEK, QUARTER, YEAR)
DEADLINE = 60.0


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def put(database: Database, table: Any, *rows: dict[str, Any]) -> None:
    with database.engines.writer.begin() as connection:
        for start in range(0, len(rows), 1000):
            connection.execute(insert(table), list(rows[start : start + 1000]))
        if connection.dialect.name == "postgresql" and "id" in table.c:  # which goes on from there
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.exec_driver_sql(f"SELECT setval({sequence}, MAX(id)) FROM {table.name}")


def a_delivery(number: int, days: float, last: float | None = None, **columns: Any) -> dict[str, Any]:
    """It came so many days ago, and for the last time `last` days ago."""
    return {
        "id": number,
        "body_sha256": f"{number:064x}",
        "outcome": "applied",
        "video_translate_id": None,
        "received_at": ago(days),
        "last_received_at": ago(days if last is None else last),
        **columns,
    }


def a_body(number: int, size: int = 2) -> dict[str, Any]:
    return {"delivery_id": number, "headers": "[]", "body": b"x" * size}


def an_end(number: int, days: float | None, **columns: Any) -> dict[str, Any]:
    """A translation that succeeded so many days ago, and needs nothing any more."""
    return {
        "id": number,
        "video_translate_id": f"id-{number}",
        "callback_id": None,
        "status": "success",
        "attention": None,
        "next_poll_at": None,
        "submission_id": None,
        "finished_at": None if days is None else ago(days),
        **columns,
    }


def a_change(number: int, translation: int, delivery: int | None = None) -> dict[str, Any]:
    return {
        "id": number,
        "translation_id": translation,
        "old_status": "pending",
        "new_status": "success",
        "source": "webhook",
        "observed_at": ago(400),
        "delivery_id": delivery,
    }


def a_move(number: int, translation: int) -> dict[str, Any]:
    told = {"kind": "video", "old_url": "https://a/", "new_url": "https://b/", "source": "poll"}
    return {"id": number, "translation_id": translation, "observed_at": ago(400), **told}


def numbers(database: Database, table: str, key: str = "id") -> list[int]:
    return [row[0] for row in database.sql(f"SELECT {key} FROM {table} ORDER BY {key}")]


async def prune(database: Database, kind: Kind, limit: int = 100) -> int:
    return await database.store.prune(kind, KEEP.limits(NOON)[kind], limit)


async def count_old(database: Database, kind: Kind, limit: int = 100) -> int:
    return await database.store.count_old(kind, KEEP.limits(NOON)[kind], limit)


# Delivery bodies


async def test_a_body_goes_after_a_week_and_its_delivery_stays(database: Database) -> None:
    put(database, deliveries, a_delivery(1, 8), a_delivery(2, 7.01), a_delivery(3, 6.99))
    put(database, delivery_bodies, a_body(1), a_body(2), a_body(3))

    assert await count_old(database, Kind.DELIVERY_BODIES) == 2
    assert await prune(database, Kind.DELIVERY_BODIES) == 2

    assert numbers(database, "delivery_bodies", "delivery_id") == [3]
    assert numbers(database, "deliveries") == [1, 2, 3]
    assert await count_old(database, Kind.DELIVERY_BODIES) == 0


async def test_a_body_goes_by_the_time_when_it_first_came(database: Database) -> None:
    put(database, deliveries, a_delivery(1, 9, last=1), a_delivery(2, 8), a_delivery(3, 1))
    put(database, delivery_bodies, a_body(1), a_body(2), a_body(3))

    assert await prune(database, Kind.DELIVERY_BODIES) == 2
    assert numbers(database, "delivery_bodies", "delivery_id") == [3]


async def test_that_an_old_one_came_again_last_keeps_no_body_alive(database: Database) -> None:
    put(database, deliveries, a_delivery(1, 20, last=8), a_delivery(2, 9), a_delivery(3, 8.5))
    put(database, delivery_bodies, a_body(1), a_body(2), a_body(3))

    assert await prune(database, Kind.DELIVERY_BODIES) == 3


async def test_no_transaction_frees_many_large_bodies(database: Database) -> None:
    put(database, deliveries, *(a_delivery(number, 8) for number in range(1, 8)))
    put(database, delivery_bodies, *(a_body(number, 1024 * 1024) for number in range(1, 8)))

    assert [await prune(database, Kind.DELIVERY_BODIES) for _ in range(3)] == [4, 3, 0]


# Deliveries


async def test_a_delivery_goes_a_quarter_after_it_last_came_and_takes_its_body_along(
    database: Database,
) -> None:
    put(database, deliveries, a_delivery(1, 91), a_delivery(2, 91, last=1), a_delivery(3, 89))
    put(database, delivery_bodies, a_body(1), a_body(2))

    assert await count_old(database, Kind.DELIVERIES) == 1
    assert await prune(database, Kind.DELIVERIES) == 1

    assert numbers(database, "deliveries") == [2, 3]
    assert numbers(database, "delivery_bodies", "delivery_id") == [2]


async def test_a_change_outlives_the_delivery_that_brought_it(database: Database) -> None:
    put(database, translations, an_end(1, 91))
    put(database, deliveries, a_delivery(1, 91, video_translate_id="id-1"), a_delivery(2, 1))
    put(database, changes, a_change(1, 1, delivery=1))

    assert await prune(database, Kind.DELIVERIES) == 1
    assert database.sql("SELECT translation_id, delivery_id FROM changes") == [(1, None)]


async def test_what_names_an_open_translation_stays_for_its_repetition_is_known_by_it(
    database: Database,
) -> None:
    put(database, translations, an_end(1, None, status="running", next_poll_at=NOON), an_end(2, 91))
    named = [a_delivery(number, 91, video_translate_id=f"id-{number}") for number in (1, 2, 3)]
    put(database, deliveries, *named, a_delivery(4, 1))

    assert await count_old(database, Kind.DELIVERIES) == 2
    assert await prune(database, Kind.DELIVERIES) == 2
    assert numbers(database, "deliveries") == [1, 4]


async def test_the_latest_delivery_stays_and_so_does_the_highest_number(database: Database) -> None:
    put(database, deliveries, a_delivery(1, 200, last=100), a_delivery(2, 150), a_delivery(3, 120))

    assert await prune(database, Kind.DELIVERIES) == 1
    assert numbers(database, "deliveries") == [1, 3]
    assert await count_old(database, Kind.DELIVERIES) == 0
    assert database.sql("SELECT COUNT(*) FROM tracker_health WHERE last_webhook_at IS NOT NULL") == [(1,)]


# Repetitions of what was forgotten


def told(video_translate_id: str, status: Status, source: Source = Source.WEBHOOK) -> Observation:
    return Observation(source=source, observed_at=NOON, video_translate_id=video_translate_id, status=status)


def webhook(video_translate_id: str, body: bytes, status: Status = Status.SUCCESS) -> Record:
    delivery = Delivery(
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        received_at=NOON,
        video_translate_id=video_translate_id,
        signed_by="main",
    )
    return Record(delivery=delivery, observation=told(video_translate_id, status))


async def record(database: Database, *records: Record) -> list[RecordResult]:
    async with asyncio.timeout(DEADLINE):
        return await database.store.apply(records, partial(determine_outcome, schedule=Schedule()))


async def grow_old(database: Database) -> None:
    """Everything that came so far came a hundred days ago, and then somebody else came."""
    await record(database, webhook("other", b"other"))
    old = "2026-08-15 12:00:00.000000"
    database.sql(f"UPDATE deliveries SET received_at = '{old}', last_received_at = '{old}' WHERE id < 3")


async def test_a_forgotten_webhook_that_is_sent_again_undoes_no_end(database: Database) -> None:
    await record(database, webhook("a", b"first"))
    await record(database, webhook("b", b"second", Status.FAILED))
    await grow_old(database)
    assert await prune(database, Kind.DELIVERIES) == 2

    again = await record(database, webhook("a", b"first"), webhook("b", b"second", Status.FAILED))

    assert [one.change for one in again] == [None, None]
    assert database.sql("SELECT COUNT(*) FROM changes WHERE translation_id < 3") == [(2,)]
    assert database.sql("SELECT status FROM translations WHERE id < 3 ORDER BY id") == [
        ("success",),
        ("failed",),
    ]


async def test_an_old_webhook_that_is_sent_again_undoes_no_reopening(database: Database) -> None:
    await record(database, webhook("a", b"first"))
    await record(database, webhook("a", b"first, in other words"))
    await record(database, Record(observation=told("a", Status.PENDING, Source.MANUAL)))
    await grow_old(database)

    assert await prune(database, Kind.DELIVERIES) == 0
    again = await record(database, webhook("a", b"first"), webhook("a", b"first, in other words"))

    assert [one.is_duplicate for one in again] == [True, True]
    assert database.sql("SELECT status FROM translations WHERE video_translate_id = 'a'") == [("pending",)]


# Finished translations


async def test_a_translation_goes_a_year_after_its_end_and_its_changes_with_it(database: Database) -> None:
    put(database, translations, an_end(1, 366), an_end(2, 366, status="failed"), an_end(3, 364))
    put(database, changes, a_change(1, 1), a_change(2, 1), a_change(3, 2), a_change(4, 3))

    assert await count_old(database, Kind.TRANSLATIONS) == 2
    assert await prune(database, Kind.TRANSLATIONS) == 2

    assert numbers(database, "translations") == [3]
    assert numbers(database, "changes") == [4]
    assert await count_old(database, Kind.TRANSLATIONS) == 0


async def test_what_still_needs_something_stays(database: Database) -> None:
    put(
        database,
        translations,
        an_end(1, 400, attention="url_missing"),
        an_end(2, 400, next_poll_at=NOON),
        an_end(3, None, status="running", next_poll_at=NOON),
        an_end(4, 1),
    )

    assert await count_old(database, Kind.TRANSLATIONS) == 0
    assert await prune(database, Kind.TRANSLATIONS) == 0
    assert numbers(database, "translations") == [1, 2, 3, 4]


async def test_no_number_of_a_translation_or_a_change_is_given_away_twice(database: Database) -> None:
    put(database, translations, an_end(1, 400), an_end(2, 400), an_end(3, 400))
    put(database, changes, a_change(1, 2), a_change(2, 3), a_change(3, 1))

    assert await prune(database, Kind.TRANSLATIONS) == 1  # 3 has the highest number, 1 the latest change

    [new] = await record(database, webhook("new", b"{}"))
    assert new.translation_id == 4
    assert numbers(database, "changes") == [2, 3, 4]


async def test_what_became_of_links_goes_with_its_translation_but_for_the_highest_number(
    database: Database,
) -> None:
    put(database, translations, an_end(1, 400), an_end(2, 390), an_end(3, 380), an_end(4, 1))
    put(database, link_changes, a_move(1, 1), a_move(2, 3), a_move(3, 2))

    assert await count_old(database, Kind.TRANSLATIONS) == 2
    assert await prune(database, Kind.TRANSLATIONS) == 2

    assert numbers(database, "translations") == [2, 4]
    assert numbers(database, "link_changes") == [3]


async def test_a_submission_goes_with_the_last_of_its_translations(database: Database) -> None:
    made: list[dict[str, Any]] = [
        {"idempotency_key": f"k{number}", "request": "{}", "state": "done", "next_attempt_at": None}
        for number in (1, 2, 3, 4)
    ]
    made[2]["next_attempt_at"] = NOON
    put(database, submissions, *made)
    put(
        database,
        translations,
        an_end(1, 400, submission_id=1),
        an_end(2, 399, submission_id=1),
        an_end(3, 400, submission_id=2),
        an_end(4, 300, submission_id=2),
        an_end(5, 400, submission_id=3),  # somebody still has to see to this one
        an_end(6, 400, submission_id=4),  # the latest keeps its number
        an_end(7, 1),
    )

    assert await prune(database, Kind.TRANSLATIONS) == 3

    assert numbers(database, "translations") == [4, 5, 6, 7]
    assert numbers(database, "submissions") == [2, 3, 4]


# Batches


@pytest.mark.parametrize("kind", Kind)
async def test_no_more_goes_at_once_than_is_allowed_and_the_oldest_first(
    database: Database, kind: Kind
) -> None:
    fill(database, 10)

    left = []
    while await prune(database, kind, limit=4):
        left.append(await count_old(database, kind))

    assert left == [6, 2, 0]
    assert await count_old(database, kind, limit=4) == 0


async def test_a_backlog_is_counted_no_further_than_asked(database: Database) -> None:
    fill(database, 10)

    assert [await count_old(database, kind, limit=4) for kind in Kind] == [4, 4, 4]


def fill(database: Database, old: int, young: int = 1) -> None:
    """So many old rows of each kind, and some that are young."""
    ages = [400.0 - number / 1000 for number in range(old)] + [1.0] * young
    rows = list(enumerate(ages, start=1))
    put(database, deliveries, *(a_delivery(number, days) for number, days in rows))
    put(database, delivery_bodies, *(a_body(number, 1000) for number, _ in rows))
    put(database, translations, *(an_end(number, days) for number, days in rows))
    put(database, changes, *(a_change(number, number, delivery=number) for number, _ in rows))
    put(database, link_changes, *(a_move(number, number) for number, _ in rows))


async def test_webhooks_are_stored_while_a_backlog_of_many_thousands_is_worked_off(
    database: Database,
) -> None:
    fill(database, 20_000)
    deleted: dict[str, int] = {}

    def pruned(kind: str, count: int) -> None:
        deleted[kind] = deleted.get(kind, 0) + count

    retention = Retention(database.store, KEEP, lambda: NOON, pruned)
    working = asyncio.create_task(retention.tick())
    came = 0
    while not working.done():
        names = [f"w{came + number}" for number in range(5)]
        stored = await asyncio.gather(*(record(database, webhook(name, name.encode())) for name in names))
        assert [one[0].outcome for one in stored] == [DeliveryOutcome.APPLIED] * 5
        came += 5
    await working

    assert came >= 100  # they did not wait for the end of it
    assert database.sql("SELECT COUNT(*) FROM translations WHERE video_translate_id LIKE 'w%'") == [(came,)]
    assert deleted == dict.fromkeys(map(str, Kind), 20_000)
    assert await retention.backlog() == dict.fromkeys(map(str, Kind), 0)


async def test_two_trackers_on_one_database_delete_everything_once(postgresql: Server) -> None:
    with open_postgresql(postgresql) as database:
        fill(database, 2_000)
        other = Repository(open_engines(database.engines.writer.url.render_as_string()), lambda: NOON)
        other.open()
        counted = Counter[str]()

        async def work(store: Repository) -> None:
            retention = Retention(
                store, KEEP, lambda: NOON, lambda kind, count: counted.update({kind: count})
            )
            while any((await retention.backlog()).values()):
                await retention.tick()

        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(work(database.store), work(other))
        finally:
            other.close()

        assert (counted["deliveries"], counted["translations"]) == (2_000, 2_000)
        assert [len(numbers(database, table)) for table in ("deliveries", "translations", "changes")] == [
            1,
            1,
            1,
        ]


async def test_whoever_comes_while_another_tracker_deletes_leaves_it_to_that(postgresql: Server) -> None:
    with open_postgresql(postgresql) as database:
        fill(database, 10)
        with database.engines.writer.begin() as connection:
            assert retention_store.prune(connection, kind=Kind.DELIVERIES, before=ago(90), limit=3) == 3
            assert await prune(database, Kind.TRANSLATIONS) == 0
        assert await prune(database, Kind.TRANSLATIONS) == 10


# Plans


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is executed meanwhile on rows, but for what the engine is told about itself."""
    seen: list[tuple[str, Any]] = []

    def note(_: Connection, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if not any(word in statement for word in ("PRAGMA", "advisory", "BEGIN", "SET LOCAL")):
            seen.append((statement, parameters))

    engines = (database.engines.writer, database.engines.reader)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def scans(database: Database, statement: str, parameters: Sequence[Any]) -> list[str]:
    """The lines of its plan that read a whole table."""
    is_sqlite = database.engines.writer.dialect.name == "sqlite"
    with database.engines.writer.connect() as connection:
        asked = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        plan = connection.exec_driver_sql(f"{asked} {statement}", parameters).all()
    lines = [str(row[-1]) for row in plan]
    assert lines
    names = "translations|deliveries|delivery_bodies|changes|link_changes|submissions"
    whole = re.compile(rf"SCAN ({names})(?! USING)" if is_sqlite else rf"Seq Scan on ({names})")
    return [line for line in lines if whole.search(line)]


@pytest.mark.parametrize("kind", Kind)
async def test_no_statement_reads_a_whole_table(database: Database, kind: Kind) -> None:
    fill(database, 3_000, young=3_000)
    made = [{"idempotency_key": f"k{number}", "request": "{}"} for number in range(2000)]
    put(database, submissions, *made)
    database.sql("UPDATE translations SET submission_id = id WHERE id <= 1000")
    database.sql("ANALYZE")

    with statements(database) as seen:
        assert await count_old(database, kind, limit=10_000) == 3_000
        assert (
            await prune(database, kind, limit=20) == 20
        )  # the more, the more a small table tempts to read it

    assert len(seen) >= 3
    for statement, parameters in seen:
        assert scans(database, statement, parameters) == [], statement[:200]
