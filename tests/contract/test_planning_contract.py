"""Every store brings polls forward, counts what is open and knows who told of the latest ends."""

from datetime import timedelta

import pytest

from tests.builders import NOON
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
from tests.contract.scene import Scene
from tracker.domain.status import Source, Status
from tracker.ports import Record
from tracker.store.repository import FLAGGED, HASTENED

pytestmark = pytest.mark.anyio
SPACING = timedelta(seconds=15)


async def test_polling_is_hastened_for_what_is_open_and_would_wait_longer(scene: Scene) -> None:
    await track(scene, "early", due=1)
    await track(scene, "late", "ended", due=500)
    end(scene, "ended", due=500)
    await apply(scene, registered(None, callback_id="mine"))
    scene.change(None, next_poll_at=NOON + timedelta(hours=12))

    assert await scene.store.hasten(NOON + timedelta(seconds=54), SPACING) == 1

    assert due_times(scene) == {"early": 1, "late": 54, "ended": 500, None: 12 * 3600}
    assert await scene.store.hasten(NOON + timedelta(seconds=54), SPACING) == 0


async def test_however_many_there_are_all_are_hastened(scene: Scene) -> None:
    await track(scene, *names("late", HASTENED + 1), due=500)

    assert await scene.store.hasten(NOON, SPACING) == HASTENED + 1
    assert set(due_times(scene).values()) == {0}
    assert await scene.store.hasten(NOON, SPACING) == 0


async def test_what_was_just_asked_about_is_not_asked_at_once_again(scene: Scene) -> None:
    await track(scene, "just", "long ago", "soon", due=500)
    for name, seconds in (("just", 45), ("long ago", 39), ("soon", 50)):
        scene.change(name, last_polled_at=NOON + timedelta(seconds=seconds))
    scene.change("soon", next_poll_at=NOON + timedelta(seconds=65))

    assert await scene.store.hasten(NOON + timedelta(seconds=54), SPACING) == 2

    assert due_times(scene) == {"just": 69, "long ago": 54, "soon": 65}


async def test_a_poll_counts_as_just_asked_about(scene: Scene) -> None:
    await track(scene, "answered", "never asked")
    claims = {claim.video_translate_id: claim for claim in await claimed(scene)}
    await apply(scene, polled(claims["answered"], Status.RUNNING, at=NOON + timedelta(seconds=45)))
    scene.change("answered", "never asked", next_poll_at=NOON + timedelta(seconds=500))

    assert await scene.store.hasten(NOON + timedelta(seconds=54), SPACING) == 2

    assert due_times(scene) == {"answered": 69, "never asked": 54}


def due_times(scene: Scene) -> dict[str | None, float]:
    """In seconds after noon."""
    return {row["video_translate_id"]: (row["next_poll_at"] - NOON).total_seconds() for row in scene.rows()}


async def test_open_translations_are_counted_by_age(scene: Scene) -> None:
    assert await scene.store.count_open(NOON) == (0, 0)
    ages = {"young": 0, "edge": 1800, "old": 1801, "ended": 0}
    for name, age in ages.items():
        await apply(scene, registered(name, at=NOON - timedelta(seconds=age)))
    await apply(scene, registered(None, callback_id="mine"))
    end(scene, "ended")

    assert await scene.store.count_open(NOON - timedelta(seconds=1800)) == (1, 2)


async def test_what_heygen_created_long_ago_is_old_however_late_it_is_tracked(scene: Scene) -> None:
    scene.put(video_translate_id="a", provider_created_at=NOON - timedelta(hours=2))
    scene.put(video_translate_id="b", provider_created_at=NOON)

    assert await scene.store.count_open(NOON - timedelta(hours=1)) == (1, 1)


async def test_the_oldest_open_translation_is_known(scene: Scene) -> None:
    assert await scene.store.oldest_open() is None
    for name, age in {"older": 900, "old": 300, "young": 10}.items():
        await apply(scene, registered(name, at=NOON - timedelta(seconds=age)))
    assert await scene.store.oldest_open() == NOON - timedelta(seconds=900)

    end(scene, "older")

    assert await scene.store.oldest_open() == NOON - timedelta(seconds=300)


