"""The composition root: opens the parts in order, watches them, stops them in reverse."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from starlette.applications import Starlette

from tracker.domain.cadence import Cadence
from tracker.errors import SettingsError
from tracker.heygen import webhook
from tracker.heygen.client import HeyGenClient
from tracker.metrics import Metrics
from tracker.polling.poller import Pace, Poller
from tracker.polling.scheduler import Ticker
from tracker.settings import Address, Settings
from tracker.store import schema
from tracker.store.engine import Engines, open_engines
from tracker.store.lock import sole_runner
from tracker.store.repository import Repository
from tracker.tracking import Tracker
from tracker.web.admin import Admin, create_admin_app
from tracker.web.listen import address_of, is_private, open_listener
from tracker.web.public import create_public_app
from tracker.web.receiver import Receiver
from tracker.web.server import Server

log = structlog.get_logger("tracker.daemon")

TICK_SECONDS = 1.0
OVERDUE_SECONDS = 1.0
WATCH_SECONDS = 0.5
DEAD_AFTER = timedelta(seconds=60)  # without a tick: the poller is gone, and so shall we be


def clock() -> datetime:
    """Now, aware and UTC."""
    return datetime.now(UTC)


def open_database(settings: Settings) -> Engines:
    """The engines of the settings' database; nothing is connected yet."""
    return open_engines(settings.database_url.get_secret_value(), synchronous=settings.sqlite_synchronous)


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that the daemon and `tracker poll` share."""

    repository: Repository
    tracker: Tracker
    poller: Poller
    metrics: Metrics

    async def exposition(self) -> tuple[bytes, str]:
        """The text of /metrics and its content type."""
        now = clock()
        oldest = await self.repository.oldest_due(now)
        text = self.metrics.expose(
            await self.repository.counts(),
            oldest_due_age=(now - oldest).total_seconds() if oldest else 0.0,
            paused=self.poller.state.paused,
            stretch=self.tracker.stretch,
        )
        return text, self.metrics.content_type


async def open_core(settings: Settings, engines: Engines, stack: AsyncExitStack) -> Core:
    """Store, tracker, HeyGen client and poller; `stack` closes them. Raises StoreError."""
    repository = Repository(engines, clock)
    stack.push_async_callback(asyncio.to_thread, repository.close)
    repository.open()
    metrics = Metrics()
    cadence = _cadence(settings)
    tracker = Tracker(repository, cadence, metrics)
    await tracker.remember_evidence()
    heygen = await stack.enter_async_context(_client(settings)) if settings.heygen_api_key else None
    pace = Pace(settings.concurrency, settings.request_timeout, settings.rate_limit, cadence)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    poller = Poller(repository, tracker, heygen, metrics, clock, owner=owner, pace=pace)
    return Core(repository, tracker, poller, metrics)


def _exit_at_last() -> None:
    """A thread that waits for a database for ever cannot be stopped, and a kill loses no more than this."""
    log.critical("could not stop in time; the process ends all the same")
    os._exit(1)


def _cadence(settings: Settings) -> Cadence:
    return Cadence(
        min_interval=timedelta(seconds=settings.poll_min_interval),
        max_interval=timedelta(seconds=settings.poll_max_interval),
        overdue_after=timedelta(seconds=settings.overdue_after),
        give_up_after=timedelta(seconds=settings.give_up_after),
    )


def _client(settings: Settings) -> HeyGenClient:
    key = settings.heygen_api_key
    return HeyGenClient(
        key.get_secret_value() if key else "",
        settings.heygen_base_url,
        rate_limit=settings.rate_limit,
        concurrency=settings.concurrency,
        timeout=settings.request_timeout,
    )


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
        asyncio.get_running_loop().call_later(self._settings.stop_timeout, _exit_at_last)
        watch.cancel()
        for server in servers:
            server.stop()
        await asyncio.wait(serving.values())  # bounded by the servers' own time-out
        await ticker.stop(patience=self._settings.stop_timeout / 8)
        await core.poller.stop(patience=self._settings.stop_timeout / 4)

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
        if not settings.signing_secrets:
            log.warning("no webhook secret: signed webhooks are refused", advice="set TRACKER_WEBHOOK_SECRET")
        if settings.heygen_api_key is None:
            log.warning("no API key: nothing is polled", advice="set TRACKER_HEYGEN_API_KEY")
        receiver = Receiver(
            core.tracker.record,
            webhook,
            clock,
            secrets=settings.signing_secrets,
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
        admin = Admin(core.repository, core.tracker, clock, lambda: core.poller.state, core.exposition)
        return create_admin_app(
            admin,
            token=token.get_secret_value() if token else None,
            any_host=listener.family == socket.AF_UNIX,
        )
