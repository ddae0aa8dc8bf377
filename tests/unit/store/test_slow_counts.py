"""Figures that are costly to look up."""

import asyncio

import pytest

from tracker.errors import StoreError
from tracker.store.slow_counts import QUICK_SECONDS, REST, SlowCount

pytestmark = pytest.mark.anyio


class Figure:
    """Counts the looks at it; each takes so many seconds of the loop's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: float) -> None:
        self.now, self.takes, self.looks = 1000.0, takes, 0
        self.error: StoreError | None = None
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def look(self) -> int:
        self.looks += 1
        self.now += self.takes
        if self.error:
            raise self.error
        return self.looks


async def test_what_is_quick_is_looked_up_each_time() -> None:
    with pytest.MonkeyPatch.context() as patch:
        figure, rested = Figure(patch, QUICK_SECONDS), SlowCount[int]()
        assert [await rested.get(figure.look) for _ in range(3)] == [1, 2, 3]


async def test_what_takes_long_rests_for_a_hundred_times_as_long() -> None:
    with pytest.MonkeyPatch.context() as patch:
        figure, rested = Figure(patch, 0.5), SlowCount[int]()
        assert await rested.get(figure.look) == 1
        figure.now += 0.5 * REST - 0.001
        assert await rested.get(figure.look) == 1
        figure.now += 0.001
        assert await rested.get(figure.look) == 2


async def test_many_who_ask_at_once_make_one_look() -> None:
    with pytest.MonkeyPatch.context() as patch:
        figure, rested = Figure(patch, 0.5), SlowCount[int]()
        assert await asyncio.gather(*(rested.get(figure.look) for _ in range(50))) == [1] * 50


async def test_an_error_is_not_remembered() -> None:
    with pytest.MonkeyPatch.context() as patch:
        figure, rested = Figure(patch, 0.5), SlowCount[int]()
        figure.error = StoreError("the database is away")
        with pytest.raises(StoreError, match="away"):
            await rested.get(figure.look)
        figure.error = None
        assert await rested.get(figure.look) == 2
