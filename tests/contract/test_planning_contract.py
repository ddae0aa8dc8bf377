"""Every store brings polls forward, counts what is open and knows who told of the latest ends."""

from datetime import timedelta

import pytest

from tests.builders import NOON
from tests.contract.openers import Database
from tests.contract.records import (
    apply,
    claimed,
    delivery,
    end,
    names,
    observation,
    polled,
    registered,
    shown,
    track,
    webhook,
)
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.store.repository import FLAGGED, HASTENED

pytestmark = pytest.mark.anyio
SPACING = timedelta(seconds=15)


async def test_polling_is_hastened_for_what_is_open_and_would_wait_longer(database: Database) -> None:
    await track(database, "early", due=1)
    await track(database, "late", "ended", due=500)
    end(database, "ended", due=500)
    await apply(database, registered(None, callback_id="mine"))
    database.change(None, next_poll_at=NOON + timedelta(hours=12))

    assert await database.store.hasten(NOON + timedelta(seconds=54), SPACING) == 1

    assert due_times(database) == {"early": 1, "late": 54, "ended": 500, None: 12 * 3600}
    assert await database.store.hasten(NOON + timedelta(seconds=54), SPACING) == 0


async def test_however_many_there_are_all_are_hastened(database: Database) -> None:
    await track(database, *names("late", HASTENED + 1), due=500)

    assert await database.store.hasten(NOON, SPACING) == HASTENED + 1
    assert set(due_times(database).values()) == {0}
    assert await database.store.hasten(NOON, SPACING) == 0


async def test_what_was_just_asked_about_is_not_asked_at_once_again(database: Database) -> None:
    await track(database, "just", "long ago", "soon", due=500)
    for name, seconds in (("just", 45), ("long ago", 39), ("soon", 50)):
        database.change(name, last_polled_at=NOON + timedelta(seconds=seconds))
    database.change("soon", next_poll_at=NOON + timedelta(seconds=65))

    assert await database.store.hasten(NOON + timedelta(seconds=54), SPACING) == 2

    assert due_times(database) == {"just": 69, "long ago": 54, "soon": 65}


async def test_a_poll_counts_as_just_asked_about(database: Database) -> None:
    await track(database, "answered", "never asked")
    claims = {claim.video_translate_id: claim for claim in await claimed(database)}
    await apply(database, polled(claims["answered"], Status.RUNNING, at=NOON + timedelta(seconds=45)))
    database.change("answered", "never asked", next_poll_at=NOON + timedelta(seconds=500))

    assert await database.store.hasten(NOON + timedelta(seconds=54), SPACING) == 2

    assert due_times(database) == {"answered": 69, "never asked": 54}


def due_times(database: Database) -> dict[str | None, float]:
    """In seconds after noon."""
    return {
        row["video_translate_id"]: (row["next_poll_at"] - NOON).total_seconds() for row in database.rows()
    }


async def test_open_translations_are_counted_by_age(database: Database) -> None:
    assert await database.store.count_open(NOON) == (0, 0)
    ages = {"young": 0, "edge": 1800, "old": 1801, "ended": 0}
    for name, age in ages.items():
        await apply(database, registered(name, at=NOON - timedelta(seconds=age)))
    await apply(database, registered(None, callback_id="mine"))
    end(database, "ended")

    assert await database.store.count_open(NOON - timedelta(seconds=1800)) == (1, 2)


async def test_what_heygen_created_long_ago_is_old_however_late_it_is_tracked(database: Database) -> None:
    database.put(video_translate_id="a", provider_created_at=NOON - timedelta(hours=2))
    database.put(video_translate_id="b", provider_created_at=NOON)

    assert await database.store.count_open(NOON - timedelta(hours=1)) == (1, 1)


async def test_the_oldest_open_translation_is_known(database: Database) -> None:
    assert await database.store.oldest_open() is None
    for name, age in {"older": 900, "old": 300, "young": 10}.items():
        await apply(database, registered(name, at=NOON - timedelta(seconds=age)))
    assert await database.store.oldest_open() == NOON - timedelta(seconds=900)

    end(database, "older")

    assert await database.store.oldest_open() == NOON - timedelta(seconds=300)


