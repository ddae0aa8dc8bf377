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
from tracker.daemon.health import Vitals
from tracker.daemon.process import Daemon
from tracker.daemon.wiring import Core
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


async def block_the_loop(_core: Core, _ticker: Ticker) -> None:
    time.sleep(600)  # noqa: ASYNC251 - this is the fault


async def hang_in_the_poller(core: Core, _ticker: Ticker) -> None:
    core.poller._claim = _hang  # type: ignore[assignment, method-assign]


async def _hang(*_: object) -> None:
    await asyncio.Event().wait()


async def lose_the_poller(_core: Core, ticker: Ticker) -> None:
    ticker._scheduler.remove_job("poll")


async def hang_in_the_store(core: Core, _ticker: Ticker) -> None:
    await core.repository._write(_wait_for_ever)


def _wait_for_ever(_connection: Connection) -> None:
    threading.Event().wait()


async def raise_secrets(core: Core, _ticker: Ticker) -> None:
    raise RuntimeError("\n".join(["one line", "another", *core.settings.secret_values()]))


WAYS: dict[str, Callable[[Core, Ticker], Awaitable[None]]] = {
    way.__name__: way
    for way in (block_the_loop, hang_in_the_poller, lose_the_poller, hang_in_the_store, raise_secrets)
}


class MisbehavingDaemon(Daemon):
    """Has one tick more, in which it happens."""

    def _tick(self, core: Core, ticker: Ticker, vitals: Vitals) -> None:
        super()._tick(core, ticker, vitals)
        began = asyncio.get_running_loop().time()

        async def misbehave() -> None:
            if asyncio.get_running_loop().time() > began + SOON and is_first_time():
                await WAYS[sys.argv[1]](core, ticker)

        ticker.every(0.1, "misbehave", misbehave, errand=True)  # it is not looked at, as ticks are


if __name__ == "__main__":
    loaded = load(Path("/etc/tracker/tracker.toml"))
    configure_logs(loaded)
    sockets, manager = systemd.inherited_sockets(os.environ), systemd.Manager.of(os.environ)
    sys.exit(asyncio.run(MisbehavingDaemon(loaded.settings, sockets, manager).run()))
