"""Every store lets one claimer alone poll a translation, until the claim lapses."""

import asyncio
from datetime import timedelta

import pytest

from tests.builders import NOON
from tests.contract.openers import Database
from tests.contract.records import (
    LEASE,
    apply,
    claimed,
    end,
    names,
    polled,
    registered,
    shown,
    statuses,
    track,
    webhook,
)
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.status import Status

pytestmark = pytest.mark.anyio


async def test_open_rows_are_claimed_before_what_has_ended_for_a_minute(database: Database) -> None:
    await apply(database, webhook("ended"))
    database.put(video_translate_id="open", next_poll_at=NOON + timedelta(seconds=30))
    soon, later = NOON + timedelta(seconds=31), NOON + timedelta(seconds=61)

    [first] = await claimed(database, at=soon, limit=1)
    await database.store.release([first])
    [after_a_minute] = await claimed(database, at=later, limit=1)

    assert [first.video_translate_id, after_a_minute.video_translate_id] == ["open", "ended"]
    assert [claim.video_translate_id for claim in await claimed(database, at=later, owner="two")] == ["open"]


async def test_half_of_the_questions_are_for_ends_that_waited_a_minute_also_without_bulk_questions(
    database: Database,
) -> None:
    await track(database, *names("open", 9), *names("ended", 9), due=-90)
    end(database, *names("ended", 9), due=-60)

    taken = [claim.video_translate_id for claim in await claimed(database, limit=4)]

    assert len(set(taken)) == 4
    assert sum(name.startswith("open") for name in taken) == 2


async def test_a_claim_is_exclusive_until_it_lapses(database: Database) -> None:
    await apply(database, registered("a"))

    [mine] = await claimed(database, owner="one")

    assert (mine.video_translate_id, mine.owner, mine.until) == ("a", "one", NOON + LEASE)
    assert await claimed(database, owner="two", at=mine.until - timedelta(microseconds=1)) == []
    [theirs] = await claimed(database, owner="two", at=mine.until)
    assert theirs.owner == "two"


async def test_claims_at_once_never_overlap(database: Database) -> None:
    await apply(database, *(registered(f"id-{number}") for number in range(50)))

    taken = await asyncio.gather(*(claimed(database, owner=f"{n}", limit=20) for n in range(4)))

    ids = [claim.video_translate_id for claims in taken for claim in claims]
    assert len(ids) == len(set(ids)) == 50


async def test_those_due_longest_are_claimed_first_and_those_not_due_never(database: Database) -> None:
    for name, minutes in (("second", -30), ("first", -60), ("third", 0), ("early", 1 / 60)):
        database.put(video_translate_id=name, next_poll_at=NOON + timedelta(minutes=minutes))
    database.put(callback_id="no id to ask with")

    assert [claim.video_translate_id for claim in await claimed(database, limit=1)] == ["first"]
    assert {claim.video_translate_id for claim in await claimed(database)} == {"second", "third"}


async def test_a_poll_stores_its_answer_and_ends_its_claim(database: Database) -> None:
    await apply(database, registered("a"))
    [claim] = await claimed(database)

    [recorded] = await apply(database, polled(claim, Status.SUCCESS))

    assert recorded.outcome is DeliveryOutcome.APPLIED
    assert shown(database.rows(), "status", "claimed_by", "claimed_until", "poll_count") == [
        ("success", None, None, 1)
    ]


async def test_an_answer_that_comes_after_its_claim_lapsed_changes_nothing(database: Database) -> None:
    await apply(database, registered("a"))
    [late] = await claimed(database, owner="one")
    await claimed(database, owner="two", at=late.until)
    before = database.rows()

    [recorded] = await apply(database, polled(late, Status.SUCCESS))

    assert (recorded.outcome, recorded.change) == (DeliveryOutcome.UNCHANGED, None)
    assert database.rows() == before


async def test_a_lapsed_claim_of_the_same_owner_is_not_taken_for_the_new_one(database: Database) -> None:
    await apply(database, registered("a"))
    [late] = await claimed(database)
    [fresh] = await claimed(database, at=late.until)

    await apply(database, polled(late, Status.FAILED))
    await apply(database, polled(fresh, Status.SUCCESS))

    assert statuses(database) == {"a": "success"}


async def test_a_claim_that_is_given_back_leaves_the_row_due(database: Database) -> None:
    await apply(database, registered("a"))
    held = await claimed(database)

    await database.store.release(held)

    assert [claim.owner for claim in await claimed(database, owner="two")] == ["two"]


async def test_a_claim_can_be_given_back_with_a_later_due_time(database: Database) -> None:
    await apply(database, registered("a"))
    later = NOON + timedelta(minutes=1)

    await database.store.release(await claimed(database), later)

    assert await claimed(database, at=later - timedelta(seconds=1)) == []
    assert len(await claimed(database, at=later)) == 1


async def test_giving_back_what_somebody_else_holds_by_now_changes_nothing(database: Database) -> None:
    await apply(database, registered("a"))
    late = await claimed(database, owner="one")
    await claimed(database, owner="two", at=late[0].until)
    before = database.rows()

    await database.store.release(late, NOON)

    assert database.rows() == before
