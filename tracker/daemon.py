"""One process: opens the parts in order, watches them, stops them in reverse."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from starlette.applications import Starlette

from tracker.core import Core, HeyGen, clock, open_core, open_database
from tracker.errors import SettingsError
from tracker.heygen import webhook
from tracker.polling.scheduler import Ticker
from tracker.settings import Address, Settings
from tracker.store import schema
from tracker.store.lock import sole_runner
from tracker.web.admin import Admin, create_admin_app
from tracker.web.listen import address_of, is_private, open_listener
from tracker.web.public import create_public_app
from tracker.web.receiver import Receiver
from tracker.web.server import Server

log = structlog.get_logger("tracker.daemon")

TICK_SECONDS = 1.0
OVERDUE_SECONDS = 1.0
SUBMISSIONS_SECONDS = 10.0
ENDPOINT_SECONDS = 3600.0
WATCH_SECONDS = 0.5
DEAD_AFTER = timedelta(seconds=60)  # without a tick: the poller is gone, and so shall we be


def _exit_at_last() -> None:
    """A thread that waits for a database for ever cannot be stopped, and a kill loses no more than this."""
    log.critical("could not stop in time; the process ends all the same")
    os._exit(1)


def _tick_heygen(ticker: Ticker, heygen: HeyGen) -> None:
    """What is asked of HeyGen beside the polls."""
    ticker.every(TICK_SECONDS, "plan", heygen.planner.tick)
    ticker.every(SUBMISSIONS_SECONDS, "submissions", heygen.submissions.resume, errand=True)
    ticker.every(ENDPOINT_SECONDS, "endpoint", heygen.watch.check, errand=True)
    if heygen.catch_up is not None:
        ticker.every(TICK_SECONDS, "catch-up", heygen.catch_up.tick, errand=True)
    if heygen.sweeps is not None:
        ticker.every(TICK_SECONDS, "discovery", heygen.sweeps.tick, errand=True)


class Daemon:
    """One process, one event loop: two listeners, the tick, the poller."""

    silence = DEAD_AFTER

    def __init__(self, settings: Settings, inherited: Mapping[str, socket.socket]) -> None:
        self._settings = settings
        self._inherited = inherited
        self._stop = asyncio.Event()
        self._failure: str | None = None

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT (answers 0) or until a part dies (1); raises TrackerError at start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        with sole_runner(self._settings.database_url.get_secret_value()):
            engines = open_database(self._settings)
            if engines.writer.dialect.name == "sqlite":
                before, after = await asyncio.to_thread(schema.migrate, engines.writer)
                if before != after:
                    log.info("schema migrated", before=before, after=after)
            async with AsyncExitStack() as stack:
                core = await open_core(self._settings, engines, stack)
                if engines.writer.dialect.name == "sqlite":
                    await core.repository.free_claims()
                await self._serve(core)
        if self._failure is not None:
            log.error("stopped", failure=self._failure)
            return 1
        log.info("stopped")
        return 0

    async def _serve(self, core: Core) -> None:
        """Everything between the store's opening and its closing."""
        servers = self._servers(core)
        ticker = Ticker(clock)
        ticker.every(TICK_SECONDS, "poll", core.poller.tick)
        if core.heygen is not None:
            _tick_heygen(ticker, core.heygen)
        ticker.every(OVERDUE_SECONDS, "overdue", core.poller.flag_overdue)
        serving = {
            server.name: asyncio.create_task(server.serve_here(), name=server.name) for server in servers
        }
        for server in servers:
            listening = asyncio.create_task(server.listening())
            await asyncio.wait([listening, serving[server.name]], return_when=asyncio.FIRST_COMPLETED)
        ticker.start()
        watch = asyncio.create_task(self._watch(core, ticker, serving))
        addresses = {server.name: server.address for server in servers}
        log.info("tracker is up", **addresses, polling=core.poller.state.paused or "on", process=os.getpid())
        await asyncio.wait(
            [watch, asyncio.create_task(self._stop.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        if watch.done() and (error := watch.exception()) is not None:
            self._failure = f"watch: {error}"
        log.info("stopping")
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.stop_timeout, _exit_at_last)
        latest = loop.time() + self._settings.stop_timeout * 7 / 8  # then the store still has to close
        watch.cancel()
        for server in servers:
            server.stop()
        await asyncio.wait(serving.values())  # bounded by the servers' own time-out
        await ticker.stop(patience=self._settings.stop_timeout / 8)
        stops = [core.poller.stop(patience=self._settings.stop_timeout / 4)]
        if core.heygen is not None:
            stops.append(core.heygen.submissions.stop(patience=max(0.0, latest - loop.time())))
        await asyncio.gather(*stops)

    async def _watch(self, core: Core, ticker: Ticker, serving: Mapping[str, asyncio.Task[None]]) -> None:
        """The daemon never runs on without one of its parts: whoever restarts it gets an exit code."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            before = loop.time()
            await asyncio.sleep(WATCH_SECONDS)
            core.metrics.lagged(max(0.0, loop.time() - before - WATCH_SECONDS))
            ended = [name for name, task in serving.items() if task.done()]
            if not core.repository.is_alive:
                ended.append("store")
            if not ticker.is_running or ticker.silence > self.silence.total_seconds():
                ended.append("poller")
            if ended:
                self._failure = ", ".join(ended)
                log.critical("a part died; stopping", part=self._failure)
                self._stop.set()

    def _servers(self, core: Core) -> list[Server]:
        settings = self._settings
        half = settings.stop_timeout / 2
        public = self._listener("public", settings.listen)
        admin = self._listener("admin", settings.admin_listen)
        return [
            Server("webhooks", self._public_app(core), public, stop_seconds=half),
            Server("admin", self._admin_app(core, admin), admin, stop_seconds=half),
        ]

    def _listener(self, name: str, address: Address) -> socket.socket:
        """The socket that systemd holds for us, else one of our own."""
        if (given := self._inherited.get(name)) is not None:
            return given
        return open_listener(host=address.host, port=address.port, path=address.path)

    def _public_app(self, core: Core) -> Starlette:
        settings = self._settings
        if not core.keyring.secrets():
            log.warning(
                "no webhook secret: signed webhooks are refused",
                advice="tracker webhook register, or set TRACKER_WEBHOOK_SECRET",
            )
        if settings.heygen_api_key is None:
            log.warning("no API key: nothing is polled", advice="set TRACKER_HEYGEN_API_KEY")
        receiver = Receiver(
            core.tracker.record,
            webhook,
            clock,
            secrets=core.keyring.secrets,
            tokens=[token.get_secret_value() for token in settings.callback_tokens],
            refused=core.metrics.refused,
        )
        return create_public_app(receiver)

    def _admin_app(self, core: Core, listener: socket.socket) -> Starlette:
        token = self._settings.admin_token
        if token is None and not is_private(listener):  # an inherited socket is no setting
            raise SettingsError(
                f"TRACKER_ADMIN_TOKEN: is required while the admin listener is {address_of(listener)}; "
                "example: a long random word"
            )
        admin = Admin(core.repository, core.tracker, clock, lambda: core.polling, core.exposition)
        return create_admin_app(
            admin,
            token=token.get_secret_value() if token else None,
            any_host=listener.family == socket.AF_UNIX,
        )
