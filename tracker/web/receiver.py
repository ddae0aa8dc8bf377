"""The webhook receiver: verify the raw body, parse it once, record it, answer."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

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


@dataclass(frozen=True, slots=True)
class WebhookFormat:
    """How HeyGen signs and writes its webhooks: functions of tracker/heygen/webhook_events.py."""

    find_signer: Callable[[bytes, Headers, Mapping[str, str]], str | None]
    parse_json_object: Callable[[bytes], Mapping[str, object]]
    read_event: Callable[[Mapping[str, object], bytes, Headers, datetime, str | None], Record]
    read_unusable: Callable[[bytes, Headers, datetime, str, str], Record]


class Receiver:
    """Answers webhooks; 2xx only after the delivery and its effect are committed.

    `secrets` (by name) and `tokens` return those that are valid now; each webhook calls them.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Record]], Awaitable[list[RecordResult]]],
        webhook_format: WebhookFormat,
        clock: Clock,
        *,
        secrets: Callable[[], Mapping[str, str]],
        tokens: Callable[[], Sequence[str]],
        refused: Callable[[int], None],
        body_seconds: float = BODY_SECONDS,
        store_seconds: float = STORE_SECONDS,
    ) -> None:
        self._record, self._format, self._clock = record, webhook_format, clock
        self._secrets, self._tokens, self._refused = secrets, tokens, refused
        self._body_seconds, self._store_seconds = body_seconds, store_seconds
        self._pending: set[asyncio.Future[list[RecordResult]]] = set()

    async def signed(self, request: Request) -> Response:
        """POST /webhooks/heygen: accepted if one of the secrets signed it."""
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
        signed_by = self._format.find_signer(body, headers, secrets)
        if signed_by is None:
            log.warning("webhook refused: no valid signature", client=_client(request), bytes=len(body))
            return self._refuse(401, "the signature is missing or not ours")
        return await self._accept(body, headers, signed_by)

    async def unsigned(self, request: Request) -> Response:
        """POST /webhooks/heygen/{token}: unsigned, so never more than a hint."""
        token = request.path_params["token"].encode("utf-8", "replace")
        valid_tokens = [valid.encode() for valid in self._tokens()]
        if not any([hmac.compare_digest(token, valid) for valid in valid_tokens]):  # noqa: C419 - constant time
            return refuse(404, "Not Found")
        if request.method != "POST":
            return probe_answer(request)
        body = await self._read_body(request)
        return body if isinstance(body, Response) else await self._accept(body, _headers(request), None)

    async def _accept(self, body: bytes, headers: Headers, signed_by: str | None) -> Response:
        now = self._clock()
        try:
            event = self._format.parse_json_object(body)
        except ValueError as error:
            if signed_by is not None:
                record = self._format.read_unusable(body, headers, now, signed_by, str(error))
                if (failure := await self._store(record)) is not None:
                    return failure
            return self._refuse(400, str(error))
        record = self._format.read_event(event, body, headers, now, signed_by)
        return await self._store(record) or Json({"status": "stored"})

    async def _store(self, record: Record) -> Response | None:
        """None after the commit, else an answer that makes HeyGen retry."""
        results = asyncio.ensure_future(self._record([record]))
        self._pending.add(results)
        results.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(self._store_seconds):
                # a commit that misses this deadline still completes, and is logged and counted
                await asyncio.shield(results)
        except TimeoutError:
            log.error("webhook not stored", error=f"the database took longer than {self._store_seconds:g} s")
        except StoreError as error:
            log.error("webhook not stored", error=str(error))
        except Exception:
            log.exception("webhook not stored")
        else:
            return None
        return self._refuse(503, "not stored; please retry", RETRY_AFTER)

    def _forget(self, results: asyncio.Future[list[RecordResult]]) -> None:
        self._pending.discard(results)
        if not results.cancelled():
            results.exception()  # marks it as retrieved: `_store` has logged it or its time-out

    async def _read_body(self, request: Request) -> bytes | Response:
        """The raw body, or the answer to a sender that is too slow or has disconnected."""
        try:
            async with asyncio.timeout(self._body_seconds):
                return await request.body()
        except TimeoutError:
            log.warning("webhook refused: the body took too long", client=_client(request))
            return self._refuse(408, "the body took too long")
        except ClientDisconnect:
            return self._refuse(400, "the sender disconnected")

    def _refuse(self, status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
        self._refused(status_code)
        return refuse(status_code, error, headers)


def probe_answer(_request: Request) -> Response:
    """Answers OPTIONS, GET and HEAD, with which HeyGen checks an endpoint (heygen-api section 4)."""
    return Json({"status": "ready for webhooks"}, headers={"Allow": "POST, OPTIONS, GET, HEAD"})


def _headers(request: Request) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]


def sender_address(peer: str | None, forwarded: Sequence[str]) -> str | None:
    """The sender's address, taking X-Forwarded-For into account; None if unknown.

    Only a proxy on this machine is trusted (`peer` is None: through a unix socket), and only the last
    address, which that proxy added. The sender may have forged the others.
    """
    if peer is not None and not _is_loopback(peer):
        return peer
    last = ",".join(forwarded).rpartition(",")[2].strip()
    return last if _is_loopback(last) is not None else peer


def _is_loopback(text: str) -> bool | None:
    """None if `text` is not an IP address."""
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return None


def _client(request: Request) -> str | None:
    peer = request.client.host if request.client else None
    return sender_address(peer, request.headers.getlist("x-forwarded-for"))
