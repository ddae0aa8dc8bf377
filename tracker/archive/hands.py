"""A thread for one file: what it was asked to do is done in order, also after nobody waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Hands:
    """Writing and hashing block, and the event loop has webhooks to answer."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")

    async def do(self, what: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> T:
        """What `what` returns or raises. Cancelled, it is done all the same, before what is asked next."""
        return await asyncio.wrap_future(self._thread.submit(what, *given, **named))

    def rest(self) -> None:
        """The thread ends after what it was asked."""
        self._thread.shutdown(wait=False)
