"""The three dialects' ways to say no, and the answers that no dialect ever meant."""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tracker.simulator.world import Order

Generation = Literal["v2", "v3"]
"""What retires together; v1's routes go with v2's."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """HeyGen says no; `kind` is how the counters name it."""

    def __init__(
        self, http_status: int, code: str, message: str, param: str | None = None, *, kind: str = "refused"
    ) -> None:
        super().__init__(message)
        self.http_status, self.code, self.message, self.param = http_status, code, message, param
        self.kind = kind


@dataclass(frozen=True)
class Dialect:
    """How one version of the API writes an error."""

    generation: Generation
    body: Callable[[Refusal], dict[str, Any]]

    def refuse(self, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
        told = {"X-Request-Id": request_id(), **(headers or {})}
        return JSONResponse(self.body(refusal), refusal.http_status, headers=told)


def _v2_body(refusal: Refusal) -> dict[str, Any]:
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    # As it was logged, an internal error has nothing more (heygen-api section 3).
    more = {} if refusal.code == "internal_error" else {"param": refusal.param, "doc_url": None}
    return {"data": None, "error": error | more}


def _v3_body(refusal: Refusal) -> dict[str, Any]:
    told = {"code": refusal.code, "message": refusal.message, "param": refusal.param, "doc_url": None}
    return {"error": told}


# v1 names its errors by numbers; only those of the key and of rate limits are well known.
_V1_CODES = {"unauthorized": 400112, "rate_limit_exceeded": 400141, "not_found": 400144}


def _v1_body(refusal: Refusal) -> dict[str, Any]:
    return {"code": _V1_CODES.get(refusal.code, 400140), "message": refusal.message, "data": None}


V1 = Dialect("v2", _v1_body)
V2 = Dialect("v2", _v2_body)
V3 = Dialect("v3", _v3_body)


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Language = Annotated[str, Field(min_length=1, max_length=100)]


class HeyGenBody(BaseModel):
    """A body of HeyGen's own routes: unknown fields are let through, for the real ones have many."""

    model_config = ConfigDict(strict=True)


class GenerateBody(HeyGenBody):
    """What may be said when a translation is generated from a proofread."""

    captions: bool = False
    translate_audio_only: bool = False
    callback_id: str | None = None
    callback_url: HttpUrl | None = None

    def order(self) -> Order:
        return Order(
            ("English",),  # which language a proofread is in, nobody told the look-alike
            callback_id=self.callback_id,
            callback_url=self.callback_url,
            caption=self.captions,
            translate_audio_only=self.translate_audio_only,
        )


_B = TypeVar("_B", bound=HeyGenBody)


async def read(request: Request, kind: type[_B]) -> _B:
    """The body of the request; raises Refusal when it is not of this kind."""
    try:
        return kind.model_validate_json(await request.body() or b"{}")
    except ValidationError as problem:
        first = problem.errors()[0]
        param = ".".join(map(str, first["loc"])) or None
        raise invalid(param, first["msg"].removeprefix("Value error, ")) from problem


def proofread_of(request: Request) -> str:
    """The proofread that the path names; any is known, but those that begin with "unknown"."""
    proofread_id: str = request.path_params["proofread_id"]
    if proofread_id.startswith("unknown") or not re.fullmatch(r"[A-Za-z0-9_-]+", proofread_id):
        raise Refusal(404, "not_found", "Proofread not found", kind="not_found")
    return proofread_id


def invalid(param: str | None, message: str) -> Refusal:
    return Refusal(400, "invalid_parameter", message, param)


def request_id() -> str:
    return secrets.token_hex(16)


@dataclass
class Pauses:
    """Waits that a stop cuts short: it must not wait for answers that are late on purpose."""

    stopping: asyncio.Event

    async def wait(self, seconds: float, leaving: asyncio.Task[None] | None = None) -> None:
        if seconds <= 0:
            return
        stopping = asyncio.create_task(_wait(self.stopping))
        waiting = {stopping} if leaving is None else {stopping, leaving}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def hang(self, request: Request, seconds: float) -> Response:
        """Says nothing until the client leaves, the simulator stops, or the time is over."""
        leaving = asyncio.create_task(_disconnected(request))
        try:
            await self.wait(seconds, leaving)
        finally:
            leaving.cancel()
        return HTMLResponse("<html><body><h1>504 Gateway Time-out</h1></body></html>", 504)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _disconnected(request: Request) -> None:
    try:
        await request.body()  # the first message is the (empty) body, the next one the farewell
    except ClientDisconnect:
        return
    await request.receive()
