"""The real daemon, which misbehaves once after it is up; where a file says that it has, it behaves.

Usage: misbehaving.py HOW
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import Connection

from tracker.cli.database import configure_logs
from tracker.daemon import health, systemd
from tracker.daemon.health import Health
from tracker.daemon.process import Daemon
from tracker.daemon.wiring import Services
from tracker.polling.scheduler import Ticker
from tracker.settings import load

DONE = Path("misbehaved")  # in the state folder
SOON = 0.5  # seconds after the start
health.STALLED_AFTER = 1.0  # seconds; the tests cannot wait for fifteen


def is_first_time() -> bool:
    """Also over restarts."""
    if DONE.exists():
        return False
    DONE.touch()
    return True


async def block_the_loop(_services: Services, _ticker: Ticker) -> None:
    time.sleep(600)  # noqa: ASYNC251 - this is the fault


async def hang_in_the_poller(services: Services, _ticker: Ticker) -> None:
    services.poller._claim = _hang  # type: ignore[assignment, method-assign]


async def _hang(*_: object) -> None:
    await asyncio.Event().wait()


async def lose_the_poller(_services: Services, ticker: Ticker) -> None:
    ticker._scheduler.remove_job("poll")


async def hang_in_the_store(services: Services, _ticker: Ticker) -> None:
    await services.repository._write(_wait_for_ever)


def _wait_for_ever(_connection: Connection) -> None:
    threading.Event().wait()


async def raise_secrets(services: Services, _ticker: Ticker) -> None:
    raise RuntimeError("\n".join(["one line", "another", *services.settings.secret_values()]))


WAYS: dict[str, Callable[[Services, Ticker], Awaitable[None]]] = {
    way.__name__: way
    for way in (block_the_loop, hang_in_the_poller, lose_the_poller, hang_in_the_store, raise_secrets)
}


class MisbehavingDaemon(Daemon):
    """Has one tick more, in which it happens."""

    def _tick(self, services: Services, ticker: Ticker, health: Health) -> None:
        super()._tick(services, ticker, health)
        began = asyncio.get_running_loop().time()

        async def misbehave() -> None:
            if asyncio.get_running_loop().time() > began + SOON and is_first_time():
                await WAYS[sys.argv[1]](services, ticker)

        ticker.every(0.1, "misbehave", misbehave, errand=True)  # it is not looked at, as ticks are


if __name__ == "__main__":
    loaded = load(Path("/etc/tracker/tracker.toml"))
    configure_logs(loaded)
    sockets, manager = systemd.inherited_sockets(os.environ), systemd.Manager.of(os.environ)
    sys.exit(asyncio.run(MisbehavingDaemon(loaded.settings, sockets, manager).run()))
