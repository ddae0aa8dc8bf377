"""The files of finished translations, as a host behind CloudFront or S3 serves them (RFC 9110)."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from tracker.simulator.content import KINDS, Content, content_of
from tracker.simulator.file_faults import OF_BODIES, FileFaults, Forced
from tracker.simulator.links import FILES
from tracker.simulator.request_handler import RequestHandler
from tracker.simulator.world import Translation

SECRETS = ("x-api-key", "authorization", "cookie")
TURNS = 10  # a second, in which a slow body comes
PROMISED_TOO_MUCH = 1000
REASONS = {"404": "NoSuchKey", "403": "AccessDenied"}


@dataclass
class FileRoom:
    """The routes of the files. `connections` are those of the server, so that one can be broken off."""

    desk: RequestHandler
    faults: FileFaults
    connections: Callable[[], Iterable[Any]] = field(default=tuple)

    def routes(self) -> list[BaseRoute]:
        return [Route(f"{FILES}/{{video_translate_id}}/{{name}}", self.serve, methods=["GET", "HEAD"])]

    def contents(self, translation: Translation) -> dict[str, Content]:
        """Every file that this translation has in the end, by its name."""
        has = translation.fate.outcome == "success"
        names = [name for name in KINDS if has and (translation.order.caption or "caption" not in name)]
        return {name: content_of(self.desk.world.scenario, translation.index, name) for name in names}

    async def serve(self, request: Request) -> Response:
        requests, route = self.desk.requests, f"files.{request.method.lower()}"
        requests.by_route[route] += 1
        requests.files_with_secrets += any(name in request.headers for name in SECRETS)
        response, answer = await self._answer(request)
        requests.answers_by_route[route][answer] += 1
        return response

    async def _answer(self, request: Request) -> tuple[Response, str]:
        world, name = self.desk.world, request.path_params["name"]
        now = world.clock()
        translation = world.find(request.path_params["video_translate_id"])
        content = None if translation is None else self.contents(translation).get(name)
        if translation is None or content is None or not translation.url_ready(now):
            return _refusal(404), "not_found"
        refusal = world.links.refusal(translation.video_translate_id, name, request.query_params, now)
        if refusal is None and request.method == "HEAD" and world.scenario.link_expiry == "Amz":
            refusal = "unsigned"  # S3 signs the method too
        if refusal is not None:
            return _refusal(403), refusal
        forced = self.faults.next(has_body=request.method == "GET")
        broken = await self._broken(request, forced)
        if broken is not None:
            return broken, str(forced.answer)
        spoilt = forced.answer if forced.answer in {*OF_BODIES, "encoded"} else None
        return self._file(request, content, translation.finished_at, forced), spoilt or "ok"

    async def _broken(self, request: Request, forced: Forced) -> Response | None:
        """An answer without the file, if that is the fault."""
        match forced.answer:
            case "500" | "429":
                return Response(b"", int(forced.answer))
            case "refused":
                return _refusal(403)
            case "no_head" if request.method == "HEAD":
                return Response(b"", 405)
            case "hang":
                return await self.desk.pauses.hang(request, self.desk.world.scenario.hang_seconds)
            case "redirect" if forced.location is not None or "onward" not in request.query_params:
                return RedirectResponse(forced.location or f"{request.url}&onward=1", 302)
            case _:
                return None

    def _file(self, request: Request, content: Content, changed: datetime, forced: Forced) -> Response:
        headers = {
            "ETag": content.etag,
            "Last-Modified": format_datetime(changed.replace(microsecond=0), usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": content.content_type,
        }
        part = None if forced.answer == "no_range" else _range(request.headers, headers, content.size)
        if part is not None and part[0] >= part[1]:
            return Response(b"", 416, {"Content-Range": f"bytes */{content.size}"})
        first, end = part or (0, content.size)
        if part is not None:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{content.size}"
        if forced.answer == "encoded":
            headers["Content-Encoding"] = "gzip"
        if forced.answer != "chunked":
            more = PROMISED_TOO_MUCH if forced.answer == "short" else 0
            headers["Content-Length"] = str(end - first + more)
        status = 200 if part is None else 206
        if request.method == "HEAD":
            return Response(b"", status, headers)
        return StreamingResponse(self._body(request, content, first, end, forced), status, headers)

    async def _body(
        self, request: Request, content: Content, first: int, end: int, forced: Forced
    ) -> AsyncIterator[bytes]:
        if forced.answer == "broken":
            end = min(end, first + forced.after_bytes)
        usual = self.desk.world.scenario.file_bytes_per_second
        rate = forced.bytes_per_second if forced.answer == "slow" else usual
        for chunk in content.chunks(first, end):
            async for piece in self._paced(chunk, rate):
                self.desk.requests.file_bytes += len(piece)
                yield piece
        if forced.answer in ("broken", "short"):
            await self._break_off(request)

    async def _paced(self, chunk: bytes, rate: float | None) -> AsyncIterator[bytes]:
        size = len(chunk) if rate is None else max(1, int(rate / TURNS))
        for start in range(0, len(chunk), size):
            if rate is not None:
                await self.desk.pauses.wait(size / rate)
            yield chunk[start : start + size]

    async def _break_off(self, request: Request) -> None:
        """Ends the connection when what was sent is out, and not the answer."""
        mine = (one for one in self.connections() if one.client == tuple(request.scope["client"]))
        for protocol in islice(mine, 1):
            protocol.transport.close()
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _refusal(status: int) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{REASONS[str(status)]}</Code></Error>'
    return Response(body, status, media_type="application/xml")


def _range(asked: Mapping[str, str], headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """First byte and end of one range of bytes; None: all of the file. Empty: it cannot be satisfied."""
    condition = asked.get("if-range")
    if condition is not None and condition not in (headers["ETag"], headers["Last-Modified"]):
        return None
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked.get("range", ""), re.ASCII)
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1 if last else size, size)
