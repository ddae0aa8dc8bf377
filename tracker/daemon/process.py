"""One process: opens the parts in order, watches them, stops them in reverse."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from starlette.applications import Starlette

from tracker.daemon.database import clock, open_database
from tracker.daemon.health import Vitals
from tracker.daemon.startup import Opening
from tracker.daemon.systemd import Manager
from tracker.daemon.wiring import Core, HeyGen, open_core
from tracker.errors import SettingsError, TrackerError
from tracker.heygen import webhook_events
from tracker.observability import logs
from tracker.polling.scheduler import Ticker
from tracker.settings import PREFIX, Address, Settings
from tracker.store.engine import Engines
from tracker.store.process_lock import sole_runner
from tracker.web.admin import Admin, create_admin_app
from tracker.web.listen import address_of, is_private, open_listener
from tracker.web.live_updates import Hub
from tracker.web.public import create_public_app
from tracker.web.receiver import Receiver
from tracker.web.server import Server

log = structlog.get_logger("tracker.daemon")

TICK_SECONDS = 1.0
OVERDUE_SECONDS = 1.0
STATUS_SECONDS = 5.0
RETENTION_SECONDS = 60.0
SUBMISSIONS_SECONDS = 10.0
ENDPOINT_SECONDS = 3600.0
CLOSING_SECONDS = 5.0  # beyond TRACKER_STOP_TIMEOUT, for the process to end
DEAD_AFTER = timedelta(seconds=60)  # without a tick: the poller is gone, and so shall we be


def _exit_at_last() -> None:
    """A thread that waits for a database for ever cannot be stopped, and a kill loses no more than this."""
    log.critical("could not stop in time; the process ends all the same")
    os._exit(1)


def _tick_heygen(ticker: Ticker, heygen: HeyGen) -> None:
    """What is asked of HeyGen beside the polls."""
    ticker.every(TICK_SECONDS, "plan", heygen.planner.tick)
    ticker.every(TICK_SECONDS, "renewals", heygen.renewals.tick, errand=True)
    ticker.every(SUBMISSIONS_SECONDS, "submissions", heygen.submissions.resume, errand=True)
    ticker.every(ENDPOINT_SECONDS, "endpoint", heygen.watch.check, errand=True)
    if heygen.catch_up is not None:
        ticker.every(TICK_SECONDS, "catch-up", heygen.catch_up.tick, errand=True)
    if heygen.sweeps is not None:
        ticker.every(TICK_SECONDS, "discovery", heygen.sweeps.tick, errand=True)


class Daemon:
    """One process, one event loop: two listeners, the tick, the poller.

    `manager` is told how it fares; `read` gives the settings anew at SIGHUP, or raises SettingsError.
    """

    silence = DEAD_AFTER

    def __init__(
        self,
        settings: Settings,
        inherited: Mapping[str, Sequence[socket.socket]],
        manager: Manager | None = None,
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._inherited = inherited
        self._manager = manager or Manager()
        self._read = read
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._failure: str | None = None

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT (answers 0) or until a part dies (1); raises TrackerError at start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if self._read is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        with sole_runner(self._settings.database_url.get_secret_value()):
            engines = open_database(self._settings)
            await Opening(self._manager, self._stop, self._settings.database_wait).prepare(engines)
            if not self._stop.is_set():
                await self._open(engines)
        if self._failure is not None:
            log.error("stopped", failure=self._failure)
            return 1
        log.info("stopped")
        return 0

    async def _open(self, engines: Engines) -> None:
        async with AsyncExitStack() as stack:
            core = await open_core(self._settings, engines, stack)
            if engines.writer.dialect.name == "sqlite":  # which is ours alone
                await core.repository.free_claims()
            await self._serve(core)

    async def _serve(self, core: Core) -> None:
        """Everything between the store's opening and its closing."""
        hub = Hub(core.repository)
        public = self._listeners("public", self._settings.listen)
        admin = self._listeners("admin", self._settings.admin_listen)
        servers = self._servers(core, hub, public, admin)
        serving = {
            server.name: asyncio.create_task(server.serve_here(), name=server.name) for server in servers
        }
        ticker = Ticker(clock)
        vitals = Vitals(core, ticker, serving, self._manager)
        self._tick(core, ticker, vitals)
        ticker.start()  # first: the webhooks that have queued up would be stored before its first claim
        for server in servers:
            listening = asyncio.create_task(server.listening())
            await asyncio.wait([listening, serving[server.name]], return_when=asyncio.FIRST_COMPLETED)
        watch = asyncio.create_task(self._watch(core, ticker, serving, vitals))
        stopped = asyncio.create_task(self._stop.wait())
        began = asyncio.create_task(core.poller.began.wait())
        await asyncio.wait([watch, stopped, began], return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            await self._tell_up(core, servers, vitals)
        reloads = asyncio.create_task(self._reload_at_will(core, vitals, hub, admin))
        await asyncio.wait([watch, stopped, reloads], return_when=asyncio.FIRST_COMPLETED)
        for part in (watch, reloads):
            if part.done() and (error := part.exception()) is not None:
                self._failure = f"{part.get_name()}: {error}"
            part.cancel()
        await self._end(core, hub, servers, serving, ticker)

    def _tick(self, core: Core, ticker: Ticker, vitals: Vitals) -> None:
        ticker.every(TICK_SECONDS, "poll", core.poller.tick)
        if core.heygen is not None:
            _tick_heygen(ticker, core.heygen)
        if core.archive is not None:
            ticker.every(TICK_SECONDS, "archive", core.archive.tick, errand=True)
        ticker.every(OVERDUE_SECONDS, "overdue", core.poller.flag_overdue)
        ticker.every(RETENTION_SECONDS, "retention", core.retention.tick, errand=True)
        if self._manager.is_there:
            ticker.every(STATUS_SECONDS, "status", vitals.tell_status, errand=True)

    async def _tell_up(self, core: Core, servers: list[Server], vitals: Vitals) -> None:
        """The sockets are served and the store was asked for work: whoever waits for us may go on."""
        self._manager.ready()
        addresses = {server.name: server.address for server in servers}
        log.info("tracker is up", **addresses, polling=core.poller.state.paused or "on", process=os.getpid())
        if self._manager.is_there:  # only now: counting a large table takes its time
            await vitals.tell_status()

    async def _end(
        self,
        core: Core,
        hub: Hub,
        servers: list[Server],
        serving: Mapping[str, asyncio.Task[None]],
        ticker: Ticker,
    ) -> None:
        """Stop in order: the polls, the listeners, the submissions; within TRACKER_STOP_TIMEOUT.

        The listeners are served while the last polls are answered: their senders wait all the shorter.
        """
        log.info("stopping")
        patience = self._settings.stop_timeout
        self._manager.stopping(patience + CLOSING_SECONDS)
        loop = asyncio.get_running_loop()
        loop.call_later(patience, _exit_at_last)
        latest = loop.time() + patience * 7 / 8  # then the store still has to close
        ends = [core.poller.stop(patience=patience / 4), ticker.stop(patience=patience / 4)]
        if core.archive is not None:
            ends.append(core.archive.stop(patience=patience / 8))  # and as long again
        await asyncio.gather(*ends)
        await hub.close()  # or the admin server would wait for every page that is open
        await asyncio.gather(*(server.stop() for server in servers))
        await asyncio.wait(serving.values())  # bounded by the servers' own time-out
        if core.heygen is not None:
            await core.heygen.submissions.stop(patience=max(0.0, latest - loop.time()))

    async def _watch(
        self, core: Core, ticker: Ticker, serving: Mapping[str, asyncio.Task[None]], vitals: Vitals
    ) -> None:
        """The daemon never runs on without one of its parts: whoever restarts it gets an exit code."""
        while not self._stop.is_set():
            await vitals.look()
            if dead := vitals.dead_parts(self.silence.total_seconds()):
                self._failure = ", ".join(dead)
                log.critical("a part died; stopping", part=self._failure)
                self._stop.set()

    # Reloading

    async def _reload_at_will(
        self, core: Core, vitals: Vitals, hub: Hub, admin: Sequence[socket.socket]
    ) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._manager.reloading()
            try:
                await self._take_over(core, hub, admin)
            except TrackerError as error:
                log.error("settings not reloaded", error=str(error), advice="the old ones go on")
                vitals.trouble = "settings not reloaded: a new value is wrong"
            else:
                vitals.trouble = None
            if self._manager.is_there:
                await vitals.tell_status()
            self._manager.ready()

    async def _take_over(self, core: Core, hub: Hub, admin: Sequence[socket.socket]) -> None:
        """Read the settings anew and go on with what can change without a restart; raises SettingsError."""
        if self._read is None:
            return
        reload = core.settings.reloaded(await asyncio.to_thread(self._read))
        if reload.settings.admin_token is None:
            self._check_open(admin)
        core.adopt(reload.settings)
        logs.reconfigure(level=reload.settings.log_level, secrets=reload.settings.secret_values())
        if "admin_token" in reload.applied:
            hub.end_streams()  # they were let in by the old one
        log.info("settings reloaded", changed=_variables(reload.applied) or "none")
        if reload.waiting:
            log.warning("settings wait for a restart", changed=_variables(reload.waiting))

    # The listeners

    def _servers(
        self, core: Core, hub: Hub, public: Sequence[socket.socket], admin: Sequence[socket.socket]
    ) -> list[Server]:
        half = self._settings.stop_timeout / 2
        return [
            Server("webhooks", self._public_app(core), public, stop_seconds=half, keep_alive=False),
            Server("admin", self._admin_app(core, hub, admin), admin, stop_seconds=half),
        ]

    def _listeners(self, name: str, address: Address) -> Sequence[socket.socket]:
        """The sockets that systemd holds for us, else one of our own."""
        if given := self._inherited.get(name):
            return given
        return [open_listener(host=address.host, port=address.port, path=address.path)]

    def _public_app(self, core: Core) -> Starlette:
        if not core.keyring.secrets():
            log.warning(
                "no webhook secret: signed webhooks are refused",
                advice="tracker webhook register, or set TRACKER_WEBHOOK_SECRET",
            )
        if core.settings.heygen_api_key is None:
            log.warning("no API key: nothing is polled", advice="set TRACKER_HEYGEN_API_KEY")
        receiver = Receiver(
            core.tracker.record,
            webhook_events,
            clock,
            secrets=core.keyring.secrets,
            tokens=lambda: [token.get_secret_value() for token in core.settings.callback_tokens],
            refused=core.metrics.refused,
        )
        return create_public_app(receiver)

    def _admin_app(self, core: Core, hub: Hub, listeners: Sequence[socket.socket]) -> Starlette:
        if core.settings.admin_token is None:
            self._check_open(listeners)
        admin = Admin(
            core.repository,
            core.tracker,
            clock,
            lambda: core.polling,
            core.exposition,
            hub,
            core.links.working,
        )
        return create_admin_app(
            admin,
            token=lambda: token.get_secret_value() if (token := core.settings.admin_token) else None,
            any_host=all(one.family == socket.AF_UNIX for one in listeners),
        )

    def _check_open(self, listeners: Sequence[socket.socket]) -> None:
        """Without a token only this machine may come, also where systemd opened it. Raises SettingsError."""
        for one in listeners:
            if not is_private(one):
                raise SettingsError(
                    f"TRACKER_ADMIN_TOKEN: is required while the admin listener is {address_of(one)}; "
                    "example: a long random word"
                )


def _variables(names: list[str]) -> str:
    return ", ".join(f"{PREFIX}{name.upper()}" for name in names)
