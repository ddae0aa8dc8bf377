"""Every store decides what deliveries bring in order, all or nothing, and each body once."""

import pytest

from tests.builders import NOON
from tests.contract.records import (
    apply,
    delivery,
    observation,
    registered,
    shown,
    statuses,
    unsigned,
    webhook,
)
from tests.contract.scene import Scene
from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source, Status
from tracker.domain.translation import Translation
from tracker.domain.verdict import Outcome, Verdict
from tracker.ports import Record

pytestmark = pytest.mark.anyio


async def test_nothing_is_stored_where_the_rules_raise(scene: Scene) -> None:
    def broken(_current: Translation, seen: Observation) -> Verdict:
        raise ArithmeticError(seen.video_translate_id)

    with pytest.raises(ArithmeticError, match="b"):
        await apply(
            scene, Record(delivery=delivery(b"first"), outcome=Outcome.IGNORED), webhook("b"), rule=broken
        )

    assert (scene.rows(), scene.changes(), scene.deliveries()) == ([], [], [])
    [after] = await apply(scene, webhook("b"))
    assert after.outcome is Outcome.APPLIED


async def test_records_are_decided_in_the_order_they_are_given(scene: Scene) -> None:
    running = Record(observation=observation("a", Status.RUNNING, source=Source.LIST))

    results = await apply(scene, registered("a"), running, webhook("a"), running)

    assert [one.outcome for one in results] == [
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.UNCHANGED,
    ]
    assert scene.changes() == [
        ("pending", "running", "list"),
        ("running", "success", "webhook"),
    ]


async def test_a_repetition_in_the_same_batch_is_a_duplicate_too(scene: Scene) -> None:
    results = await apply(scene, webhook("a"), webhook("a"))

    assert [one.is_duplicate for one in results] == [False, True]
    assert shown(scene.deliveries(), "times_received") == [(2,)]


async def test_an_event_id_that_was_used_before_hides_nothing(scene: Scene) -> None:
    first = Record(
        delivery=delivery(b"1", event_id="evt"),
        observation=observation("a", Status.SUCCESS, url="https://x.y/"),
    )
    second = Record(
        delivery=delivery(b"2", event_id="evt"), observation=observation("b", Status.FAILED, message="no")
    )

    await apply(scene, first)
    [recorded] = await apply(scene, second)

    assert not recorded.is_duplicate
    assert statuses(scene) == {"a": "success", "b": "failed"}


async def test_the_signed_copy_of_a_body_that_came_unsigned_first_is_believed(scene: Scene) -> None:
    [hint] = await apply(scene, unsigned("a"))
    assert (hint.outcome, statuses(scene)) == (Outcome.HINT, {"a": "pending"})

    [recorded] = await apply(scene, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, Outcome.APPLIED)
    assert statuses(scene) == {"a": "success"}
    assert shown(scene.deliveries(), "signed_by", "outcome", "times_received") == [("main", "applied", 2)]


async def test_the_unsigned_copy_of_a_signed_body_is_a_duplicate(scene: Scene) -> None:
    await apply(scene, webhook("a"))

    [recorded] = await apply(scene, unsigned("a"))

    assert recorded.is_duplicate
    assert shown(scene.deliveries(), "signed_by", "outcome") == [("main", "applied")]


async def test_a_delivery_that_could_not_be_used_is_tried_again_when_it_returns(scene: Scene) -> None:
    await apply(scene, Record(delivery=delivery(error="not understood"), outcome=Outcome.ERROR))
    assert shown(scene.deliveries(), "outcome", "error") == [("error", "not understood")]

    [recorded] = await apply(scene, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, Outcome.APPLIED)
    assert shown(scene.deliveries(), "outcome", "error", "times_received") == [("applied", None, 2)]


async def test_an_unsigned_copy_does_not_make_a_signature_forgotten(scene: Scene) -> None:
    await apply(scene, Record(delivery=delivery(error="not understood"), outcome=Outcome.ERROR))

    await apply(scene, unsigned("a"))

    assert shown(scene.deliveries(), "signed_by", "outcome", "error", "times_received") == [
        ("main", "error", "not understood", 2)
    ]


async def test_a_delivery_of_another_product_is_kept_without_a_translation(scene: Scene) -> None:
    [recorded] = await apply(scene, Record(delivery=delivery(b"avatar"), outcome=Outcome.IGNORED))

    assert (recorded.outcome, recorded.translation_id) == (Outcome.IGNORED, None)
    assert (len(scene.deliveries()), scene.rows()) == (1, [])


# What is told of a record


async def test_what_was_recorded_is_told_with_its_times(scene: Scene) -> None:
    scene.clock.advance(5)

    [new, again] = await apply(scene, registered("a"), webhook("a"))

    assert (new.outcome, new.is_new, new.finished_at) == (Outcome.APPLIED, True, None)
    assert (again.is_new, again.finished_at, again.recorded_at) == (False, NOON, scene.clock.now)
    assert new.translation_id == again.translation_id == scene.rows()[0]["id"]


async def test_a_flag_is_told_by_the_record_that_raised_it_alone(scene: Scene) -> None:
    results = await apply(scene, *(webhook("a", body=body, url=None) for body in (b"1", b"2")))

    assert [one.attention for one in results] == [Attention.URL_MISSING, None]
    assert shown(scene.rows(), "attention", "attention_since") == [("url_missing", NOON)]
