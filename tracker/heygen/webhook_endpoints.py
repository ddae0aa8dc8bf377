"""The webhook endpoints that an account has at HeyGen, v3 and legacy (heygen-api sections 2 and 4)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tracker.domain.ports import Clock
from tracker.errors import NotFoundError, RefusedError, TransientError
from tracker.heygen import v3
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.payloads import as_object, as_text, first_text, parse_json_object

OUR_EVENTS = ("video_translate.success", "video_translate.fail")
ENDPOINTS_PATH = "/v3/webhooks/endpoints"
LEGACY_PATH = "/v1/webhook/endpoint"
LEGACY_GOOD = 100  # the `code` of a good legacy answer
KIND = "webhook"  # of these requests, for the figures
PAGES = 50  # of a hundred endpoints; a list that never ends ends here


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registered endpoint; `events` None: HeyGen sends it every event (its default).

    HeyGen tells the secret when the endpoint is registered, and never again but by rotating it.
    """

    endpoint_id: str
    url: str
    status: str = "enabled"
    events: tuple[str, ...] | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def is_enabled(self) -> bool:
        """A status that HeyGen does not tell is no reason for alarm."""
        return self.status == "enabled"

    @property
    def lacks(self) -> tuple[str, ...]:
        """Our events that it is not sent."""
        return tuple(event for event in OUR_EVENTS if self.events is not None and event not in self.events)


class Endpoints:
    """HeyGen's v3 webhook endpoints; every method raises HeyGenError."""

    def __init__(self, client: HeyGenClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def list(self) -> list[Endpoint]:
        """Every endpoint of the account."""
        found: dict[str, Endpoint] = {}
        token: str | None = None
        tokens: set[str | None] = {None}
        for _page in range(PAGES):
            params = {"limit": "100", "token": token}
            answer = await self._ask("GET", ENDPOINTS_PATH, params=params)
            found |= {one.endpoint_id: one for one in map(_read, answer.rows()) if one is not None}
            token, cut = v3.next_token(answer)
            if cut is None and token is None:
                return [*found.values()]
            if cut is not None or token in tokens:
                break
            tokens.add(token)
        raise TransientError("HeyGen's list of webhook endpoints has no end")

    async def register(self, url: str, events: Sequence[str] = OUR_EVENTS) -> Endpoint:
        """A new endpoint, with its secret. RefusedError: HeyGen does not take this url."""
        answer = await self._ask("POST", ENDPOINTS_PATH, body={"url": url, "events": [*events]})
        return _registered(answer.data(), url)

    async def update(
        self, endpoint_id: str, *, events: Collection[str] | None = None, enable: bool = False
    ) -> None:
        """Replace all of its events, enable it; what is not given stays as it is."""
        body: dict[str, Any] = {} if events is None else {"events": [*events]}
        body |= {"status": "enabled"} if enable else {}
        await self._ask("PATCH", _path(endpoint_id), body=body)

    async def rotate(self, endpoint_id: str) -> str:
        """The new secret; the old one is dead from now on."""
        answer = await self._ask("POST", f"{_path(endpoint_id)}/rotate-secret")
        secret = as_text(answer.data().get("secret"))
        if secret is None:
            raise TransientError(f"{answer.name}: the secret may be rotated, and the answer has none")
        return secret

    async def remove(self, endpoint_id: str) -> None:
        """Unsubscribe it for good. NotFoundError: there is none."""
        await self._ask("DELETE", _path(endpoint_id))

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        answer = await self._client.ask(KIND, path, self._clock(), method=method, params=params, body=body)
        return _checked(answer)


class LegacyEndpoints:
    """The legacy v1 webhook endpoints; every method raises HeyGenError."""

    def __init__(self, client: HeyGenClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def list(self) -> list[Endpoint]:
        """Every endpoint of the account."""
        answer = await self._ask("GET", "list")
        return [one for one in map(_read, answer.rows()) if one is not None]

    async def register(self, url: str, events: Sequence[str] = OUR_EVENTS) -> Endpoint:
        """A new endpoint, with its secret; HeyGen first asks the url with OPTIONS, for 1 s at most."""
        answer = await self._ask("POST", "add", body={"url": url, "events": [*events]})
        return _registered(answer.data(), url)

    async def remove(self, endpoint_id: str) -> None:
        """Unsubscribe it for good. NotFoundError: there is none."""
        await self._ask("DELETE", "delete", params={"endpoint_id": endpoint_id})

    async def _ask(
        self,
        method: str,
        call: str,
        *,
        params: Mapping[str, str | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        path = f"{LEGACY_PATH}.{call}"
        answer = await self._client.ask(KIND, path, self._clock(), method=method, params=params, body=body)
        _check_legacy(answer)
        return _checked(answer)


def _path(endpoint_id: str) -> str:
    return f"{ENDPOINTS_PATH}/{quote(endpoint_id, safe='')}"


def _checked(answer: Answer) -> Answer:
    """The good answer, with or without a body; raises HeyGenError."""
    if 200 <= answer.status_code < 300 and not answer.body.strip():
        return answer
    try:
        answer.payload()
    except TransientError as error:
        if answer.is_refusal:
            raise RefusedError(str(error)) from error
        raise
    return answer


def _check_legacy(answer: Answer) -> None:
    """Legacy answers say what is wrong in `code` and `message`; raises HeyGenError for that."""
    try:
        payload = parse_json_object(answer.body)
    except ValueError:
        return
    code, said = payload.get("code"), as_text(payload.get("message"))
    if code in (None, LEGACY_GOOD) or payload.get("error") or answer.status_code in (401, 403, 429):
        return
    told = f"{answer.name}: {(said or f'code {code}')[:200]}"
    if "not found" in told.lower():
        raise NotFoundError(told)
    raise RefusedError(told) if answer.status_code < 500 else TransientError(told)


def _read(row: object) -> Endpoint | None:
    """The endpoint in this object; None where it says too little to be one."""
    data = as_object(row)
    endpoint_id, url = first_text(data, "endpoint_id", "id"), as_text(data.get("url"))
    if endpoint_id is None or url is None:
        return None
    events = data.get("events")
    return Endpoint(
        endpoint_id,
        url,
        (as_text(data.get("status")) or "enabled").lower(),
        tuple(event for event in events if isinstance(event, str)) if isinstance(events, list) else None,
        as_text(data.get("secret")),
    )


def _registered(data: Mapping[str, Any], url: str) -> Endpoint:
    endpoint = _read({"url": url, **data})
    if endpoint is None:
        raise TransientError("HeyGen registered the endpoint and did not say its endpoint_id")
    return endpoint
