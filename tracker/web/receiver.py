"""The webhook receiver: verify the raw bytes, read them once, hand over, say little."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Protocol

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tracker.domain.ports import Clock
from tracker.domain.record import Record, RecordResult
from tracker.errors import StoreError
from tracker.web.answers import RETRY_AFTER, Json, refuse

log = structlog.get_logger("tracker.webhooks")

BODY_SECONDS = 10.0  # for the whole body to arrive
STORE_SECONDS = 8.0  # HeyGen waits for 10
Headers = Sequence[tuple[str, str]]


class Events(Protocol):
    """HeyGen's webhook format."""

    def find_signer(self, body: bytes, headers: Headers, secrets: Mapping[str, str]) -> str | None: ...

    def parse_json_object(self, body: bytes) -> dict[str, Any]: ...

    def read_event(
        self, event: Mapping[str, Any], body: bytes, headers: Headers, received_at: Any, signed_by: str | None
    ) -> Record: ...

    def read_unusable(
        self, body: bytes, headers: Headers, received_at: Any, signed_by: str, error: str
    ) -> Record: ...


class Receiver:
    """Answers webhooks; 2xx only once the delivery is committed together with its effect.

    `secrets` is asked at each webhook for those that are valid now, by name; `tokens` likewise.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Record]], Awaitable[list[RecordResult]]],
        events: Events,
        clock: Clock,
        *,
        secrets: Callable[[], Mapping[str, str]],
        tokens: Callable[[], Sequence[str]],
        refused: Callable[[int], None],
        body_seconds: float = BODY_SECONDS,
        store_seconds: float = STORE_SECONDS,
    ) -> None:
        self._record, self._events, self._clock = record, events, clock
        self._secrets, self._tokens, self._refused = secrets, tokens, refused
        self._body_seconds, self._store_seconds = body_seconds, store_seconds
        self._storing: set[asyncio.Future[list[RecordResult]]] = set()

    async def signed(self, request: Request) -> Response:
        """POST /webhooks/heygen: believed where one of the secrets signed it."""
        if request.method != "POST":
            return probe_answer(request)
        if not (secrets := self._secrets()):
            log.error(
                "webhook refused: no secret is configured",
                advice="tracker webhook register, or set TRACKER_WEBHOOK_SECRET",
            )
            return self._refuse(503, "this tracker has no webhook secret yet", RETRY_AFTER)
        body = await self._read_body(request)
        if isinstance(body, Response):
            return body
        headers = _headers(request)
        signed_by = self._events.find_signer(body, headers, secrets)
        if signed_by is None:
            log.warning("webhook refused: no valid signature", client=_client(request), bytes=len(body))
            return self._refuse(401, "the signature is missing or not ours")
        return await self._receive(body, headers, signed_by)

    async def unsigned(self, request: Request) -> Response:
        """POST /webhooks/heygen/{token}: only ever a hint."""
        token = request.path_params["token"].encode("utf-8", "replace")
        known = [one.encode() for one in self._tokens()]
        if not any([hmac.compare_digest(token, one) for one in known]):  # noqa: C419 - constant time
            return refuse(404, "Not Found")
        if request.method != "POST":
            return probe_answer(request)
        body = await self._read_body(request)
        return body if isinstance(body, Response) else await self._receive(body, _headers(request), None)

    async def _receive(self, body: bytes, headers: Headers, signed_by: str | None) -> Response:
        now = self._clock()
        try:
            event = self._events.parse_json_object(body)
        except ValueError as error:
            if signed_by is not None:
                unusable = self._events.read_unusable(body, headers, now, signed_by, str(error))
                if (failed := await self._store(unusable)) is not None:
                    return failed
            return self._refuse(400, str(error))
        failed = await self._store(self._events.read_event(event, body, headers, now, signed_by))
        return failed or Json({"status": "stored"})

    async def _store(self, record: Record) -> Response | None:
        """None once it is committed, else the answer that makes HeyGen come again."""
        storing = asyncio.ensure_future(self._record([record]))
        self._storing.add(storing)
        storing.add_done_callback(self._stored)
        try:
            async with asyncio.timeout(self._store_seconds):
                # a commit that comes too late for the answer is told all the same
                await asyncio.shield(storing)
        except TimeoutError:
            log.error("webhook not stored", error=f"the database took longer than {self._store_seconds:g} s")
        except StoreError as error:
            log.error("webhook not stored", error=str(error))
        except Exception:
            log.exception("webhook not stored")
        else:
            return None
        return self._refuse(503, "it could not be stored; send it again", RETRY_AFTER)

    def _stored(self, storing: asyncio.Future[list[RecordResult]]) -> None:
        self._storing.discard(storing)
        if not storing.cancelled():
            storing.exception()  # told where it was waited for, else the sender comes again

    async def _read_body(self, request: Request) -> bytes | Response:
        """The raw body, or the answer to a sender that is too slow or gone."""
        try:
            async with asyncio.timeout(self._body_seconds):
                return await request.body()
        except TimeoutError:
            log.warning("webhook refused: the sender is too slow", client=_client(request))
            return self._refuse(408, "the body took too long")
        except ClientDisconnect:
            return self._refuse(400, "the sender went away")

    def _refuse(self, status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
        self._refused(status_code)
        return refuse(status_code, error, headers)


def probe_answer(_request: Request) -> Response:
    """OPTIONS, GET and HEAD: yes, here webhooks are received (heygen-api section 4)."""
    return Json({"status": "ready for webhooks"}, headers={"Allow": "POST, OPTIONS, GET, HEAD"})


def _headers(request: Request) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]


def sender_address(peer: str | None, forwarded: Sequence[str]) -> str | None:
    """Who sent it, given X-Forwarded-For; None where nobody knows.

    A proxy on this machine (no `peer`: through a unix socket) writes last whom it saw. What stands before
    that, and all that other machines write, the sender may have made up.
    """
    if peer is not None and not _is_loopback(peer):
        return peer
    last = ",".join(forwarded).rpartition(",")[2].strip()
    return last if _is_loopback(last) is not None else peer


def _is_loopback(text: str) -> bool | None:
    """None where it is no address at all."""
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return None


def _client(request: Request) -> str | None:
    peer = request.client.host if request.client else None
    return sender_address(peer, request.headers.getlist("x-forwarded-for"))
