"""Work that may take longer than a tick: it goes on in the background, and the ticks look after it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

TICK_SECONDS = 10.0


class Errand:
    """Runs `work` once at a time."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._name, self._work = name, work
        self._task: asyncio.Task[None] | None = None

    async def attend(self, *, begin: bool) -> None:
        """Begin where that is wanted and nothing is under way; wait for the end, TICK_SECONDS at most.

        Raises what the work raised.
        """
        if self._task is None and begin:
            self._task = asyncio.create_task(self._work(), name=self._name)
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=TICK_SECONDS)
        if self._task.done():
            done, self._task = self._task, None
            done.result()

    async def stop(self) -> None:
        """Cancel what is under way: it is done again after the next start, from what is remembered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
