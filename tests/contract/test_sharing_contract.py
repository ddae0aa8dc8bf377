"""Every store keeps what trackers share and what is remembered."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOON
from tests.contract.openers import Database

pytestmark = pytest.mark.anyio


async def test_a_tracker_that_says_it_is_here_is_counted_until_it_leaves(database: Database) -> None:
    later = NOON + timedelta(seconds=10)

    assert await database.store.meet("one", NOON, NOON) == 1
    assert await database.store.meet("two", NOON, NOON) == 2
    assert await database.store.meet("one", later, NOON) == 2
    await database.store.leave("two")
    await database.store.leave("nobody")
    assert await database.store.meet("one", later, NOON) == 1


async def test_who_was_not_heard_of_for_too_long_is_forgotten(database: Database) -> None:
    later = NOON + timedelta(seconds=10)
    await database.store.meet("silent", NOON, NOON)
    await database.store.meet("just in time", later, NOON)

    assert await database.store.meet("one", later, later) == 2
    assert await database.store.meet("one", later, NOON) == 2


async def test_whoever_was_silent_itself_is_back(database: Database) -> None:
    await database.store.meet("one", NOON, NOON)

    assert await database.store.meet("one", NOON + timedelta(hours=1), NOON + timedelta(minutes=59)) == 1


async def test_what_is_shared_changes_only_for_those_who_know_it(database: Database) -> None:
    pause = {"until": "12:05", "reason": "quota", "tries": [1, None, 2.5]}
    assert not await database.store.swap("account", "something", pause)
    assert await database.store.recall("account") is None

    assert await database.store.swap("account", None, pause)
    assert not await database.store.swap("account", None, "another")
    assert not await database.store.swap("account", {**pause, "tries": []}, "another")
    assert await database.store.recall("account") == pause
    assert await database.store.swap("account", pause, "another")
    assert await database.store.recall("account") == "another"
    assert await database.store.recall("elsewhere") is None


async def test_what_is_shared_can_be_forgotten_by_those_who_know_it(database: Database) -> None:
    await database.store.swap("account", None, ["v"])

    assert not await database.store.swap("account", ["w"], None)
    assert await database.store.swap("account", ["v"], None)
    assert await database.store.recall("account") is None
    assert await database.store.swap("account", None, None)
    assert await database.store.swap("account", None, ["x"])


async def test_nothing_is_not_taken_for_something(database: Database) -> None:
    await database.store.remember("place", "here")
    assert not await database.store.swap("place", None, None)

    await database.store.remember("place", None)
    assert await database.store.recall("place") is None
    assert await database.store.swap("place", None, "there")


async def test_of_many_who_swap_at_once_one_succeeds(database: Database) -> None:
    done = await asyncio.gather(*(database.store.swap("account", None, number) for number in range(8)))

    assert sum(done) == 1
    assert await database.store.recall("account") == done.index(True)


async def test_what_was_recalled_is_a_copy(database: Database) -> None:
    kept = {"pages": [1]}
    await database.store.remember("place", kept)
    kept["pages"].append(2)
    (await database.store.recall("place"))["pages"].append(3)

    assert await database.store.recall("place") == {"pages": [1]}


async def test_what_is_remembered_is_recalled_also_by_the_next_run(database: Database) -> None:
    assert await database.store.recall("heygen_api") is None
    values: list[Any] = ["v3", {"token": "é", "pages": [1, None, True]}, 0, "", None]
    for value in values:
        await database.store.remember("heygen_api", value)
        assert await database.store.recall("heygen_api") == value
    assert await database.store.recall("another") is None
