"""A real daemon that loses one of its parts once it is up; the exit code is the daemon's.

Usage: failing_daemon.py PART
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from tracker.cli.database import configure_logs
from tracker.daemon.health import Health
from tracker.daemon.process import Daemon
from tracker.daemon.wiring import Services
from tracker.polling.scheduler import Ticker
from tracker.settings import load
from tracker.web.server import Server

Serving = Mapping[str, asyncio.Task[None]]


async def store(services: Services, _ticker: Ticker, _serving: Serving) -> None:
    """The writer thread ends."""
    await asyncio.to_thread(services.repository.close)


async def scheduler(_services: Services, ticker: Ticker, _serving: Serving) -> None:
    """Nothing ticks any more."""
    await ticker.stop(patience=0)


async def webhooks(_services: Services, _ticker: Ticker, serving: Serving) -> None:
    """One of the listeners ends."""
    serving["webhooks"].cancel()


async def database(services: Services, _ticker: Ticker, _serving: Serving) -> None:
    """The database never answers again, so that a tick waits for ever."""
    await services.repository._write(_wait_for_ever)


def _wait_for_ever(_connection: Connection) -> None:
    threading.Event().wait()


LOSSES: dict[str, Callable[[Services, Ticker, Serving], Coroutine[Any, Any, None]]] = {
    loss.__name__: loss for loss in (store, scheduler, webhooks, database)
}


class FailingDaemon(Daemon):
    """Loses its part without being told."""

    silence = timedelta(seconds=2)
    is_up = asyncio.Event()

    async def _report_up(self, services: Services, servers: list[Server], health: Health) -> None:
        await super()._report_up(services, servers, health)
        self.is_up.set()

    async def _watch(self, services: Services, ticker: Ticker, serving: Serving, health: Health) -> None:
        lose = asyncio.create_task(self._lose(services, ticker, serving))
        await super()._watch(services, ticker, serving, health)
        lose.cancel()

    async def _lose(self, services: Services, ticker: Ticker, serving: Serving) -> None:
        await self.is_up.wait()
        await LOSSES[sys.argv[1]](services, ticker, serving)


if __name__ == "__main__":
    loaded = load()
    configure_logs(loaded)
    sys.exit(asyncio.run(FailingDaemon(loaded.settings, {}).run()))
