"""Every store decides what deliveries bring in order, all or nothing, and each body once."""

import pytest

from tests.builders import NOON
from tests.contract.openers import Database
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
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome, Outcome
from tracker.domain.record import Record
from tracker.domain.status import Attention, Source, Status
from tracker.domain.translation import Translation

pytestmark = pytest.mark.anyio


async def test_nothing_is_stored_where_the_rules_raise(database: Database) -> None:
    def broken(_current: Translation, seen: Observation) -> Outcome:
        raise ArithmeticError(seen.video_translate_id)

    with pytest.raises(ArithmeticError, match="b"):
        await apply(
            database,
            Record(delivery=delivery(b"first"), outcome=DeliveryOutcome.IGNORED),
            webhook("b"),
            rule=broken,
        )

    assert (database.rows(), database.changes(), database.deliveries()) == ([], [], [])
    [after] = await apply(database, webhook("b"))
    assert after.outcome is DeliveryOutcome.APPLIED


async def test_records_are_decided_in_the_order_they_are_given(database: Database) -> None:
    running = Record(observation=observation("a", Status.RUNNING, source=Source.LIST))

    results = await apply(database, registered("a"), running, webhook("a"), running)

    assert [one.outcome for one in results] == [
        DeliveryOutcome.APPLIED,
        DeliveryOutcome.APPLIED,
        DeliveryOutcome.APPLIED,
        DeliveryOutcome.UNCHANGED,
    ]
    assert database.changes() == [
        ("pending", "running", "list"),
        ("running", "success", "webhook"),
    ]


async def test_a_repetition_in_the_same_batch_is_a_duplicate_too(database: Database) -> None:
    results = await apply(database, webhook("a"), webhook("a"))

    assert [one.is_duplicate for one in results] == [False, True]
    assert shown(database.deliveries(), "times_received") == [(2,)]


async def test_an_event_id_that_was_used_before_hides_nothing(database: Database) -> None:
    first = Record(
        delivery=delivery(b"1", event_id="evt"),
        observation=observation("a", Status.SUCCESS, url="https://x.y/"),
    )
    second = Record(
        delivery=delivery(b"2", event_id="evt"), observation=observation("b", Status.FAILED, message="no")
    )

    await apply(database, first)
    [recorded] = await apply(database, second)

    assert not recorded.is_duplicate
    assert statuses(database) == {"a": "success", "b": "failed"}


async def test_the_signed_copy_of_a_body_that_came_unsigned_first_is_believed(database: Database) -> None:
    [hint] = await apply(database, unsigned("a"))
    assert (hint.outcome, statuses(database)) == (DeliveryOutcome.HINT, {"a": "pending"})

    [recorded] = await apply(database, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, DeliveryOutcome.APPLIED)
    assert statuses(database) == {"a": "success"}
    assert shown(database.deliveries(), "signed_by", "outcome", "times_received") == [("main", "applied", 2)]


async def test_the_unsigned_copy_of_a_signed_body_is_a_duplicate(database: Database) -> None:
    await apply(database, webhook("a"))

    [recorded] = await apply(database, unsigned("a"))

    assert recorded.is_duplicate
    assert shown(database.deliveries(), "signed_by", "outcome") == [("main", "applied")]


async def test_a_delivery_that_could_not_be_used_is_tried_again_when_it_returns(database: Database) -> None:
    await apply(database, Record(delivery=delivery(error="not understood"), outcome=DeliveryOutcome.ERROR))
    assert shown(database.deliveries(), "outcome", "error") == [("error", "not understood")]

    [recorded] = await apply(database, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, DeliveryOutcome.APPLIED)
    assert shown(database.deliveries(), "outcome", "error", "times_received") == [("applied", None, 2)]


async def test_an_unsigned_copy_does_not_make_a_signature_forgotten(database: Database) -> None:
    await apply(database, Record(delivery=delivery(error="not understood"), outcome=DeliveryOutcome.ERROR))

    await apply(database, unsigned("a"))

    assert shown(database.deliveries(), "signed_by", "outcome", "error", "times_received") == [
        ("main", "error", "not understood", 2)
    ]


async def test_a_delivery_of_another_product_is_kept_without_a_translation(database: Database) -> None:
    [recorded] = await apply(database, Record(delivery=delivery(b"avatar"), outcome=DeliveryOutcome.IGNORED))

    assert (recorded.outcome, recorded.translation_id) == (DeliveryOutcome.IGNORED, None)
    assert (len(database.deliveries()), database.rows()) == (1, [])


# What is told of a record


async def test_what_was_recorded_is_told_with_its_times(database: Database) -> None:
    database.clock.advance(5)

    [new, again] = await apply(database, registered("a"), webhook("a"))

    assert (new.outcome, new.is_new, new.finished_at) == (DeliveryOutcome.APPLIED, True, None)
    assert (again.is_new, again.finished_at, again.recorded_at) == (False, NOON, database.clock.now)
    assert new.translation_id == again.translation_id == database.rows()[0]["id"]


async def test_a_flag_is_told_by_the_record_that_raised_it_alone(database: Database) -> None:
    results = await apply(database, *(webhook("a", body=body, url=None) for body in (b"1", b"2")))

    assert [one.attention for one in results] == [Attention.URL_MISSING, None]
    assert shown(database.rows(), "attention", "attention_since") == [("url_missing", NOON)]
