"""Every store finds whom an observation is about, and gives an id to the row that waits for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import NOON
from tests.contract.openers import Database
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
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.record import Record
from tracker.domain.status import Source, Status

pytestmark = pytest.mark.anyio


async def test_a_row_that_waits_for_its_id_is_bound_by_the_first_who_knows_both(database: Database) -> None:
    [added] = await apply(database, registered(None, callback_id="order-1", title="Mine"))

    [recorded] = await apply(database, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert (recorded.is_new, recorded.video_translate_id) == (False, "a")
    assert shown(database.rows(), "video_translate_id", "callback_id", "status", "title") == [
        ("a", "order-1", "success", "Mine")
    ]


async def test_a_second_id_with_the_same_callback_id_gets_a_row_of_its_own(database: Database) -> None:
    await apply(database, registered(None, callback_id="order-1"))

    await apply(database, webhook("a", body=b"a", callback_id="order-1"))
    [second] = await apply(database, webhook("b", Status.FAILED, body=b"b", callback_id="order-1", url=None))

    assert second.is_new
    assert statuses(database) == {"a": "success", "b": "failed"}
    assert shown(database.rows(), "callback_id") == [("order-1",), ("order-1",)]


async def test_two_waiting_rows_are_bound_oldest_first(database: Database) -> None:
    database.put(callback_id="order-1")
    database.put(callback_id="order-1")

    await apply(database, webhook("a", body=b"a", callback_id="order-1"))
    await apply(database, webhook("b", body=b"b", callback_id="order-1"))

    assert shown(database.rows(), "video_translate_id") == [("a",), ("b",)]


async def test_naming_a_waiting_callback_id_again_adds_no_second_row(database: Database) -> None:
    [first] = await apply(database, registered(None, callback_id="order-1"))
    [second] = await apply(database, registered(None, callback_id="order-1"))

    assert (first.is_new, second.is_new) == (True, False)
    assert first.translation_id == second.translation_id


async def test_a_hint_binds_nothing(database: Database) -> None:
    await apply(database, registered(None, callback_id="order-1"))

    await apply(database, unsigned("a", callback_id="order-1"))

    assert shown(database.rows(), "video_translate_id", "callback_id") == [
        (None, "order-1"),
        ("a", None),
    ]


async def test_the_row_that_a_hint_made_gives_way_to_the_one_that_waits_for_the_id(
    database: Database,
) -> None:
    [added] = await apply(database, registered(None, callback_id="order-1"))
    await apply(database, unsigned("a", body=b"hint", callback_id="order-1"))

    [recorded] = await apply(database, webhook("a", body=b"signed", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert shown(database.rows(), "video_translate_id", "callback_id", "status") == [
        ("a", "order-1", "success")
    ]


async def test_a_signed_hint_that_knows_both_ids_binds_too(database: Database) -> None:
    await apply(database, registered(None, callback_id="order-1"))
    preflight = observation("a", callback_id="order-1", hint=True)

    await apply(database, Record(delivery=delivery(b"preflight"), observation=preflight))

    assert shown(database.rows(), "video_translate_id", "callback_id", "status") == [
        ("a", "order-1", "pending")
    ]


async def test_adding_a_callback_id_again_adds_nothing(database: Database) -> None:
    await apply(database, registered(None, callback_id="order-1"))
    await apply(database, webhook("a", callback_id="order-1"))

    [again] = await apply(database, registered(None, callback_id="order-1"))

    assert not again.is_new
    assert len(database.rows()) == 1


async def test_a_row_that_nobody_hinted_at_never_gives_way(database: Database) -> None:
    [mine] = await apply(database, registered("a", title="Mine"))
    await apply(database, registered(None, callback_id="order-1"))

    [recorded] = await apply(database, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == mine.translation_id
    assert shown(database.rows(), "video_translate_id", "status", "title") == [
        ("a", "success", "Mine"),
        (None, "pending", None),
    ]


async def test_a_hint_by_callback_id_makes_every_open_row_due_and_changes_no_status(
    database: Database,
) -> None:
    later = NOON + timedelta(minutes=5)
    await apply(database, webhook("done", body=b"1", callback_id="order-1"))
    for name, callback_id in (("a", "order-1"), ("b", "order-1"), ("c", "order-2")):
        database.put(video_translate_id=name, callback_id=callback_id, next_poll_at=NOON + timedelta(hours=1))
    hint = Record(
        delivery=delivery(b"2", signed_by=None),
        observation=observation(None, callback_id="order-1", hint=True, at=later),
    )

    [recorded] = await apply(database, hint)

    assert recorded.outcome is DeliveryOutcome.HINT
    assert {claim.video_translate_id for claim in await claimed(database, at=later)} == {"done", "a", "b"}
    assert statuses(database) == {"done": "success", "a": "pending", "b": "pending", "c": "pending"}


async def test_a_hint_at_nothing_known_is_kept_as_unknown(database: Database) -> None:
    [recorded] = await apply(database, unsigned(None, callback_id="order-1"))

    assert recorded.outcome is DeliveryOutcome.UNKNOWN
    assert (database.rows(), len(database.deliveries())) == ([], 1)


async def test_a_callback_id_of_ten_kilobytes_is_like_any_other(database: Database) -> None:
    long = "order-" + "x" * 10_000
    await apply(database, registered(None, callback_id=long))

    await apply(database, webhook("a", callback_id=long))

    [row] = database.rows()
    assert (row["video_translate_id"], row["callback_id"]) == ("a", long)


async def test_what_nobody_tracks_stays_untracked_where_it_may_not_be_adopted(database: Database) -> None:
    seen = observation("stranger", Status.SUCCESS, callback_id="theirs", source=Source.LIST)

    [recorded] = await apply(database, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.change) == (DeliveryOutcome.UNKNOWN, False, None)
    assert (database.rows(), database.changes()) == ([], [])
    [adopted] = await apply(database, Record(observation=seen))
    assert (adopted.outcome, adopted.is_new, adopted.is_bound) == (DeliveryOutcome.APPLIED, True, False)


async def test_what_is_tracked_is_told_all_the_same(database: Database) -> None:
    await apply(database, registered("a"))

    seen = observation("a", Status.SUCCESS, source=Source.LIST, url="https://files.example/a.mp4")
    [recorded] = await apply(database, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.is_bound) == (DeliveryOutcome.APPLIED, False, False)
    assert statuses(database) == {"a": "success"}


async def test_a_row_that_waits_is_bound_also_where_nothing_may_be_adopted(database: Database) -> None:
    await apply(database, registered(None, callback_id="mine"))
    first, second = (
        Record(observation=observation(name, callback_id="mine", source=Source.LIST), adopt=False)
        for name in ("a", "b")
    )

    [bound], [stranger] = await apply(database, first), await apply(database, second)

    assert (bound.is_bound, bound.is_new, bound.video_translate_id) == (True, False, "a")
    assert (stranger.is_bound, stranger.outcome) == (False, DeliveryOutcome.UNKNOWN)
    assert statuses(database) == {"a": "pending"}


async def test_the_languages_of_one_request_are_bound_to_the_rows_of_their_languages(
    database: Database,
) -> None:
    for language in ("Spanish", "French", "Urdu"):
        database.put(callback_id="mine", output_language=language)

    for name, language in (("x-ur", "Urdu"), ("x-es", "Spanish"), ("x-tl", "Klingon"), ("x-fr", "French")):
        seen = observation(name, callback_id="mine", source=Source.LIST, output_language=language)
        await apply(database, Record(observation=seen, adopt=False))

    found = shown(database.rows(), "video_translate_id", "callback_id")
    assert found == [("x-es", "mine"), ("x-tl", "mine"), ("x-ur", "mine")]


async def test_what_has_ended_without_an_id_is_bound_last(database: Database) -> None:
    database.put(callback_id="mine", status="failed", next_poll_at=None)
    database.put(callback_id="mine")

    await apply(database, webhook("a", callback_id="mine"))

    assert shown(database.rows(), "video_translate_id", "status") == [(None, "failed"), ("a", "success")]


async def test_a_record_about_a_row_by_its_number_reaches_it_while_it_waits_for_its_id(
    database: Database,
) -> None:
    database.put(callback_id="mine")
    database.put(callback_id="mine")
    number = database.rows()[1]["id"]
    refused = observation(None, Status.FAILED, callback_id="mine", source=Source.MANUAL)
    known = observation("b", Status.FAILED, callback_id="theirs", source=Source.MANUAL)
    [added] = await apply(database, registered("b", callback_id="theirs"))

    [failed, missed] = await apply(
        database,
        Record(observation=refused, translation_id=number),
        Record(observation=known, translation_id=added.translation_id, adopt=False),
    )

    assert (failed.translation_id, missed.outcome) == (number, DeliveryOutcome.UNKNOWN)
    assert [row["status"] for row in database.rows()] == ["pending", "failed", "pending"]


@pytest.mark.parametrize(("occurred", "status"), [(None, "pending"), (60, "pending"), (61, "success")])
async def test_the_logs_word_of_an_end_that_a_person_has_undone_since_changes_nothing(
    database: Database, occurred: float | None, status: str
) -> None:
    later = NOON + timedelta(seconds=60)
    await apply(database, webhook("a"))
    await apply(
        database, Record(observation=observation("a", Status.PENDING, source=Source.MANUAL, at=later))
    )
    seen = replace(
        observation("a", Status.SUCCESS, source=Source.EVENT_LOG, at=NOON + timedelta(hours=1)),
        occurred_at=None if occurred is None else NOON + timedelta(seconds=occurred),
    )

    [recorded] = await apply(database, Record(observation=seen))

    assert recorded.outcome is (DeliveryOutcome.APPLIED if status == "success" else DeliveryOutcome.UNCHANGED)
    assert statuses(database) == {"a": status}


async def test_a_callback_id_alone_means_the_row_that_waits_before_an_older_one_that_has_its_id(
    database: Database,
) -> None:
    database.put(video_translate_id="a", callback_id="mine")
    database.put(callback_id="mine")

    await apply(database, registered(None, callback_id="mine", title="Mine"))

    assert shown(database.rows(), "video_translate_id", "title") == [("a", None), (None, "Mine")]


async def test_what_a_hint_made_keeps_its_row_once_more_is_known_of_it(database: Database) -> None:
    await apply(database, registered(None, callback_id="order-1"))
    await apply(database, unsigned("a", body=b"hint", callback_id="order-1"))
    await apply(database, Record(observation=observation("a", Status.RUNNING, source=Source.LIST)))

    await apply(database, webhook("a", body=b"signed", callback_id="order-1"))

    assert shown(database.rows(), "video_translate_id", "status") == [(None, "pending"), ("a", "success")]


async def test_a_hint_by_callback_id_leaves_alone_what_has_ended(database: Database) -> None:
    database.put(video_translate_id="a", callback_id="mine", status="success", next_poll_at=None)

    [recorded] = await apply(database, unsigned(None, callback_id="mine"))

    assert recorded.outcome is DeliveryOutcome.UNKNOWN
    assert shown(database.rows(), "next_poll_at") == [(None,)]


async def test_who_gets_its_id_is_due_at_once(database: Database) -> None:
    database.put(callback_id="mine", next_poll_at=NOON + timedelta(hours=1))
    database.clock.advance(5)

    await apply(database, registered("a", callback_id="mine"))

    assert shown(database.rows(), "video_translate_id", "next_poll_at") == [("a", database.clock.now)]
