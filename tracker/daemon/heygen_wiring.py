"""Builds what sends requests to HeyGen: the client, polling helpers, submissions, the endpoint check."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tracker.domain.ports import Clock
from tracker.heygen import v2
from tracker.heygen.client import HeyGenClient
from tracker.heygen.creation import Creation
from tracker.heygen.listings import EventLog, TranslationList
from tracker.heygen.statuses import StatusEndpoint
from tracker.heygen.webhook_endpoints import Endpoints, LegacyEndpoints
from tracker.observability.metrics import Metrics
from tracker.polling.catch_up import CatchUp
from tracker.polling.discovery import Discovery, Sweeps
from tracker.polling.endpoint_check import EndpointCheck
from tracker.polling.planner import Planner
from tracker.polling.renewals import Renewals
from tracker.settings import Settings
from tracker.store.repository import Repository
from tracker.tracking.fresh_links import Freshness
from tracker.tracking.submissions import Submissions

if TYPE_CHECKING:
    from tracker.daemon.wiring import Services

HEYGEN_API = "heygen_api"  # the database remembers the account's API version under this key


@dataclass(frozen=True, slots=True)
class HeyGen:
    """Everything that sends requests to HeyGen."""

    client: HeyGenClient
    statuses: StatusEndpoint
    planner: Planner
    submissions: Submissions
    watch: EndpointCheck
    renewals: Renewals
    catch_up: CatchUp | None  # v2 has no event log
    sweeps: Sweeps | None  # nor a list


async def open_client(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> HeyGenClient | None:
    """The client; None without an API key."""
    if settings.heygen_api_key is None:
        return None
    client = HeyGenClient(
        settings.heygen_api_key.get_secret_value(),
        settings.heygen_base_url,
        rate_limit=settings.rate_limit,
        concurrency=settings.concurrency,
        timeout=settings.request_timeout,
        asked=metrics.asked,
    )
    return await stack.enter_async_context(client)


async def open_statuses(settings: Settings, repository: Repository, client: HeyGenClient) -> StatusEndpoint:
    """Reads statuses through the API version that the database remembers for this account."""

    async def switched(api: str) -> None:
        await repository.remember(HEYGEN_API, api)

    known = await repository.recall(HEYGEN_API)
    return StatusEndpoint(client, settings.heygen_api, known=known, switched=switched)


def connect_heygen(
    services: "Services", client: HeyGenClient, statuses: StatusEndpoint, clock: Clock
) -> HeyGen:
    """Build everything that sends requests to HeyGen."""
    settings, repository, tracker = services.settings, services.repository, services.tracker
    has_log = settings.heygen_api != v2.API_VERSION  # and a list
    planner = Planner(
        repository,
        tracker,
        tracker.facts,
        statuses,
        clock,
        schedule=tracker.schedule,
        rate_limit=settings.rate_limit,
        hasten_at_start=not has_log,
    )
    creation = Creation(client, lambda: statuses.api, follows=settings.heygen_api == "auto")
    submissions = Submissions(
        repository.submissions, creation, tracker, clock, request_timeout=settings.request_timeout
    )
    watch = EndpointCheck(
        Endpoints(client, clock),
        LegacyEndpoints(client, clock),
        repository,
        repository,
        url=settings.webhook_url,
        has_secrets=lambda: bool(services.webhook_secrets.secrets()),
    )
    catch_up = sweeps = None
    if has_log:
        catch_up = _catch_up(services, client, statuses, clock)
        sweeps = _sweeps(services, client, clock)
    return HeyGen(
        client, statuses, planner, submissions, watch, _renewals(services, client), catch_up, sweeps
    )


def _renewals(services: "Services", client: HeyGenClient) -> Renewals:
    metrics = services.metrics
    return Renewals(
        services.poller.renew,
        lambda: client.is_idle,
        metrics.link_renewed,
        metrics.link_not_renewed,
        is_on=services.links.freshness is Freshness.ALWAYS,
    )


def _catch_up(services: "Services", client: HeyGenClient, statuses: StatusEndpoint, clock: Clock) -> CatchUp:
    return CatchUp(
        services.tracker,
        services.tracker.facts,
        services.repository,
        EventLog(client),
        services.repository,
        clock,
        statuses,
        trusted=lambda: not services.tracker.facts.is_doubted,
    )


def _sweeps(services: "Services", client: HeyGenClient, clock: Clock) -> Sweeps:
    listing, adopt = TranslationList(client), services.settings.discover_adopt
    discovery = Discovery(
        services.tracker, listing, services.repository, clock, adopt, keep=lambda: services.retention.keep
    )
    return Sweeps(discovery, sweep_interval(services.settings), clock)


def sweep_interval(settings: Settings) -> timedelta | None:
    """The time between two sweeps; None: no sweeps."""
    return timedelta(seconds=settings.discover_interval) if settings.discover_interval else None
