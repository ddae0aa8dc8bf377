"""Checks our webhook endpoint at HeyGen: registered, enabled, with our url, and sending."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from tracker.domain.ports import KeyValueStore, Store
from tracker.domain.status import Source
from tracker.errors import HeyGenError

log = structlog.get_logger("tracker.webhooks")

REGISTERED_KEY = "webhook_endpoint"  # the stored endpoint that was registered from here
LATEST_ENDS = 20
SILENT_ENDS = 5  # fewer completions without a webhook may be chance

ADVICE = {
    "endpoint_missing": "tracker webhook register",
    "endpoint_disabled": "tracker webhook register repairs it",
    "endpoint_elsewhere": "set TRACKER_WEBHOOK_URL to its url, or run tracker webhook register",
    "endpoint_events": "tracker webhook register adds the missing events",
    "no_secret": "tracker webhook rotate makes a new one",
    "webhooks_silent": "tracker webhook status; refused webhooks are in the log",
}


class Endpoint(Protocol):
    """One endpoint registered at HeyGen; `lacks`: the events that it should get and does not."""

    @property
    def endpoint_id(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def is_enabled(self) -> bool: ...

    @property
    def lacks(self) -> tuple[str, ...]: ...


class EndpointList(Protocol):
    """HeyGen's list of our endpoints; raises HeyGenError."""

    async def list(self) -> Sequence[Endpoint]: ...


E = TypeVar("E", bound=Endpoint)


def find_ours(endpoints: Sequence[E], registered: Mapping[str, Any], url: str | None) -> E | None:
    """Find our endpoint: the one registered from here, else the one with our url."""
    endpoint_id, our_url = registered.get("endpoint_id"), url or registered.get("url")
    by_id = (endpoint for endpoint in endpoints if endpoint.endpoint_id == endpoint_id)
    by_url = (endpoint for endpoint in endpoints if _is_same_url(endpoint.url, our_url))
    return next(by_id, None) or next(by_url, None)


def endpoint_problems(ours: Endpoint | None, registered: Mapping[str, Any], url: str | None) -> list[str]:
    """List the problems of our endpoint; none if no endpoint is expected."""
    expected = url or registered.get("url")
    if expected is None:
        return []
    if ours is None:
        return ["endpoint_missing"]
    problems = {
        "endpoint_disabled": not ours.is_enabled,
        "endpoint_elsewhere": not _is_same_url(ours.url, expected),
        "endpoint_events": bool(ours.lacks),
    }
    return [name for name, is_present in problems.items() if is_present]


def is_silent(end_sources: Sequence[Source], *, heard: bool) -> bool:
    """True if translations have ended, no webhook reported any of them first, and none was `heard` later.

    A webhook that arrives after the poll changes nothing, but shows that webhooks arrive.
    """
    return len(end_sources) >= SILENT_ENDS and Source.WEBHOOK not in end_sources and not heard


async def silence_problems(store: Store, *, has_secret: bool) -> list[str]:
    """List `webhooks_silent` if verifiable webhooks stopped arriving. Raises StoreError."""
    if not has_secret:
        return []
    sources = await store.recent_end_sources(LATEST_ENDS)
    heard = await store.heard_since_ends(LATEST_ENDS)
    return ["webhooks_silent"] if is_silent(sources, heard=heard) else []


class EndpointCheck:
    """Checks the endpoint; `problems` is the latest result, and the log says when each begins and ends.

    `legacy` lists the v1 endpoints, used if ours is one of them. `url` is where our endpoint should point.
    `has_secrets`: whether webhooks can be verified at all.
    """

    def __init__(
        self,
        endpoints: EndpointList,
        legacy: EndpointList,
        key_values: KeyValueStore,
        store: Store,
        *,
        url: str | None,
        has_secrets: Callable[[], bool],
    ) -> None:
        self._endpoints, self._legacy = endpoints, legacy
        self._key_values, self._store = key_values, store
        self._url = url
        self._has_secrets = has_secrets
        self._endpoint_problems: list[str] = []
        self._has_failed = False
        self.problems: tuple[str, ...] = ()

    async def check(self) -> None:
        """Check again; if HeyGen does not answer, its last result stays. Raises StoreError."""
        await self._check_endpoint()
        silence = await silence_problems(self._store, has_secret=self._has_secrets())
        self._report((*self._endpoint_problems, *silence))

    async def _check_endpoint(self) -> None:
        registered: Mapping[str, Any] = await self._key_values.recall(REGISTERED_KEY) or {}
        if self._url is None and not registered:
            self._endpoint_problems = []
            return
        try:
            endpoints = await (self._legacy if registered.get("legacy") else self._endpoints).list()
        except HeyGenError as error:
            if not self._has_failed:
                log.warning("webhook endpoint not checked", error=str(error))
            self._has_failed = True
            return
        self._has_failed = False
        self._endpoint_problems = endpoint_problems(
            find_ours(endpoints, registered, self._url), registered, self._url
        )

    def _report(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self.problems:
                log.warning("webhook endpoint needs attention", problem=problem, advice=ADVICE[problem])
        for problem in self.problems:
            if problem not in problems:
                log.info("webhook endpoint problem resolved", problem=problem)
        self.problems = problems


def _is_same_url(url: str, other: str | None) -> bool:
    """Compare urls without the last slash, which HeyGen may add or drop."""
    return other is not None and url.rstrip("/") == other.rstrip("/")
