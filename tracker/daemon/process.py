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
from tracker.daemon.health import Health
from tracker.daemon.heygen_wiring import HeyGen
from tracker.daemon.listeners import listeners_for, refuse_unguarded
from tracker.daemon.reload import Reload
from tracker.daemon.startup import Startup
from tracker.daemon.systemd import Manager
from tracker.daemon.wiring import Services, open_services
from tracker.heygen.webhook_events import find_signer, parse_json_object, read_event, read_unusable
from tracker.polling.scheduler import Ticker
from tracker.settings import Settings
from tracker.store.engine import Engines
from tracker.store.process_lock import sole_runner
from tracker.web.admin import Admin, create_admin_app
from tracker.web.live_updates import LiveUpdates
from tracker.web.public import create_public_app
from tracker.web.receiver import Receiver, WebhookFormat
from tracker.web.server import Server

log = structlog.get_logger("tracker.daemon")

TICK_SECONDS = 1.0
OVERDUE_SECONDS = 1.0
STATUS_SECONDS = 5.0
RETENTION_SECONDS = 60.0
SUBMISSIONS_SECONDS = 10.0
ENDPOINT_SECONDS = 3600.0
CLOSING_SECONDS = 5.0  # after TRACKER_STOP_TIMEOUT, for the process to exit
DEAD_AFTER = timedelta(seconds=60)  # without a tick: the poller is dead, so the process exits

WEBHOOK_FORMAT = WebhookFormat(find_signer, parse_json_object, read_event, read_unusable)


def _exit_now() -> None:
    """A thread that waits for the database cannot be stopped; a kill would lose no more than this."""
    log.critical("stop timed out; exiting")
    os._exit(1)


