"""The admin listener: dashboard, JSON, metrics and health, for people of the house."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tracker.domain.limits import MAX_BODY_BYTES
from tracker.domain.links import Link, LinkKind
from tracker.domain.poller_state import PollerState
from tracker.domain.ports import Clock, Reader
from tracker.domain.record import Record
from tracker.domain.status import Attention, Status
from tracker.errors import InputError, TrackerError
from tracker.tracking.recorder import Recorder, poll_request, registration
from tracker.web.answers import RETRY_AFTER, Json, http_error, refuse, tracker_error
from tracker.web.event_stream import HEADERS, MEDIA_TYPE, EventStream
from tracker.web.guard import Guard
from tracker.web.live_updates import LiveUpdates
from tracker.web.openapi import openapi
from tracker.web.pages import SECURITY, live_script, render_dashboard

TICK_TOO_OLD = 30.0  # seconds
LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Admin:
    """What the admin pages are made of.

    `expose` gives /metrics' text and its content type, `link` a link of a translation that works.
    """

    reader: Reader
    tracker: Recorder
    clock: Clock
    poller: Callable[[], PollerState]
    expose: Callable[[], Awaitable[tuple[bytes, str]]]
    live_updates: LiveUpdates
    link: Callable[[int, LinkKind], Awaitable[Link]]

    async def dashboard(self, _request: Request) -> Response:
        rows = await self.reader.list_translations(newest_first=True, limit=50)
        flagged = await self.reader.list_translations(flagged=True, limit=50)
        page = render_dashboard(
            health=await self.reader.health(),
            rows=rows,
            flagged=flagged,
            poller=self.poller(),
            now=self.clock(),
        )
        return HTMLResponse(page, headers=SECURITY)

    async def script(self, _request: Request) -> Response:
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(live_script(), headers=headers, media_type="text/javascript")

    async def news(self, request: Request) -> Response:
        """Server-sent events; 503 where too many listen."""
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type=MEDIA_TYPE)
        if (stream := self.live_updates.join()) is None:
            error = f"live updates go to {self.live_updates.most} pages at most; close one or try again later"
            return refuse(503, error, RETRY_AFTER)
        return EventStream(self.live_updates, stream)

    async def list(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit"), "limit", default=100, least=1, most=LARGEST_PAGE)
        rows = await self.reader.list_translations(
            status=_word(query.get("status"), "status", [str(status) for status in Status]),
            attention=_word(query.get("attention"), "attention", [str(flag) for flag in Attention]),
            callback_id=query.get("callback_id"),
            after=_number(query.get("after"), "after", default=0, least=0, most=2**63 - 1),
            limit=limit,
        )
        return Json({"items": rows, "next": rows[-1]["id"] if len(rows) == limit else None})

    async def add(self, request: Request) -> Response:
        """One object, or a list of them; answers the rows: 201 where one of them is new."""
        wanted = await _json_body(request)
        items = wanted if isinstance(wanted, list) else [wanted]
        now = self.clock()
        recorded = await self.tracker.register([_registration(item, now) for item in items])
        rows = await self.reader.get([one.translation_id for one in recorded if one.translation_id])
        answer = {"items": rows} if isinstance(wanted, list) else rows[0]
        return Json(answer, 201 if any(one.is_new for one in recorded) else 200)

    async def show(self, request: Request) -> Response:
        row = await self._find(request)
        return Json({**row, "changes": await self.reader.list_changes(row["id"])})

    async def poll(self, request: Request) -> Response:
        """202: the poll is due now, and the next tick makes it."""
        row = await self._find(request)
        await self.tracker.record([Record(observation=poll_request(self.clock(), row["video_translate_id"]))])
        return Json(await self._find(request), 202)

    async def video(self, request: Request) -> Response:
        """302 to a file of HeyGen's; nobody may keep the way there, for it opens the file and ends."""
        kind = _word(request.query_params.get("kind"), "kind", [str(kind) for kind in LinkKind])
        row = await self._find(request)
        link = await self.link(row["id"], LinkKind(kind or LinkKind.VIDEO))
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return Response(
            status_code=302, headers=headers | {"Location": link.url}
        )  # as signed: no sign is quoted

    async def _find(self, request: Request) -> dict[str, Any]:
        name = request.path_params["video_translate_id"]
        if not (rows := await self.reader.find([name])):
            raise HTTPException(404, f"{name[:80]!r} is not tracked")
        return rows[0]

    async def metrics(self, _request: Request) -> Response:
        text, content_type = await self.expose()
        return Response(text, headers={"content-type": content_type})

    async def healthz(self, _request: Request) -> Response:
        return Json({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """200 while the database answers, its schema is ours, and the poller ticks."""
        state, problems = self.poller(), []
        try:
            await self.reader.check()
            database = "ok"
        except TrackerError as error:
            database = str(error)
            problems.append("database")
        age = (self.clock() - state.last_tick).total_seconds() if state.last_tick else None
        if age is None or age > TICK_TOO_OLD:
            problems.append("poller")
        polling = {"last_tick_age_seconds": age, **_polling(state)}
        body = {"status": "not ready" if problems else "ready", "problems": problems, "database": database}
        webhooks = {"delivery_rate": state.delivery_rate, "problems": state.webhook_problems}
        return Json({**body, "poller": polling, "webhooks": webhooks}, 503 if problems else 200)

    async def openapi(self, _request: Request) -> Response:
        return Json(openapi())


def create_admin_app(admin: Admin, *, token: Callable[[], str | None], any_host: bool) -> Starlette:
    """The app for people of the house. `any_host`: requests may name any Host (unix sockets, or a token)."""
    one = "/api/translations/{video_translate_id}"
    return Starlette(
        routes=[
            Route("/", admin.dashboard),
            Route("/live.js", admin.script),
            Route("/api/news", admin.news),
            Route("/api/translations", admin.list, methods=["GET"]),
            Route("/api/translations", admin.add, methods=["POST"]),
            Route(one, admin.show, methods=["GET"]),
            Route(f"{one}/poll", admin.poll, methods=["POST"]),
            Route(f"{one}/video", admin.video, methods=["GET"]),
            Route("/api/openapi.json", admin.openapi),
            Route("/metrics", admin.metrics),
            Route("/healthz", admin.healthz),
            Route("/readyz", admin.readyz),
        ],
        exception_handlers={HTTPException: http_error, TrackerError: tracker_error, Exception: _unexpected},
        middleware=[Middleware(Guard, token=token, any_host=any_host)],
        max_body_size=MAX_BODY_BYTES,
    )


def _polling(state: PollerState) -> dict[str, Any]:
    """How polling goes, for /readyz; times in seconds."""
    told: dict[str, Any] = {
        "state": "paused" if state.paused else "polling",
        "heygen_api": state.api,
        "mode": state.mode,
        "staleness_seconds": state.staleness,
        "max_staleness_seconds": state.promised,
    }
    if state.paused:
        told |= {"reason": state.paused, "until": state.until}
    if not state.knows_translations:
        told["account"] = "HeyGen knows none of the translations: is the API key of another account?"
    return told


def _unexpected(_request: Request, _error: Exception) -> Response:
    return refuse(500, "an unexpected error; the log tells more")


async def _json_body(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise InputError("the body is not JSON") from error


def _registration(item: Any, now: Any) -> Any:
    names = ("video_translate_id", "callback_id", "title")
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str | None) for name in names):
        raise InputError(f"send an object, or a list of objects, with text in: {', '.join(names)}")
    if strangers := sorted(item.keys() - set(names)):
        raise InputError(f"{strangers[0][:80]!r} cannot be set; an object may have: {', '.join(names)}")
    return registration(now, **item)


def _number(value: str | None, name: str, *, default: int, least: int, most: int) -> int:
    if value is None:
        return default
    number = int(value) if value.isdecimal() and value.isascii() and len(value) <= 19 else -1
    if not least <= number <= most:
        raise InputError(f"{name}={value[:40]!r}: use a whole number from {least} to {most}")
    return number


def _word(value: str | None, name: str, words: list[str]) -> str | None:
    if value is not None and value not in words:
        raise InputError(f"{name}={value[:40]!r}: use one of {', '.join(words)}")
    return value
