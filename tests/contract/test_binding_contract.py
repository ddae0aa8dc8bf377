"""Every store finds whom an observation is about, and gives an id to the row that waits for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import NOON
from tests.contract.records import (
    apply,
    claimed,
    delivery,
    observation,
    registered,
    shown,
    statuses,
    unsigned,
    webhook,
)
from tests.contract.scene import Scene
from tracker.domain.status import Source, Status
from tracker.domain.verdict import Outcome
from tracker.ports import Record

pytestmark = pytest.mark.anyio


async def test_a_row_that_waits_for_its_id_is_bound_by_the_first_who_knows_both(scene: Scene) -> None:
    [added] = await apply(scene, registered(None, callback_id="order-1", title="Mine"))

    [recorded] = await apply(scene, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert (recorded.is_new, recorded.video_translate_id) == (False, "a")
    assert shown(scene.rows(), "video_translate_id", "callback_id", "status", "title") == [
        ("a", "order-1", "success", "Mine")
    ]


async def test_a_second_id_with_the_same_callback_id_gets_a_row_of_its_own(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="order-1"))

    await apply(scene, webhook("a", body=b"a", callback_id="order-1"))
    [second] = await apply(scene, webhook("b", Status.FAILED, body=b"b", callback_id="order-1", url=None))

    assert second.is_new
    assert statuses(scene) == {"a": "success", "b": "failed"}
    assert shown(scene.rows(), "callback_id") == [("order-1",), ("order-1",)]


async def test_two_waiting_rows_are_bound_oldest_first(scene: Scene) -> None:
    scene.put(callback_id="order-1")
    scene.put(callback_id="order-1")

    await apply(scene, webhook("a", body=b"a", callback_id="order-1"))
    await apply(scene, webhook("b", body=b"b", callback_id="order-1"))

    assert shown(scene.rows(), "video_translate_id") == [("a",), ("b",)]


async def test_naming_a_waiting_callback_id_again_adds_no_second_row(scene: Scene) -> None:
    [first] = await apply(scene, registered(None, callback_id="order-1"))
    [second] = await apply(scene, registered(None, callback_id="order-1"))

    assert (first.is_new, second.is_new) == (True, False)
    assert first.translation_id == second.translation_id


async def test_a_hint_binds_nothing(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="order-1"))

    await apply(scene, unsigned("a", callback_id="order-1"))

    assert shown(scene.rows(), "video_translate_id", "callback_id") == [
        (None, "order-1"),
        ("a", None),
    ]


async def test_the_row_that_a_hint_made_gives_way_to_the_one_that_waits_for_the_id(scene: Scene) -> None:
    [added] = await apply(scene, registered(None, callback_id="order-1"))
    await apply(scene, unsigned("a", body=b"hint", callback_id="order-1"))

    [recorded] = await apply(scene, webhook("a", body=b"signed", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert shown(scene.rows(), "video_translate_id", "callback_id", "status") == [("a", "order-1", "success")]


async def test_a_signed_hint_that_knows_both_ids_binds_too(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="order-1"))
    preflight = observation("a", callback_id="order-1", hint=True)

    await apply(scene, Record(delivery=delivery(b"preflight"), observation=preflight))

    assert shown(scene.rows(), "video_translate_id", "callback_id", "status") == [("a", "order-1", "pending")]


async def test_adding_a_callback_id_again_adds_nothing(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="order-1"))
    await apply(scene, webhook("a", callback_id="order-1"))

    [again] = await apply(scene, registered(None, callback_id="order-1"))

    assert not again.is_new
    assert len(scene.rows()) == 1


async def test_a_row_that_nobody_hinted_at_never_gives_way(scene: Scene) -> None:
    [mine] = await apply(scene, registered("a", title="Mine"))
    await apply(scene, registered(None, callback_id="order-1"))

    [recorded] = await apply(scene, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == mine.translation_id
    assert shown(scene.rows(), "video_translate_id", "status", "title") == [
        ("a", "success", "Mine"),
        (None, "pending", None),
    ]


async def test_a_hint_by_callback_id_makes_every_open_row_due_and_changes_no_status(scene: Scene) -> None:
    later = NOON + timedelta(minutes=5)
    await apply(scene, webhook("done", body=b"1", callback_id="order-1"))
    for name, callback_id in (("a", "order-1"), ("b", "order-1"), ("c", "order-2")):
        scene.put(video_translate_id=name, callback_id=callback_id, next_poll_at=NOON + timedelta(hours=1))
    hint = Record(
        delivery=delivery(b"2", signed_by=None),
        observation=observation(None, callback_id="order-1", hint=True, at=later),
    )

    [recorded] = await apply(scene, hint)

    assert recorded.outcome is Outcome.HINT
    assert {claim.video_translate_id for claim in await claimed(scene, at=later)} == {"done", "a", "b"}
    assert statuses(scene) == {"done": "success", "a": "pending", "b": "pending", "c": "pending"}


async def test_a_hint_at_nothing_known_is_kept_as_unknown(scene: Scene) -> None:
    [recorded] = await apply(scene, unsigned(None, callback_id="order-1"))

    assert recorded.outcome is Outcome.UNKNOWN
    assert (scene.rows(), len(scene.deliveries())) == ([], 1)


async def test_a_callback_id_of_ten_kilobytes_is_like_any_other(scene: Scene) -> None:
    long = "order-" + "x" * 10_000
    await apply(scene, registered(None, callback_id=long))

    await apply(scene, webhook("a", callback_id=long))

    [row] = scene.rows()
    assert (row["video_translate_id"], row["callback_id"]) == ("a", long)


async def test_what_nobody_tracks_stays_untracked_where_it_may_not_be_adopted(scene: Scene) -> None:
    seen = observation("stranger", Status.SUCCESS, callback_id="theirs", source=Source.LIST)

    [recorded] = await apply(scene, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.change) == (Outcome.UNKNOWN, False, None)
    assert (scene.rows(), scene.changes()) == ([], [])
    [adopted] = await apply(scene, Record(observation=seen))
    assert (adopted.outcome, adopted.is_new, adopted.is_bound) == (Outcome.APPLIED, True, False)


async def test_what_is_tracked_is_told_all_the_same(scene: Scene) -> None:
    await apply(scene, registered("a"))

    seen = observation("a", Status.SUCCESS, source=Source.LIST, url="https://files.example/a.mp4")
    [recorded] = await apply(scene, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.is_bound) == (Outcome.APPLIED, False, False)
    assert statuses(scene) == {"a": "success"}


async def test_a_row_that_waits_is_bound_also_where_nothing_may_be_adopted(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="mine"))
    first, second = (
        Record(observation=observation(name, callback_id="mine", source=Source.LIST), adopt=False)
        for name in ("a", "b")
    )

    [bound], [stranger] = await apply(scene, first), await apply(scene, second)

    assert (bound.is_bound, bound.is_new, bound.video_translate_id) == (True, False, "a")
    assert (stranger.is_bound, stranger.outcome) == (False, Outcome.UNKNOWN)
    assert statuses(scene) == {"a": "pending"}


async def test_the_languages_of_one_request_are_bound_to_the_rows_of_their_languages(
    scene: Scene,
) -> None:
    for language in ("Spanish", "French", "Urdu"):
        scene.put(callback_id="mine", output_language=language)

    for name, language in (("x-ur", "Urdu"), ("x-es", "Spanish"), ("x-tl", "Klingon"), ("x-fr", "French")):
        seen = observation(name, callback_id="mine", source=Source.LIST, output_language=language)
        await apply(scene, Record(observation=seen, adopt=False))

    found = shown(scene.rows(), "video_translate_id", "callback_id")
    assert found == [("x-es", "mine"), ("x-tl", "mine"), ("x-ur", "mine")]


async def test_what_has_ended_without_an_id_is_bound_last(scene: Scene) -> None:
    scene.put(callback_id="mine", status="failed", next_poll_at=None)
    scene.put(callback_id="mine")

    await apply(scene, webhook("a", callback_id="mine"))

    assert shown(scene.rows(), "video_translate_id", "status") == [(None, "failed"), ("a", "success")]


async def test_a_record_about_a_row_by_its_number_reaches_it_while_it_waits_for_its_id(scene: Scene) -> None:
    scene.put(callback_id="mine")
    scene.put(callback_id="mine")
    number = scene.rows()[1]["id"]
    refused = observation(None, Status.FAILED, callback_id="mine", source=Source.MANUAL)
    known = observation("b", Status.FAILED, callback_id="theirs", source=Source.MANUAL)
    [added] = await apply(scene, registered("b", callback_id="theirs"))

    [failed, missed] = await apply(
        scene,
        Record(observation=refused, translation_id=number),
        Record(observation=known, translation_id=added.translation_id, adopt=False),
    )

    assert (failed.translation_id, missed.outcome) == (number, Outcome.UNKNOWN)
    assert [row["status"] for row in scene.rows()] == ["pending", "failed", "pending"]


@pytest.mark.parametrize(("occurred", "status"), [(None, "pending"), (60, "pending"), (61, "success")])
async def test_the_logs_word_of_an_end_that_a_person_has_undone_since_changes_nothing(
    scene: Scene, occurred: float | None, status: str
) -> None:
    later = NOON + timedelta(seconds=60)
    await apply(scene, webhook("a"))
    await apply(scene, Record(observation=observation("a", Status.PENDING, source=Source.MANUAL, at=later)))
    seen = replace(
        observation("a", Status.SUCCESS, source=Source.EVENT_LOG, at=NOON + timedelta(hours=1)),
        occurred_at=None if occurred is None else NOON + timedelta(seconds=occurred),
    )

    [recorded] = await apply(scene, Record(observation=seen))

    assert recorded.outcome is (Outcome.APPLIED if status == "success" else Outcome.UNCHANGED)
    assert statuses(scene) == {"a": status}


async def test_a_callback_id_alone_means_the_row_that_waits_before_an_older_one_that_has_its_id(
    scene: Scene,
) -> None:
    scene.put(video_translate_id="a", callback_id="mine")
    scene.put(callback_id="mine")

    await apply(scene, registered(None, callback_id="mine", title="Mine"))

    assert shown(scene.rows(), "video_translate_id", "title") == [("a", None), (None, "Mine")]


async def test_what_a_hint_made_keeps_its_row_once_more_is_known_of_it(scene: Scene) -> None:
    await apply(scene, registered(None, callback_id="order-1"))
    await apply(scene, unsigned("a", body=b"hint", callback_id="order-1"))
    await apply(scene, Record(observation=observation("a", Status.RUNNING, source=Source.LIST)))

    await apply(scene, webhook("a", body=b"signed", callback_id="order-1"))

    assert shown(scene.rows(), "video_translate_id", "status") == [(None, "pending"), ("a", "success")]


async def test_a_hint_by_callback_id_leaves_alone_what_has_ended(scene: Scene) -> None:
    scene.put(video_translate_id="a", callback_id="mine", status="success", next_poll_at=None)

    [recorded] = await apply(scene, unsigned(None, callback_id="mine"))

    assert recorded.outcome is Outcome.UNKNOWN
    assert shown(scene.rows(), "next_poll_at") == [(None,)]


async def test_who_gets_its_id_is_due_at_once(scene: Scene) -> None:
    scene.put(callback_id="mine", next_poll_at=NOON + timedelta(hours=1))
    scene.clock.advance(5)

    await apply(scene, registered("a", callback_id="mine"))

    assert shown(scene.rows(), "video_translate_id", "next_poll_at") == [("a", scene.clock.now)]
