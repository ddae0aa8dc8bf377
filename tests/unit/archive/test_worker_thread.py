"""The thread of one file."""

import asyncio
import subprocess
import sys
import threading

import pytest

from tracker.archive.worker_thread import WorkerThread

pytestmark = pytest.mark.anyio

HANGS = """
import asyncio, threading
from tracker.archive.worker_thread import WorkerThread

async def main():
    thread = WorkerThread()
    asked = asyncio.create_task(thread.do(threading.Event().wait))
    await asyncio.sleep(0)
    asked.cancel()
    thread.rest()

asyncio.run(main())
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_was_asked_is_done_in_order_also_after_nobody_waits_for_it() -> None:
    worker_thread, may, done = WorkerThread(), threading.Event(), list[str]()

    def first() -> None:
        may.wait(10)
        done.append("first")

    waiting = asyncio.create_task(worker_thread.do(first))
    await asyncio.sleep(0)
    waiting.cancel()
    may.set()

    await worker_thread.do(done.append, "second")
    assert done == ["first", "second"]
    worker_thread.rest()


async def test_what_it_raises_is_raised() -> None:
    worker_thread = WorkerThread()
    with pytest.raises(ValueError, match="invalid literal"):
        await worker_thread.do(int, "x")
    assert await worker_thread.do(int, "7") == 7
    worker_thread.rest()


def test_a_thread_that_hangs_keeps_no_process_from_its_end() -> None:
    subprocess.run([sys.executable, "-c", HANGS], timeout=30, check=True)