async def test_open_rows_that_grew_too_old_are_flagged_once_also_without_an_id(scene: Scene) -> None:
    long_ago = NOON - timedelta(hours=3)
    scene.put(video_translate_id="old", status="running", created_at=NOON - timedelta(seconds=3601))
    scene.put(video_translate_id="young", status="running", created_at=NOON - timedelta(seconds=3599))
    scene.put(video_translate_id="edge", created_at=NOON - timedelta(seconds=3600))
    scene.put(callback_id="order-1", created_at=long_ago)
    scene.put(video_translate_id="done", status="success", created_at=long_ago)
    scene.put(video_translate_id="lost", attention="not_found", created_at=long_ago)

    flagged = await scene.store.flag_overdue(NOON, timedelta(hours=1))

    assert sorted(flagged) == ["callback_id order-1", "old"]
    assert await scene.store.flag_overdue(NOON, timedelta(hours=1)) == []
    told = {
        row["video_translate_id"] or row["callback_id"]: (row["attention"], row["attention_since"])
        for row in scene.rows()
        if row["attention"] is not None
    }
    assert told == {"old": ("overdue", NOON), "order-1": ("overdue", NOON), "lost": ("not_found", None)}


async def test_however_many_grew_too_old_all_are_flagged_in_the_end(scene: Scene) -> None:
    many = names("old", FLAGGED + 1)
    await apply(scene, *(registered(name, at=NOON - timedelta(hours=2)) for name in many))
    flagged: list[str] = []
    while told := await scene.store.flag_overdue(NOON, timedelta(hours=1)):
        flagged += told

    assert sorted(flagged) == sorted(many)
    assert set(shown(scene.rows(), "attention")) == {("overdue",)}


async def test_who_reported_the_latest_ends_is_known_newest_first(scene: Scene) -> None:
    await apply(scene, registered("a"))
    [claim] = await claimed(scene)
    await apply(scene, polled(claim, Status.SUCCESS))
    await apply(scene, webhook("b"), Record(observation=observation("c", Status.RUNNING, source=Source.LIST)))

    assert await scene.store.recent_end_sources(5) == [Source.WEBHOOK, Source.POLL]
    assert await scene.store.recent_end_sources(1) == [Source.WEBHOOK]


async def end_by_poll(scene: Scene, name: str) -> None:
    await apply(scene, registered(name))
    claims = {claim.video_translate_id: claim for claim in await claimed(scene)}
    await apply(scene, polled(claims[name], Status.SUCCESS))


async def test_a_signed_webhook_since_the_oldest_of_the_latest_ends_is_heard_of(scene: Scene) -> None:
    await apply(scene, webhook("at noon", Status.RUNNING))
    assert not await scene.store.heard_since_ends(5)  # nothing has ended

    await end_by_poll(scene, "a")
    assert await scene.store.heard_since_ends(5)

    scene.clock.advance(60)
    await end_by_poll(scene, "b")
    assert await scene.store.heard_since_ends(2)
    assert not await scene.store.heard_since_ends(1)  # it came before that one


async def test_an_unsigned_webhook_is_not_heard_and_one_that_is_repeated_is(scene: Scene) -> None:
    await apply(scene, webhook("at noon", Status.RUNNING))
    scene.clock.advance(60)
    await end_by_poll(scene, "a")
    at = scene.clock.now
    hint = observation("a", hint=True, authentic=False)

    await apply(
        scene, Record(delivery=delivery(b"unsigned", signed_by=None, received_at=at), observation=hint)
    )
    assert not await scene.store.heard_since_ends(1)

    [again] = await apply(scene, Record(delivery=delivery(received_at=at), observation=observation("a")))
    assert again.is_duplicate
    assert await scene.store.heard_since_ends(1)


async def test_ends_that_nobody_raced_for_tell_nothing_of_webhooks(scene: Scene) -> None:
    await apply(scene, webhook("a"), registered("b"), registered("c"))
    await apply(scene, Record(observation=observation("b", Status.SUCCESS, source=Source.LIST)))
    await apply(scene, Record(observation=observation("c", Status.FAILED, source=Source.EVENT_LOG)))
    await apply(scene, Record(observation=observation("b", Status.PENDING, source=Source.MANUAL)))

    assert await scene.store.recent_end_sources(5) == [Source.WEBHOOK]


async def test_an_end_that_settles_a_conflict_is_no_end_of_its_own(scene: Scene) -> None:
    await end_by_poll(scene, "a")
    scene.clock.advance(60)
    await apply(scene, Record(observation=observation("a", Status.FAILED, at=scene.clock.now)))
    [claim] = await claimed(scene, at=scene.clock.now)
    settling = polled(claim, Status.FAILED, at=scene.clock.now + timedelta(seconds=1))

    [settled] = await apply(scene, settling)

    assert settled.change is not None
    assert (settled.change.old, settled.change.new) == (Status.SUCCESS, Status.FAILED)
    assert await scene.store.recent_end_sources(5) == [Source.POLL]
