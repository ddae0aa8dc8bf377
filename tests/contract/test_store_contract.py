"""What every store must do beyond the core's port: on SQLite and on a real PostgreSQL server."""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from tests.contract.openers import NOON, Database
from tests.contract.records import (
    DEADLINE,
    apply,
    by_the_rules,
    claimed,
    observation,
    registered,
    statuses,
    webhook,
)
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome, Outcome
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.domain.translation import Translation
from tracker.errors import StoreError

pytestmark = pytest.mark.anyio


def count(database: Database, table: str) -> int:
    [(rows,)] = database.sql(f"SELECT COUNT(*) FROM {table}")
    return int(rows)


# One transaction


async def test_a_webhook_leaves_delivery_effect_and_change(database: Database) -> None:
    await apply(database, registered("a"))

    [recorded] = await apply(database, webhook("a", body=b'{"the": "body"}'))

    assert recorded.outcome is DeliveryOutcome.APPLIED
    assert recorded.change is not None
    assert recorded.change.new is Status.SUCCESS
    assert recorded.recorded_at == NOON
    assert statuses(database) == {"a": "success"}
    assert database.sql(
        "SELECT old_status, new_status, source, delivery_id, translation_id FROM changes"
    ) == database.sql("SELECT 'pending', 'success', 'webhook', d.id, t.id FROM deliveries d, translations t")
    assert database.sql("SELECT outcome, signed_by, times_received FROM deliveries") == [
        ("applied", "main", 1)
    ]
    [(body, headers)] = database.sql("SELECT body, headers FROM delivery_bodies")
    assert (bytes(body), headers) == (b'{"the": "body"}', '[["Signature", "a1"]]')


async def test_many_at_once_are_all_stored_and_each_hears_of_its_own(database: Database) -> None:
    ids = [f"id-{number}" for number in range(300)]

    answers = await asyncio.gather(*(apply(database, webhook(name, body=name.encode())) for name in ids))

    assert [one.video_translate_id for [one] in answers] == ids
    assert statuses(database) == dict.fromkeys(ids, "success")
    assert count(database, "changes") == count(database, "deliveries") == 300


async def test_one_bad_piece_does_not_sink_the_others(database: Database) -> None:
    def picky(current: Translation, seen: Observation) -> Outcome:
        if seen.video_translate_id == "id-7":
            raise ArithmeticError("id-7")
        return by_the_rules(current, seen)

    ids = [f"id-{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(apply(database, webhook(name, body=name.encode()), rule=picky) for name in ids),
        return_exceptions=True,
    )

    assert [str(one) for one in answers if isinstance(one, BaseException)] == ["id-7"]
    assert statuses(database) == dict.fromkeys([name for name in ids if name != "id-7"], "success")
    assert count(database, "deliveries") == 19


async def test_what_another_program_changes_meanwhile_is_never_overwritten_blindly(
    database: Database,
) -> None:
    """Where the database lets a rival in between read and write, the decision is made afresh."""
    await apply(database, registered("a"))
    judged: list[Status] = []

    def raced(current: Translation, seen: Observation) -> Outcome:
        judged.append(current.status)
        if len(judged) == 1:
            with suppress(sqlite3.OperationalError):  # "locked": this engine keeps rivals out
                database.sql("UPDATE translations SET status = 'running'")
        return by_the_rules(current, seen)

    [recorded] = await apply(database, webhook("a"), rule=raced)

    assert recorded.change is not None
    assert recorded.change.old is judged[-1]
    assert statuses(database) == {"a": "success"}
    assert count(database, "changes") == 1


# Deliveries


async def test_a_repeated_delivery_is_counted_and_changes_nothing(database: Database) -> None:
    await apply(database, webhook("a"))
    before = database.sql("SELECT * FROM translations")

    again = [await apply(database, webhook("a")) for _ in range(3)]

    assert [(one.is_duplicate, one.outcome) for [one] in again] == [(True, DeliveryOutcome.APPLIED)] * 3
    assert database.sql("SELECT times_received FROM deliveries") == [(4,)]
    assert count(database, "changes") == 1
    assert database.sql("SELECT * FROM translations") == before


# Whom an observation is about


async def test_the_sole_runner_frees_what_a_dead_one_held(database: Database) -> None:
    await apply(database, registered("a"))
    assert await claimed(database)
    assert await claimed(database, owner="two") == []

    await database.store.free_claims()

    assert [claim.video_translate_id for claim in await claimed(database, owner="two")] == ["a"]


# News


async def test_news_comes_with_a_change_and_else_after_its_time(database: Database) -> None:
    loop = asyncio.get_running_loop()
    async with database.store.news() as news:
        began = loop.time()
        await news(0.3)
        assert loop.time() - began >= 0.3

        waiting = asyncio.ensure_future(news(DEADLINE))
        await apply(database, registered("untold"), webhook("told"))
        await asyncio.wait_for(waiting, DEADLINE / 2)


# What pages read


