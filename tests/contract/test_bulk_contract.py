"""Every store claims what bulk questions can ask about, and what wants a question of its own."""

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
    track,
)
from tracker.domain.claims import Due
from tracker.domain.status import Status

pytestmark = pytest.mark.anyio


async def in_bulk(
    database: Database,
    requests: int = 10,
    batch: int = 3,
    *,
    soon: float = 0.0,
    owner: str = "one",
    alone_first: bool = True,
) -> tuple[list[str], list[str]]:
    """Claim at noon; whom to ask about together, and whom alone."""
    due = Due(NOON, NOON + timedelta(seconds=soon), batch, alone_first)
    claims = await database.store.claim_due(NOON, requests, owner, LEASE, due)
    assert len({claim.translation_id for claim in claims}) == len(claims)
    together = [claim.video_translate_id for claim in claims if not claim.alone]
    return sorted(together), sorted(claim.video_translate_id for claim in claims if claim.alone)


def suspect(database: Database, *names: str) -> None:
    """HeyGen's bulk answer did not find them."""
    database.change(*names, last_error="not_found: left out")


async def test_without_bulk_questions_every_claim_is_alone(database: Database) -> None:
    await track(database, *names("a", 5))

    assert await in_bulk(database, 3, batch=1) == ([], ["a0", "a1", "a2"])


async def test_so_many_questions_ask_about_so_many_times_more(database: Database) -> None:
    await track(database, *names("a", 8))

    assert await in_bulk(database, 2, batch=3) == (names("a", 6), [])
    assert await in_bulk(database, 2, batch=3) == (["a6", "a7"], [])
    assert await in_bulk(database, 2, batch=3) == ([], [])


async def test_what_is_due_soon_fills_a_question_that_is_asked_anyway(database: Database) -> None:
    await track(database, "due")
    await track(database, *names("soon", 5), due=5)
    await track(database, "later", due=8)

    assert await in_bulk(database, 10, batch=4, soon=7.5) == (["due", "soon0", "soon1", "soon2"], [])


@pytest.mark.parametrize("due", [0, 4])
async def test_it_never_begins_a_question(database: Database, due: int) -> None:
    await track(database, *names("soon", 5), due=5)
    if due:
        await track(database, *names("due", due))

    assert await in_bulk(database, 10, batch=4, soon=7.5) == (names("due", due), [])


async def test_what_was_asked_about_early_is_not_asked_again_when_it_was_due(database: Database) -> None:
    await track(database, "due")
    await track(database, "soon", due=5)
    due = Due(NOON, NOON + timedelta(seconds=7.5), 2)
    claims = await database.store.claim_due(NOON, 1, "one", LEASE, due)

    await apply(database, *(polled(claim, Status.RUNNING) for claim in claims))

    assert min(row["next_poll_at"] for row in database.rows()) >= NOON + timedelta(seconds=15)


async def test_what_has_ended_wants_a_question_of_its_own(database: Database) -> None:
    await track(database, "open", "ended")
    end(database, "ended")

    assert await in_bulk(database) == (["open"], ["ended"])


async def test_what_a_bulk_answer_did_not_find_is_asked_about_alone_until_it_is_flagged(
    database: Database,
) -> None:
    await track(database, "open", "suspect", "flagged", "unreachable")
    suspect(database, "suspect", "flagged")
    database.change("flagged", attention="not_found")
    database.change("unreachable", last_error="unreachable: not_found: no")

    assert await in_bulk(database) == (["flagged", "open", "unreachable"], ["suspect"])


async def test_a_suspect_with_another_flag_is_still_asked_about_alone(database: Database) -> None:
    await track(database, "overdue")
    suspect(database, "overdue")
    database.change("overdue", attention="overdue")

    assert await in_bulk(database) == ([], ["overdue"])


async def test_questions_of_their_own_wait_for_bulk_questions(database: Database) -> None:
    await track(database, *names("open", 5), *names("ended", 5))
    end(database, *names("ended", 5), due=-59)

    assert await in_bulk(database, 2) == (names("open", 5), [])
    assert await in_bulk(database, 2) == ([], ["ended0", "ended1"])


async def test_half_of_the_questions_are_for_those_that_waited_a_minute_for_their_own(
    database: Database,
) -> None:
    await track(database, *names("open", 30), *names("ended", 9))
    end(database, *names("ended", 9), due=-60)

    together, alone = await in_bulk(database, 4)

    assert (len(together), alone) == (6, ["ended0", "ended1"])


@pytest.mark.parametrize(
    ("requests", "alone_first", "expected"),
    [(1, True, (0, 1)), (1, False, (3, 0)), (3, True, (3, 2)), (3, False, (6, 1)), (2, False, (3, 1))],
)
async def test_of_an_odd_number_the_odd_question_goes_to_whoever_has_the_turn(
    database: Database,
    requests: int,
    alone_first: bool,
    expected: tuple[int, int],
) -> None:
    await track(database, *names("open", 9), *names("ended", 9))
    end(database, *names("ended", 9), due=-60)

    together, alone = await in_bulk(database, requests, alone_first=alone_first)

    assert (len(together), len(alone)) == expected


async def test_the_turn_is_lost_where_nobody_wants_it(database: Database) -> None:
    await track(database, *names("ended", 2))
    end(database, *names("ended", 2), due=-60)
    assert await in_bulk(database, 1, alone_first=False) == ([], ["ended0"])
    assert await in_bulk(database, 1, alone_first=True) == ([], ["ended1"])

    await track(database, *names("open", 2))

    assert await in_bulk(database, 1, alone_first=True) == (["open0", "open1"], [])


async def test_they_get_all_where_nothing_is_to_be_asked_in_bulk(database: Database) -> None:
    await track(database, *names("ended", 9))
    end(database, *names("ended", 9), due=-60)

    assert await in_bulk(database, 4) == ([], names("ended", 4))


async def test_two_who_claim_for_bulk_at_once_never_ask_about_the_same(database: Database) -> None:
    await track(database, *names("open", 40), *names("ended", 10))
    end(database, *names("ended", 10), due=-60)

    claims = await asyncio.gather(*(in_bulk(database, 4, batch=5, owner=f"owner {n}") for n in range(4)))

    asked = [name for together, alone in claims for name in together + alone]
    assert len(set(asked)) == len(asked) >= 40


async def test_rows_without_an_id_and_rows_that_somebody_holds_are_in_no_bulk_question(
    database: Database,
) -> None:
    await track(database, "held")
    await claimed(database)
    await apply(database, registered(None, callback_id="mine"))
    await track(database, "free")

    assert await in_bulk(database) == (["free"], [])
