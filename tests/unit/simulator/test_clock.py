"""The clock that can be moved: it wakes who waits, and nobody too early."""

import asyncio
from datetime import UTC, datetime, timedelta

from tracker.simulator.clock import MovableClock, steady_clock

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_jumps_add_up_on_top_of_the_given_clock() -> None:
    clock = MovableClock(lambda: NOON)
    clock.advance(60)
    clock.advance(0.5)
    assert clock() == NOON + timedelta(seconds=60.5)


def test_the_steady_clock_never_goes_backwards() -> None:
    clock = steady_clock()
    assert clock() <= clock()


def test_a_jump_wakes_only_those_whose_moment_has_come() -> None:
    async def story() -> list[str]:
        clock, woken = MovableClock(lambda: NOON), list[str]()

        async def wait(name: str, seconds: float) -> None:
            await clock.until(NOON + timedelta(seconds=seconds))
            woken.append(name)

        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            soon, later = (tasks.create_task(wait(*who)) for who in (("soon", 100), ("later", 1000)))
            await wait("now", 0)
            clock.advance(100)
            await soon
            assert not later.done()
            clock.advance(900)
        return woken

    assert asyncio.run(story()) == ["now", "soon", "later"]
