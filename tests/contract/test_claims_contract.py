"""Every store lets one claimer alone poll a translation, until the claim lapses."""

import asyncio
from datetime import timedelta

import pytest

from tests.builders import NOON
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
from tests.contract.scene import Scene
from tracker.domain.status import Status
from tracker.domain.verdict import Outcome

pytestmark = pytest.mark.anyio


async def test_open_rows_are_claimed_before_what_has_ended_for_a_minute(scene: Scene) -> None:
    await apply(scene, webhook("ended"))
    scene.put(video_translate_id="open", next_poll_at=NOON + timedelta(seconds=30))
    soon, later = NOON + timedelta(seconds=31), NOON + timedelta(seconds=61)

    [first] = await claimed(scene, at=soon, limit=1)
    await scene.store.release([first])
    [after_a_minute] = await claimed(scene, at=later, limit=1)

    assert [first.video_translate_id, after_a_minute.video_translate_id] == ["open", "ended"]
    assert [claim.video_translate_id for claim in await claimed(scene, at=later, owner="two")] == ["open"]


async def test_half_of_the_questions_are_for_ends_that_waited_a_minute_also_without_bulk_questions(
    scene: Scene,
) -> None:
    await track(scene, *names("open", 9), *names("ended", 9), due=-90)
    end(scene, *names("ended", 9), due=-60)

    taken = [claim.video_translate_id for claim in await claimed(scene, limit=4)]

    assert len(set(taken)) == 4
    assert sum(name.startswith("open") for name in taken) == 2


async def test_a_claim_is_exclusive_until_it_lapses(scene: Scene) -> None:
    await apply(scene, registered("a"))

    [mine] = await claimed(scene, owner="one")

    assert (mine.video_translate_id, mine.owner, mine.until) == ("a", "one", NOON + LEASE)
    assert await claimed(scene, owner="two", at=mine.until - timedelta(microseconds=1)) == []
    [theirs] = await claimed(scene, owner="two", at=mine.until)
    assert theirs.owner == "two"


async def test_claims_at_once_never_overlap(scene: Scene) -> None:
    await apply(scene, *(registered(f"id-{number}") for number in range(50)))

    taken = await asyncio.gather(*(claimed(scene, owner=f"{n}", limit=20) for n in range(4)))

    ids = [claim.video_translate_id for claims in taken for claim in claims]
    assert len(ids) == len(set(ids)) == 50


async def test_those_due_longest_are_claimed_first_and_those_not_due_never(scene: Scene) -> None:
    for name, minutes in (("second", -30), ("first", -60), ("third", 0), ("early", 1 / 60)):
        scene.put(video_translate_id=name, next_poll_at=NOON + timedelta(minutes=minutes))
    scene.put(callback_id="no id to ask with")

    assert [claim.video_translate_id for claim in await claimed(scene, limit=1)] == ["first"]
    assert {claim.video_translate_id for claim in await claimed(scene)} == {"second", "third"}


async def test_a_poll_stores_its_answer_and_ends_its_claim(scene: Scene) -> None:
    await apply(scene, registered("a"))
    [claim] = await claimed(scene)

    [recorded] = await apply(scene, polled(claim, Status.SUCCESS))

    assert recorded.outcome is Outcome.APPLIED
    assert shown(scene.rows(), "status", "claimed_by", "claimed_until", "poll_count") == [
        ("success", None, None, 1)
    ]


async def test_an_answer_that_comes_after_its_claim_lapsed_changes_nothing(scene: Scene) -> None:
    await apply(scene, registered("a"))
    [late] = await claimed(scene, owner="one")
    await claimed(scene, owner="two", at=late.until)
    before = scene.rows()

    [recorded] = await apply(scene, polled(late, Status.SUCCESS))

    assert (recorded.outcome, recorded.change) == (Outcome.UNCHANGED, None)
    assert scene.rows() == before


async def test_a_lapsed_claim_of_the_same_owner_is_not_taken_for_the_new_one(scene: Scene) -> None:
    await apply(scene, registered("a"))
    [late] = await claimed(scene)
    [fresh] = await claimed(scene, at=late.until)

    await apply(scene, polled(late, Status.FAILED))
    await apply(scene, polled(fresh, Status.SUCCESS))

    assert statuses(scene) == {"a": "success"}


async def test_a_claim_that_is_given_back_leaves_the_row_due(scene: Scene) -> None:
    await apply(scene, registered("a"))
    held = await claimed(scene)

    await scene.store.release(held)

    assert [claim.owner for claim in await claimed(scene, owner="two")] == ["two"]


async def test_a_claim_can_be_given_back_with_a_later_due_time(scene: Scene) -> None:
    await apply(scene, registered("a"))
    later = NOON + timedelta(minutes=1)

    await scene.store.release(await claimed(scene), later)

    assert await claimed(scene, at=later - timedelta(seconds=1)) == []
    assert len(await claimed(scene, at=later)) == 1


async def test_giving_back_what_somebody_else_holds_by_now_changes_nothing(scene: Scene) -> None:
    await apply(scene, registered("a"))
    late = await claimed(scene, owner="one")
    await claimed(scene, owner="two", at=late[0].until)
    before = scene.rows()

    await scene.store.release(late, NOON)

    assert scene.rows() == before
