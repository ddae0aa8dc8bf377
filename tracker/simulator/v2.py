"""HeyGen's v2 dialect of the world: create translations, ask for a status (heygen-api sections 1-3)."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tracker.simulator.faults import Fault, Faults, Requests
from tracker.simulator.world import Order, OrderError, Translation, World

Answer = Fault | Literal["ok"]


@dataclass
class Keys:
    """The API keys that are valid at the moment."""

    valid: frozenset[str]

    def accept(self, request: Request) -> bool:
        return request.headers.get("x-api-key") in self.valid


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Language = Annotated[str, Field(min_length=1, max_length=100)]


class _CreateBody(BaseModel):
    # Unknown fields are let through: the real body has many that change nothing here.
    model_config = ConfigDict(strict=True)

    video_url: HttpUrl
    output_language: Language | None = None
    output_languages: list[Language] | None = Field(default=None, min_length=1)
    title: str | None = None
    callback_id: str | None = None
    callback_url: HttpUrl | None = None
    caption: bool = False

    @model_validator(mode="after")
    def _one_way_to_name_languages(self) -> Self:
        if (self.output_language is None) == (self.output_languages is None):
            raise ValueError("either output_language or output_languages is required")
        return self

    def order(self) -> Order:
        one = (self.output_language,) if self.output_language is not None else ()
        languages = (*one, *(self.output_languages or ()))
        return Order(languages, self.title, self.callback_id, self.callback_url, self.caption)


@dataclass
class V2:
    """The routes of v2 over one world; v3 would be another such class over the same one."""

    world: World
    keys: Keys
    faults: Faults
    requests: Requests
    stopping: asyncio.Event
    on_created: Callable[[Translation], None]

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v2/video_translate", self.create, methods=["POST"]),
            Route("/v2/video_translate/{video_translate_id}", self.status, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        self.requests.create_total += 1
        if not self.keys.accept(request):
            return _unauthorized()
        try:
            body = _CreateBody.model_validate_json(await request.body())
            made = self.world.create(body.order())
        except ValidationError as problem:
            first = problem.errors()[0]
            return _refused(".".join(map(str, first["loc"])) or None, first["msg"])
        except OrderError as problem:
            return _refused(problem.param, str(problem))
        for translation in made:
            self.on_created(translation)
        ids = [translation.video_translate_id for translation in made]
        data = (
            {"video_translate_id": ids[0]} if body.output_languages is None else {"video_translate_ids": ids}
        )
        return JSONResponse({"error": None, "data": data})

    async def status(self, request: Request) -> Response:
        video_translate_id = request.path_params["video_translate_id"]
        with self.requests.status(video_translate_id):
            await self._interruptible(self.faults.latency())
            translation = self.world.find(video_translate_id)
            answer = self._choose(request, translation)
            self.requests.status_by_answer[answer] += 1
            return await self._answer(answer, request, translation)

    def _choose(self, request: Request, translation: Translation | None) -> Answer:
        if not self.keys.accept(request):
            return "unauthorized"
        fault = self.faults.next()
        known = translation is not None and translation.visible(self.world.clock())
        if not known and fault in (None, "truncated"):  # there is no truth to cut in two
            return "not_found"
        return fault or "ok"

    async def _answer(self, answer: Answer, request: Request, translation: Translation | None) -> Response:
        match answer:
            case "hang":
                return await self._hang(request)
            case "429":
                return _rate_limited(self.faults.retry_after)
            case "unauthorized":
                return _unauthorized()
            case "500":
                return _error(500, "internal_error", "Internal Server Error")
            case "html":
                return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
            case "empty":
                return Response(b"", 200, media_type="application/json")
            case "ok" | "truncated" if translation is not None:
                return self._truth(translation, truncated=answer == "truncated")
            case _:
                return _error(
                    self.world.scenario.unknown_id_http_status, "internal_error", "Video translate not found"
                )

    def _truth(self, translation: Translation, *, truncated: bool) -> Response:
        text = json.dumps({"error": None, "data": self._data(translation)})
        return Response(text[: len(text) // 2] if truncated else text, media_type="application/json")

    def _data(self, translation: Translation) -> dict[str, Any]:
        now = self.world.clock()
        status = translation.status(now)
        data = {
            "video_translate_id": translation.video_translate_id,
            "title": translation.order.title,
            "status": status,
            "url": self.world.link(translation, now),
            "message": translation.message if status == "failed" else None,
            "callback_id": translation.order.callback_id,
        }
        # Only the published success example shows the language (heygen-api section 1).
        language = {"output_language": translation.output_language} if status == "success" else {}
        caption = self.world.caption_link(translation, now)
        return data | language | ({"caption_url": caption} if caption is not None else {})

    async def _hang(self, request: Request) -> Response:
        """Says nothing until the client leaves, the simulator stops, or hang_seconds are over."""
        leaving = asyncio.create_task(_disconnected(request))
        try:
            await self._interruptible(self.world.scenario.hang_seconds, leaving)
        finally:
            leaving.cancel()
        return HTMLResponse("<html><body><h1>504 Gateway Time-out</h1></body></html>", 504)

    async def _interruptible(self, seconds: float, leaving: asyncio.Task[None] | None = None) -> None:
        # A stop must not wait for answers that are late on purpose.
        if seconds <= 0:
            return
        stopping = asyncio.create_task(_wait(self.stopping))
        waiting = {stopping} if leaving is None else {stopping, leaving}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _disconnected(request: Request) -> None:
    try:
        await request.body()  # the first message is the (empty) body, the next one the farewell
    except ClientDisconnect:
        return
    await request.receive()


def _error(
    http_status: int, code: str, message: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    body = {"data": None, "error": {"code": code, "message": message, **more}}
    return JSONResponse(body, http_status, headers={"X-Request-Id": secrets.token_hex(16), **(headers or {})})


def _refused(param: str | None, message: str) -> Response:
    return _error(400, "invalid_parameter", message.removeprefix("Value error, "), param=param, doc_url=None)


def _rate_limited(retry_after: int) -> Response:
    headers = {"Retry-After": str(retry_after)}
    return _error(429, "rate_limit_exceeded", "Too many requests", headers=headers, param=None, doc_url=None)


def _unauthorized() -> Response:
    return _error(401, "unauthorized", "Invalid API key", param=None, doc_url=None)
