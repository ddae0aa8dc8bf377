"""Puts the parts together that the daemon and the verbs share: store, HeyGen, the one door, the poller."""

import os
import socket
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from tracker.archive.archiver import Archiver
from tracker.daemon.archive_wiring import FilesAtNeed, limits_of, missing, open_archiver
from tracker.daemon.database import clock, open_store
from tracker.daemon.heygen_wiring import HeyGen, connect_heygen, open_client, open_statuses, sweep_interval
from tracker.domain.files.ports import Files
from tracker.domain.limits import PollLimits
from tracker.domain.poller_state import PollerState
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import Clock
from tracker.domain.retention import Keep
from tracker.domain.schedule import Schedule
from tracker.errors import StoreError
from tracker.observability import logs
from tracker.observability.metrics import Metrics
from tracker.polling.poller import Poller
from tracker.settings import Settings
from tracker.store.engine import Engines
from tracker.store.repository import Repository
from tracker.tracking.fresh_links import FreshLinks, Freshness
from tracker.tracking.recorder import Recorder
from tracker.tracking.retention import Retention
from tracker.tracking.webhook_secrets import WebhookSecrets

STOP_SECONDS = 5.0  # for a file that is complete, and on its way into its place


@dataclass(slots=True)
class Services:
    """The parts that the daemon and the verbs share."""

    settings: Settings
    repository: Repository
    tracker: Recorder
    poller: Poller
    metrics: Metrics
    webhook_secrets: WebhookSecrets
    retention: Retention
    links: FreshLinks
    heygen: HeyGen | None
    archive: Archiver | None = None  # without TRACKER_ARCHIVE

    @property
    def polling(self) -> PollerState:
        """The state of polling, for pages, health checks and metrics."""
        poller, heygen, plan = self.poller, self.heygen, self.tracker.facts.plan
        return PollerState(
            last_tick=poller.last_tick,
            paused=poller.gate.reason,
            until=poller.gate.until,
            api=heygen.statuses.api if heygen else None,
            mode=heygen.planner.mode if heygen else None,
            staleness=plan.staleness.total_seconds() if plan else None,
            promised=self.settings.max_staleness if heygen else None,
            knows_translations=not self.tracker.facts.is_doubted,
            webhook_problems=heygen.watch.problems if heygen else (),
            delivery_rate=self.tracker.delivery_rate,
            instances=max(1, poller.account.instances),
        )

    def adopt(self, settings: Settings) -> None:
        """Go on with these settings, as far as they are live."""
        schedule = _schedule(settings)
        self.settings = settings
        self.tracker.schedule = schedule
        self.webhook_secrets.configured = settings.signing_secrets
        self.poller.set_limits(_limits(settings, schedule))
        self.retention.keep = _keep(settings)
        self.links.freshness = Freshness(settings.keep_links_fresh)
        if self.archive is not None:
            self.archive.set_limits(limits_of(settings))
        if self.heygen is not None:
            self._adopt_for_heygen(self.heygen, schedule)

    def _adopt_for_heygen(self, heygen: HeyGen, schedule: Schedule) -> None:
        settings = self.settings
        if settings.heygen_api_key is not None and heygen.client.set_api_key(
            settings.heygen_api_key.get_secret_value()
        ):
            self.poller.try_account()
        heygen.client.set_rate_limit(settings.rate_limit)
        heygen.planner.set_limits(schedule, settings.rate_limit)
        heygen.renewals.is_on = self.links.freshness is Freshness.ALWAYS
        if heygen.sweeps is not None:
            heygen.sweeps.set_interval(sweep_interval(settings))

    async def exposition(self) -> tuple[bytes, str]:
        """The text of /metrics and its content type."""
        now = clock()
        oldest = await self.repository.oldest_due(now)
        text = self.metrics.expose(
            await self.repository.counts(),
            oldest_due_age=(now - oldest).total_seconds() if oldest else 0.0,
            poller=self.polling,
            stretch=self.tracker.stretch,
            backlog=await self.retention.backlog(),
            missing=await missing(self.repository.files, now) if self.archive else None,
        )
        return text, self.metrics.content_type


async def open_services(
    settings: Settings,
    engines: Engines,
    stack: AsyncExitStack,
    clock: Clock = clock,
    files: Files | None = None,
) -> Services:
    """Open store, tracker, HeyGen client and poller; `stack` closes them. Raises StoreError.

    `files` are the file hosts; without them no link is checked before it is given.
    """
    repository = await open_store(engines, stack, clock)
    metrics = Metrics()
    schedule = _schedule(settings)
    facts = PollingFacts()
    tracker = Recorder(repository, schedule, metrics, facts)
    await tracker.remember_evidence()
    webhook_secrets = WebhookSecrets(
        settings.signing_secrets, settings.webhook_secrets_file, clock, logs.hide
    )
    client = await open_client(settings, metrics, stack)
    statuses = await open_statuses(settings, repository, client) if client else None
    poller = Poller(
        repository,
        tracker,
        facts,
        statuses,
        metrics,
        clock,
        owner=_owner(),
        limits=_limits(settings, schedule),
    )
    if client is not None:
        poller.account.share, poller.account.silence = client.share, client.silence
        client.silenced = poller.account.owe_silence
    stack.push_async_callback(_leave, poller)
    retention = Retention(repository, _keep(settings), clock, metrics.pruned)
    freshness = Freshness(settings.keep_links_fresh)
    hosts = files if files is not None else await stack.enter_async_context(FilesAtNeed(settings))
    links = FreshLinks(repository, poller, hosts, metrics, clock, freshness)
    services = Services(
        settings, repository, tracker, poller, metrics, webhook_secrets, retention, links, heygen=None
    )
    if settings.archive is not None:
        services.archive = open_archiver(settings, repository, hosts, links, clock, metrics, owner=_owner())
        stack.push_async_callback(services.archive.stop, STOP_SECONDS)
    return (
        replace(services, heygen=connect_heygen(services, client, statuses, clock))
        if client and statuses
        else services
    )


def _owner() -> str:
    """What this tracker is called in claims."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _leave(poller: Poller) -> None:
    with suppress(StoreError):  # the others will miss us, only later
        await poller.account.leave()


def _keep(settings: Settings) -> Keep:
    return Keep(
        delivery_bodies=timedelta(seconds=settings.keep_delivery_bodies),
        deliveries=timedelta(seconds=settings.keep_deliveries),
        finished=timedelta(seconds=settings.keep_finished) if settings.keep_finished else None,
    )


def _limits(settings: Settings, schedule: Schedule) -> PollLimits:
    return PollLimits(settings.concurrency, settings.request_timeout, settings.rate_limit, schedule)


def _schedule(settings: Settings) -> Schedule:
    return Schedule(
        min_interval=timedelta(seconds=settings.poll_min_interval),
        max_interval=timedelta(seconds=settings.poll_max_interval),
        overdue_after=timedelta(seconds=settings.overdue_after),
        give_up_after=timedelta(seconds=settings.give_up_after),
        max_staleness=timedelta(seconds=settings.max_staleness),
    )
