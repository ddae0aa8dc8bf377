"""The simulator's time: a given clock, which a test may move forward, and waiting for its moments."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from tracker.simulator.world import Clock


class MovableClock:
    """The given clock plus all jumps so far; call it for the time."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._ahead = timedelta()
        self._moved = asyncio.Event()

    def __call__(self) -> datetime:
        return self._base() + self._ahead

    def advance(self, seconds: float) -> None:
        """Jumps forward and wakes all who wait; in the loop that they wait in."""
        self._ahead += timedelta(seconds=seconds)
        self._moved.set()
        self._moved = asyncio.Event()

    async def until(self, moment: datetime) -> None:
        # In a loop, because a sleep may end a hair before the clock agrees, or a jump be too short.
        while (left := (moment - self()).total_seconds()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()


def steady_clock() -> Clock:
    """The wall clock of now, carried on by the monotonic one, so that no timeline ever jumps by itself."""
    started_at, zero = datetime.now(UTC), time.monotonic()
    return lambda: started_at + timedelta(seconds=time.monotonic() - zero)