async def test_pages_read_rows_by_column_name_in_the_order_of_ids(database: Database) -> None:
    await apply(database, *(registered(name, callback_id=f"for-{name}") for name in "abcde"))
    await apply(database, webhook("c"))
    names = partial(map, lambda row: row["video_translate_id"])
    everything = await database.store.list_translations()

    assert list(names(everything)) == list("abcde")
    assert list(names(await database.store.list_translations(status="success"))) == ["c"]
    assert list(names(await database.store.list_translations(callback_id="for-d"))) == ["d"]
    assert list(names(await database.store.list_translations(newest_first=True, limit=2))) == ["e", "d"]
    assert list(names(await database.store.list_translations(after=everything[2]["id"], limit=1))) == ["d"]
    assert list(names(await database.store.find(["e", "nobody", "a"]))) == ["a", "e"]
    assert list(names(await database.store.get([everything[1]["id"], 12345]))) == ["b"]
    assert everything[0]["created_at"] == NOON


async def test_pages_read_the_flagged_rows(database: Database) -> None:
    await apply(database, registered("fine"), webhook("urgent", url=None))

    [row] = await database.store.list_translations(flagged=True)

    assert (row["video_translate_id"], row["attention"]) == ("urgent", "url_missing")


async def test_a_thousand_ids_are_found_in_one_call(database: Database) -> None:
    ids = [f"id-{number:04}" for number in range(1001)]
    await apply(database, *(registered(name) for name in ids))

    assert [row["video_translate_id"] for row in await database.store.find(ids)] == ids


async def test_the_history_of_a_translation_is_read_oldest_first(database: Database) -> None:
    [added] = await apply(database, registered("a"))
    await apply(
        database, Record(observation=observation("a", Status.RUNNING, source=Source.LIST)), webhook("a")
    )

    changes = await database.store.list_changes(added.translation_id or 0)

    assert [(one["old_status"], one["new_status"], one["source"]) for one in changes] == [
        ("pending", "running", "list"),
        ("running", "success", "webhook"),
    ]
    assert await database.store.list_changes(12345) == []


async def test_figures_count_by_status_and_flag(database: Database) -> None:
    await apply(
        database, registered("a"), registered("b"), webhook("c", body=b"c"), webhook("d", body=b"d", url=None)
    )
    assert sorted(await database.store.counts(), key=str) == [
        ("pending", None, 2),
        ("success", "url_missing", 1),
        ("success", None, 1),
    ]


async def test_the_poll_that_waits_longest_is_known(database: Database) -> None:
    database.sql("INSERT INTO translations (callback_id, next_poll_at) VALUES ('x', '2026-11-23 08:00:00')")
    assert await database.store.oldest_due(NOON) is None

    database.sql(
        "INSERT INTO translations (video_translate_id, next_poll_at) VALUES ('a', '2026-11-23 11:00:00')"
    )

    assert await database.store.oldest_due(NOON) == NOON - timedelta(hours=1)


async def test_a_database_in_order_passes_the_check(database: Database) -> None:
    await database.store.check()

    assert (await database.store.health())["open"] == 0


async def test_a_database_whose_schema_changed_underneath_fails_the_check(database: Database) -> None:
    database.sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match="9999"):
        await database.store.check()


async def test_a_database_that_lost_its_tables_is_a_store_error_without_data(database: Database) -> None:
    database.sql("ALTER TABLE changes RENAME TO lost")
    database.sql("DROP VIEW tracker_health")

    with pytest.raises(StoreError) as writing:
        await apply(database, webhook("a", url="https://files.example/a?Signature=secret"))
    with pytest.raises(StoreError) as reading:
        await database.store.health()

    assert "secret" not in str(writing.value) + str(reading.value)


# The end, and impatience


async def test_closing_commits_what_was_handed_over(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(current: Translation, seen: Observation) -> Outcome:
        entered.set()
        assert go_on.wait(DEADLINE)
        return by_the_rules(current, seen)

    first = asyncio.create_task(apply(database, webhook("first", body=b"1"), rule=slow))
    await asyncio.to_thread(entered.wait, DEADLINE)
    rest = [asyncio.create_task(apply(database, webhook(name, body=name.encode()))) for name in "bcd"]
    await asyncio.gather(*(asyncio.sleep(0) for _ in rest))
    closing_it = asyncio.create_task(asyncio.to_thread(database.store.close))
    go_on.set()
    await closing_it
    await asyncio.gather(first, *rest)

    assert statuses(database) == dict.fromkeys(["first", "b", "c", "d"], "success")


async def test_a_closed_store_refuses_and_says_so(database: Database) -> None:
    assert is_alive(database)
    database.store.close()

    with pytest.raises(StoreError, match="closed"):
        await apply(database, webhook("a"))
    with pytest.raises(StoreError, match="closed"):
        await database.store.counts()
    database.store.close()  # once more does no harm
    assert not is_alive(database)


def is_alive(database: Database) -> bool:
    return database.store.is_alive


async def test_waiters_who_give_up_leave_the_database_free(database: Database) -> None:
    """The lock of a cancelled write would otherwise be held for ever."""
    for round_ in range(30):
        waiting = [
            asyncio.create_task(
                database.store.apply([webhook(f"{round_}-{n}", body=f"{round_}-{n}".encode())], by_the_rules)
            )
            for n in range(5)
        ]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    [after] = await apply(database, webhook("after", body=b"after"))  # all that was queued before is done now

    assert after.outcome is DeliveryOutcome.APPLIED
    database.sql("INSERT INTO translations (video_translate_id) VALUES ('another-program')")
    assert count(database, "translations") == count(database, "deliveries") + 1
    assert count(database, "changes") == count(database, "deliveries")
