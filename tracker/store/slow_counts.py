"""Figures about whole tables, which nobody may make the database count all the time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

QUICK_SECONDS = 0.05  # what takes no longer is looked up each time
REST = 100.0  # times as long as the look took


class SlowCount(Generic[T]):
    """One figure: where the last look took long, it is given again until it has rested for long enough.

    So looking takes 1 % of the time at most, however often it is asked for and by however many at once.
    """

    def __init__(self) -> None:
        self._known: tuple[T] | None = None
        self._until = 0.0  # by the loop's clock
        self._looking = asyncio.Lock()

    async def get(self, look: Callable[[], Awaitable[T]]) -> T:
        """The figure, by `look` where it is time to; raises what that raises."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if self._known is None or loop.time() >= self._until:
                began = loop.time()
                self._known = (await look(),)
                took = loop.time() - began
                self._until = loop.time() + (took * REST if took > QUICK_SECONDS else 0.0)
            return self._known[0]
