"""The daemon's vitals: a real core and ticks, told to a socket in systemd's stead."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from tracker.daemon.database import clock
from tracker.daemon.health import LOOK_SECONDS, STALLED_AFTER, Health
from tracker.daemon.systemd import Manager
from tracker.daemon.wiring import Services
from tracker.polling.gate import Reason
from tracker.polling.scheduler import Ticker
from tracker.tracking.recorder import registration

from .conftest import Open

pytestmark = pytest.mark.anyio


class Systemd:
    """Hears what a service tells."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("")  # the kernel finds a name
        self.address = self._socket.getsockname().decode().replace("\0", "@")

    def heard(self) -> list[str]:
        """Everything since the last time."""
        told = []
        while True:
            try:
                told.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    one = Systemd()
    yield one
    one.close()


class SettableTicker(Ticker):
    """Its ticks are as silent as the test says."""

    silent_for = 0.0

    @property
    def silence(self) -> float:
        return self.silent_for


@pytest.fixture
async def ticker() -> AsyncIterator[SettableTicker]:
    one = SettableTicker(lambda: datetime.now(UTC))
    one.start()
    yield one
    await one.stop(patience=1)


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def serving() -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    tasks = {name: asyncio.create_task(for_ever()) for name in ("webhooks", "admin")}
    yield tasks
    for task in tasks.values():
        task.cancel()


@pytest.fixture
async def services(opened: Open) -> Services:
    return await opened()


Serving = dict[str, asyncio.Task[None]]


@pytest.mark.parametrize(("watchdog", "feeds"), [(30.0, 1), (1.2, 2), (None, 0)])
async def test_the_watchdog_is_fed_thrice_in_its_time(
    services: Services, ticker: SettableTicker, systemd: Systemd, watchdog: float | None, feeds: int
) -> None:
    health = Health(services, ticker, {}, Manager(systemd.address, watchdog))
    await health.look()
    await health.look()
    assert systemd.heard() == ["WATCHDOG=1"] * feeds


async def test_it_starves_while_a_tick_does_not_end_and_is_fed_again_once_it_does(
    services: Services, ticker: SettableTicker, systemd: Systemd
) -> None:
    health = Health(services, ticker, {}, Manager(systemd.address, 1.2))
    ticker.silent_for = STALLED_AFTER
    await health.look()
    assert systemd.heard() == []
    ticker.silent_for = STALLED_AFTER - 1
    await health.look()
    assert systemd.heard() == ["WATCHDOG=1"]


async def test_while_all_goes_well_nothing_is_dead(
    services: Services, ticker: SettableTicker, serving: Serving
) -> None:
    ticker.silent_for = 60
    assert Health(services, ticker, serving, Manager()).dead_parts(60) == []


async def test_a_listener_that_ended_is_dead(
    services: Services, ticker: SettableTicker, serving: Serving
) -> None:
    serving["webhooks"].cancel()
    await asyncio.wait([serving["webhooks"]])
    assert Health(services, ticker, serving, Manager()).dead_parts(60) == ["webhooks"]


async def test_a_poller_that_was_silent_for_too_long_is_dead(
    services: Services, ticker: SettableTicker, serving: Serving
) -> None:
    ticker.silent_for = 60.1
    assert Health(services, ticker, serving, Manager()).dead_parts(60) == ["poller"]


async def test_a_poller_is_not_dead_where_the_whole_process_stood_still(
    services: Services, ticker: SettableTicker, serving: Serving
) -> None:
    health = Health(services, ticker, serving, Manager())
    health.frozen_after = 0.1
    looking = asyncio.create_task(health.look())
    await asyncio.sleep(0)
    time.sleep(LOOK_SECONDS + 0.2)  # noqa: ASYNC251 - as SIGSTOP does
    await looking

    ticker.silent_for = 60.1
    assert health.dead_parts(60) == []
    assert health.dead_parts(0) == ["poller"]


async def test_so_is_one_that_nobody_calls_and_a_store_that_was_closed(
    services: Services, ticker: SettableTicker, serving: Serving
) -> None:
    await ticker.stop(patience=1)
    await asyncio.to_thread(services.repository.close)
    assert Health(services, ticker, serving, Manager()).dead_parts(60) == ["store", "poller"]


async def test_the_status_says_how_much_is_open_and_how_polling_goes(
    services: Services, ticker: SettableTicker, systemd: Systemd
) -> None:
    seen = [registration(clock(), video_translate_id=name) for name in ("a", "b")]
    await services.tracker.register(seen)
    health = Health(services, ticker, {}, Manager(systemd.address))
    await health.report_status()
    health.trouble = "settings not reloaded"
    await health.report_status()
    services.poller.gate.shut(Reason.KEY_REJECTED, clock())
    health.trouble = None
    await health.report_status()
    assert systemd.heard() == [
        "STATUS=2 open, 0 overdue, polling eager (v2)",
        "STATUS=2 open, 0 overdue, polling eager (v2), settings not reloaded",
        "STATUS=2 open, 0 overdue, polling paused: key_rejected",
    ]


async def test_the_status_says_that_the_database_does_not_answer(
    services: Services, ticker: SettableTicker, systemd: Systemd
) -> None:
    await asyncio.to_thread(services.repository.close)
    await Health(services, ticker, {}, Manager(systemd.address)).report_status()
    [told] = systemd.heard()
    assert told.startswith("STATUS=the database does not answer: ")
