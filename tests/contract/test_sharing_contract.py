"""Every store keeps what trackers share and what is remembered."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOON
from tests.contract.scene import Scene

pytestmark = pytest.mark.anyio


async def test_a_tracker_that_says_it_is_here_is_counted_until_it_leaves(scene: Scene) -> None:
    later = NOON + timedelta(seconds=10)

    assert await scene.store.meet("one", NOON, NOON) == 1
    assert await scene.store.meet("two", NOON, NOON) == 2
    assert await scene.store.meet("one", later, NOON) == 2
    await scene.store.leave("two")
    await scene.store.leave("nobody")
    assert await scene.store.meet("one", later, NOON) == 1


async def test_who_was_not_heard_of_for_too_long_is_forgotten(scene: Scene) -> None:
    later = NOON + timedelta(seconds=10)
    await scene.store.meet("silent", NOON, NOON)
    await scene.store.meet("just in time", later, NOON)

    assert await scene.store.meet("one", later, later) == 2
    assert await scene.store.meet("one", later, NOON) == 2


async def test_whoever_was_silent_itself_is_back(scene: Scene) -> None:
    await scene.store.meet("one", NOON, NOON)

    assert await scene.store.meet("one", NOON + timedelta(hours=1), NOON + timedelta(minutes=59)) == 1


async def test_what_is_shared_changes_only_for_those_who_know_it(scene: Scene) -> None:
    pause = {"until": "12:05", "reason": "quota", "tries": [1, None, 2.5]}
    assert not await scene.store.swap("account", "something", pause)
    assert await scene.store.recall("account") is None

    assert await scene.store.swap("account", None, pause)
    assert not await scene.store.swap("account", None, "another")
    assert not await scene.store.swap("account", {**pause, "tries": []}, "another")
    assert await scene.store.recall("account") == pause
    assert await scene.store.swap("account", pause, "another")
    assert await scene.store.recall("account") == "another"
    assert await scene.store.recall("elsewhere") is None


async def test_what_is_shared_can_be_forgotten_by_those_who_know_it(scene: Scene) -> None:
    await scene.store.swap("account", None, ["v"])

    assert not await scene.store.swap("account", ["w"], None)
    assert await scene.store.swap("account", ["v"], None)
    assert await scene.store.recall("account") is None
    assert await scene.store.swap("account", None, None)
    assert await scene.store.swap("account", None, ["x"])


async def test_nothing_is_not_taken_for_something(scene: Scene) -> None:
    await scene.store.remember("place", "here")
    assert not await scene.store.swap("place", None, None)

    await scene.store.remember("place", None)
    assert await scene.store.recall("place") is None
    assert await scene.store.swap("place", None, "there")


async def test_of_many_who_swap_at_once_one_succeeds(scene: Scene) -> None:
    done = await asyncio.gather(*(scene.store.swap("account", None, number) for number in range(8)))

    assert sum(done) == 1
    assert await scene.store.recall("account") == done.index(True)


async def test_what_was_recalled_is_a_copy(scene: Scene) -> None:
    kept = {"pages": [1]}
    await scene.store.remember("place", kept)
    kept["pages"].append(2)
    (await scene.store.recall("place"))["pages"].append(3)

    assert await scene.store.recall("place") == {"pages": [1]}


async def test_what_is_remembered_is_recalled_also_by_the_next_run(scene: Scene) -> None:
    assert await scene.store.recall("heygen_api") is None
    values: list[Any] = ["v3", {"token": "é", "pages": [1, None, True]}, 0, "", None]
    for value in values:
        await scene.store.remember("heygen_api", value)
        assert await scene.store.recall("heygen_api") == value
    assert await scene.store.recall("another") is None
