"""Looks after our webhook endpoint at HeyGen: registered, enabled, ours, and heard of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from tracker.domain.ports import KeyValueStore, Store
from tracker.domain.status import Source
from tracker.errors import HeyGenError

log = structlog.get_logger("tracker.webhooks")

REMEMBERED = "webhook_endpoint"  # under this name it is remembered what was registered
LATEST_ENDS = 20
ENDS_THAT_TELL = 5  # fewer ends without a webhook may be chance

ADVICE = {
    "endpoint_missing": "tracker webhook register",
    "endpoint_disabled": "tracker webhook register repairs it",
    "endpoint_elsewhere": "set TRACKER_WEBHOOK_URL to its url, or run tracker webhook register",
    "endpoint_events": "tracker webhook register adds the missing events",
    "no_secret": "tracker webhook rotate makes a new one",
    "webhooks_silent": "tracker webhook status; refused webhooks are in the log",
}


class Endpoint(Protocol):
    """What HeyGen says of one registered endpoint; `lacks`: our events that it is not sent."""

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


def find_ours(endpoints: Sequence[E], remembered: Mapping[str, Any], url: str | None) -> E | None:
    """Ours is the one that was registered from here, else the one that has our url."""
    ours = next((one for one in endpoints if one.endpoint_id == remembered.get("endpoint_id")), None)
    return ours or next((one for one in endpoints if _same(one.url, url or remembered.get("url"))), None)


def endpoint_problems(ours: Endpoint | None, remembered: Mapping[str, Any], url: str | None) -> list[str]:
    """What is wrong with our endpoint; nothing where none was ever meant to be."""
    expected = url or remembered.get("url")
    if expected is None:
        return []
    if ours is None:
        return ["endpoint_missing"]
    wrong = {
        "endpoint_disabled": not ours.is_enabled,
        "endpoint_elsewhere": not _same(ours.url, expected),
        "endpoint_events": bool(ours.lacks),
    }
    return [name for name, is_so in wrong.items() if is_so]


def is_silent(end_sources: Sequence[Source], *, heard: bool) -> bool:
    """True where translations ended, no webhook was the first to tell of any of them, and none was `heard`.

    One that comes after the poll tells nothing new, and is no silence.
    """
    return len(end_sources) >= ENDS_THAT_TELL and Source.WEBHOOK not in end_sources and not heard


async def silence_problems(store: Store, *, has_secret: bool) -> list[str]:
    """Whether webhooks that could be verified stopped arriving. Raises StoreError."""
    if not has_secret:
        return []
    sources = await store.recent_end_sources(LATEST_ENDS)
    heard = await store.heard_since_ends(LATEST_ENDS)
    return ["webhooks_silent"] if is_silent(sources, heard=heard) else []


class EndpointCheck:
    """Checks now and then; `problems` is the latest verdict, and the log tells each one's begin and end.

    `legacy` lists the v1 endpoints, asked where one of those is ours; `url` is where ours should point;
    `has_secrets`: whether webhooks could be believed at all.
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
        self._of_endpoint: list[str] = []
        self._is_blind = False
        self.problems: tuple[str, ...] = ()

    async def check(self) -> None:
        """Judge anew; what HeyGen does not answer stays as it was judged last. Raises StoreError."""
        await self._look_at_endpoint()
        silence = await silence_problems(self._store, has_secret=self._has_secrets())
        self._tell((*self._of_endpoint, *silence))

    async def _look_at_endpoint(self) -> None:
        remembered: Mapping[str, Any] = await self._key_values.recall(REMEMBERED) or {}
        if self._url is None and not remembered:
            self._of_endpoint = []
            return
        try:
            found = await (self._legacy if remembered.get("legacy") else self._endpoints).list()
        except HeyGenError as error:
            if not self._is_blind:
                log.warning("webhook endpoint not checked", error=str(error))
            self._is_blind = True
            return
        self._is_blind = False
        self._of_endpoint = endpoint_problems(find_ours(found, remembered, self._url), remembered, self._url)

    def _tell(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self.problems:
                log.warning("webhook endpoint needs attention", problem=problem, advice=ADVICE[problem])
        for problem in self.problems:
            if problem not in problems:
                log.info("webhook endpoint is well again", problem=problem)
        self.problems = problems


def _same(one: str, other: str | None) -> bool:
    """HeyGen may add or drop the last slash of a url."""
    return other is not None and one.rstrip("/") == other.rstrip("/")
