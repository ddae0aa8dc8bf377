"""A thread for one file: what it was asked to do is done in order, also after nobody waits for it."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class WorkerThread:
    """Writing and hashing block, and the event loop has webhooks to answer.

    A thread that hangs in a bucket or a disk does not keep the process from its end, as those of an executor
    do, whom Python waits for: what is durable by then is gone on with.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="archive", daemon=True)
        self._thread.start()

    async def do(self, what: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> T:
        """What `what` returns or raises. Cancelled, it is done all the same, before what is asked next."""
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # from now on nobody can take it back
        self._asked.put((done, partial(what, *given, **named)))
        return await asyncio.wrap_future(done)

    def rest(self) -> None:
        """The thread ends after what it was asked."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            done, what = asked
            try:
                done.set_result(what())
            except BaseException as error:
                done.set_exception(error)