def _tick_heygen(ticker: Ticker, heygen: HeyGen) -> None:
    """Requests to HeyGen other than polls."""
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

    `manager` receives the state of the daemon; SIGHUP calls `read`, which raises SettingsError.
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
        """Run until SIGTERM or SIGINT (returns 0) or until a component fails (1). Raises TrackerError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if self._read is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        alone = sole_runner(self._settings.database_url.get_secret_value())
        with alone, open_database(self._settings) as engines:
            await Startup(self._manager, self._stop, self._settings.database_wait).prepare(engines)
            if not self._stop.is_set():
                await self._open(engines)
        if self._failure is not None:
            log.error("stopped", failure=self._failure)
            return 1
        log.info("stopped")
        return 0

    async def _open(self, engines: Engines) -> None:
        async with AsyncExitStack() as stack:
            services = await open_services(self._settings, engines, stack)
            if engines.writer.dialect.name == "sqlite":  # which is ours alone
                await services.repository.free_claims()
            await self._serve(services)

    async def _serve(self, services: Services) -> None:
        """Run everything that needs an open store."""
        live_updates = LiveUpdates(services.repository)
        public = listeners_for("public", self._settings.listen, self._inherited)
        admin = listeners_for("admin", self._settings.admin_listen, self._inherited)
        servers = self._servers(services, live_updates, public, admin)
        serving = {
            server.name: asyncio.create_task(server.serve_here(), name=server.name) for server in servers
        }
        ticker = Ticker(clock)
        health = Health(services, ticker, serving, self._manager)
        self._tick(services, ticker, health)
        ticker.start()  # first: else queued webhooks would be stored before the first claim
        for server in servers:
            listening = asyncio.create_task(server.listening())
            await asyncio.wait([listening, serving[server.name]], return_when=asyncio.FIRST_COMPLETED)
        watch = asyncio.create_task(self._watch(services, ticker, serving, health))
        stopped = asyncio.create_task(self._stop.wait())
        began = asyncio.create_task(services.poller.began.wait())
        await asyncio.wait([watch, stopped, began], return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            await self._report_up(services, servers, health)
        reload = Reload(services, health, live_updates, admin, self._manager)
        reloads = asyncio.create_task(self._reload_on_request(reload), name="reload")
        await asyncio.wait([watch, stopped, reloads], return_when=asyncio.FIRST_COMPLETED)
        for part in (watch, reloads):
            if part.done() and (error := part.exception()) is not None:
                self._failure = f"{part.get_name()}: {error}"
            part.cancel()
        await self._end(services, live_updates, servers, serving, ticker)

    def _tick(self, services: Services, ticker: Ticker, health: Health) -> None:
        ticker.every(TICK_SECONDS, "poll", services.poller.tick)
        if services.heygen is not None:
            _tick_heygen(ticker, services.heygen)
        if services.archive is not None:
            ticker.every(TICK_SECONDS, "archive", services.archive.tick, errand=True)
        ticker.every(OVERDUE_SECONDS, "overdue", services.poller.flag_overdue)
        ticker.every(RETENTION_SECONDS, "retention", services.retention.tick, errand=True)
        if self._manager.is_there:
            ticker.every(STATUS_SECONDS, "status", health.report_status, errand=True)

    async def _report_up(self, services: Services, servers: list[Server], health: Health) -> None:
        """Report READY: both sockets are served and the first claim is done."""
        self._manager.ready()
        addresses = {server.name: server.address for server in servers}
        log.info(
            "tracker is up", **addresses, polling=services.poller.gate.reason or "on", process=os.getpid()
        )
        if self._manager.is_there:  # last: counting a large table takes time
            await health.report_status()

    async def _reload_on_request(self, reload: Reload) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            if self._read is not None:
                await reload.run(self._read)

    async def _end(
        self,
        services: Services,
        live_updates: LiveUpdates,
        servers: list[Server],
        serving: Mapping[str, asyncio.Task[None]],
        ticker: Ticker,
    ) -> None:
        """Stop in order: polls, listeners, submissions; within TRACKER_STOP_TIMEOUT.

        The listeners still answer while the last polls finish, so that senders wait less.
        """
        log.info("stopping")
        patience = self._settings.stop_timeout
        self._manager.stopping(patience + CLOSING_SECONDS)
        loop = asyncio.get_running_loop()
        loop.call_later(patience, _exit_now)
        latest = loop.time() + patience * 7 / 8  # then the store still has to close
        ends = [services.poller.stop(patience=patience / 4), ticker.stop(patience=patience / 4)]
        if services.archive is not None:
            ends.append(services.archive.stop(patience=patience / 8))  # and as long again
        await asyncio.gather(*ends)
        await live_updates.close()  # or the admin server would wait for every page that is open
        await asyncio.gather(*(server.stop() for server in servers))
        await asyncio.wait(serving.values())  # bounded by the servers' own time-out
        if services.heygen is not None:
            await services.heygen.submissions.stop(patience=max(0.0, latest - loop.time()))

    async def _watch(
        self, services: Services, ticker: Ticker, serving: Mapping[str, asyncio.Task[None]], health: Health
    ) -> None:
        """Stop the daemon with an exit code if a component fails, so that the service manager restarts it."""
        while not self._stop.is_set():
            await health.look()
            if dead := health.dead_parts(self.silence.total_seconds()):
                self._failure = ", ".join(dead)
                log.critical("a component failed; stopping", part=self._failure)
                self._stop.set()

    # The listeners

    def _servers(
        self,
        services: Services,
        live_updates: LiveUpdates,
        public: Sequence[socket.socket],
        admin: Sequence[socket.socket],
    ) -> list[Server]:
        half = self._settings.stop_timeout / 2
        return [
            Server("webhooks", self._public_app(services), public, stop_seconds=half, keep_alive=False),
            Server("admin", self._admin_app(services, live_updates, admin), admin, stop_seconds=half),
        ]

    def _public_app(self, services: Services) -> Starlette:
        if not services.webhook_secrets.secrets():
            log.warning(
                "no webhook secret: signed webhooks are refused",
                advice="tracker webhook register, or set TRACKER_WEBHOOK_SECRET",
            )
        if services.settings.heygen_api_key is None:
            log.warning("no API key: nothing is polled", advice="set TRACKER_HEYGEN_API_KEY")
        receiver = Receiver(
            services.tracker.record,
            WEBHOOK_FORMAT,
            clock,
            secrets=services.webhook_secrets.secrets,
            tokens=lambda: [token.get_secret_value() for token in services.settings.callback_tokens],
            refused=services.metrics.refused,
        )
        return create_public_app(receiver)

    def _admin_app(
        self, services: Services, live_updates: LiveUpdates, listeners: Sequence[socket.socket]
    ) -> Starlette:
        if services.settings.admin_token is None:
            refuse_unguarded(listeners)
        admin = Admin(
            services.repository,
            services.tracker,
            clock,
            lambda: services.polling,
            services.exposition,
            live_updates,
            services.links.working,
        )
        return create_admin_app(
            admin,
            token=lambda: token.get_secret_value() if (token := services.settings.admin_token) else None,
            any_host=all(one.family == socket.AF_UNIX for one in listeners),
        )