async def test_open_rows_that_grew_too_old_are_flagged_once_also_without_an_id(database: Database) -> None:
    long_ago = NOON - timedelta(hours=3)
    database.put(video_translate_id="old", status="running", created_at=NOON - timedelta(seconds=3601))
    database.put(video_translate_id="young", status="running", created_at=NOON - timedelta(seconds=3599))
    database.put(video_translate_id="edge", created_at=NOON - timedelta(seconds=3600))
    database.put(callback_id="order-1", created_at=long_ago)
    database.put(video_translate_id="done", status="success", created_at=long_ago)
    database.put(video_translate_id="lost", attention="not_found", created_at=long_ago)

    flagged = await database.store.flag_overdue(NOON, timedelta(hours=1))

    assert sorted(flagged) == ["callback_id order-1", "old"]
    assert await database.store.flag_overdue(NOON, timedelta(hours=1)) == []
    told = {
        row["video_translate_id"] or row["callback_id"]: (row["attention"], row["attention_since"])
        for row in database.rows()
        if row["attention"] is not None
    }
    assert told == {"old": ("overdue", NOON), "order-1": ("overdue", NOON), "lost": ("not_found", None)}


async def test_however_many_grew_too_old_all_are_flagged_in_the_end(database: Database) -> None:
    many = names("old", FLAGGED + 1)
    await apply(database, *(registered(name, at=NOON - timedelta(hours=2)) for name in many))
    flagged: list[str] = []
    while told := await database.store.flag_overdue(NOON, timedelta(hours=1)):
        flagged += told

    assert sorted(flagged) == sorted(many)
    assert set(shown(database.rows(), "attention")) == {("overdue",)}


async def test_who_reported_the_latest_ends_is_known_newest_first(database: Database) -> None:
    await apply(database, registered("a"))
    [claim] = await claimed(database)
    await apply(database, polled(claim, Status.SUCCESS))
    await apply(
        database, webhook("b"), Record(observation=observation("c", Status.RUNNING, source=Source.LIST))
    )

    assert await database.store.recent_end_sources(5) == [Source.WEBHOOK, Source.POLL]
    assert await database.store.recent_end_sources(1) == [Source.WEBHOOK]


async def end_by_poll(database: Database, name: str) -> None:
    await apply(database, registered(name))
    claims = {claim.video_translate_id: claim for claim in await claimed(database)}
    await apply(database, polled(claims[name], Status.SUCCESS))


async def test_a_signed_webhook_since_the_oldest_of_the_latest_ends_is_heard_of(database: Database) -> None:
    await apply(database, webhook("at noon", Status.RUNNING))
    assert not await database.store.heard_since_ends(5)  # nothing has ended

    await end_by_poll(database, "a")
    assert await database.store.heard_since_ends(5)

    database.clock.advance(60)
    await end_by_poll(database, "b")
    assert await database.store.heard_since_ends(2)
    assert not await database.store.heard_since_ends(1)  # it came before that one


async def test_an_unsigned_webhook_is_not_heard_and_one_that_is_repeated_is(database: Database) -> None:
    await apply(database, webhook("at noon", Status.RUNNING))
    database.clock.advance(60)
    await end_by_poll(database, "a")
    at = database.clock.now
    hint = observation("a", hint=True, authentic=False)

    await apply(
        database, Record(delivery=delivery(b"unsigned", signed_by=None, received_at=at), observation=hint)
    )
    assert not await database.store.heard_since_ends(1)

    [again] = await apply(database, Record(delivery=delivery(received_at=at), observation=observation("a")))
    assert again.is_duplicate
    assert await database.store.heard_since_ends(1)


async def test_ends_that_nobody_raced_for_tell_nothing_of_webhooks(database: Database) -> None:
    await apply(database, webhook("a"), registered("b"), registered("c"))
    await apply(database, Record(observation=observation("b", Status.SUCCESS, source=Source.LIST)))
    await apply(database, Record(observation=observation("c", Status.FAILED, source=Source.EVENT_LOG)))
    await apply(database, Record(observation=observation("b", Status.PENDING, source=Source.MANUAL)))

    assert await database.store.recent_end_sources(5) == [Source.WEBHOOK]


async def test_an_end_that_settles_a_conflict_is_no_end_of_its_own(database: Database) -> None:
    await end_by_poll(database, "a")
    database.clock.advance(60)
    await apply(database, Record(observation=observation("a", Status.FAILED, at=database.clock.now)))
    [claim] = await claimed(database, at=database.clock.now)
    settling = polled(claim, Status.FAILED, at=database.clock.now + timedelta(seconds=1))

    [settled] = await apply(database, settling)

    assert settled.change is not None
    assert (settled.change.old, settled.change.new) == (Status.SUCCESS, Status.FAILED)
    assert await database.store.recent_end_sources(5) == [Source.POLL]
