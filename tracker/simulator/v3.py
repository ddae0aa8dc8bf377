"""HeyGen's v3 dialect of the world: create, look at one, at many, at all (heygen-api section 2)."""

from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from tracker.simulator.answers import V3 as DIALECT
from tracker.simulator.answers import GenerateBody, HeyGenBody, HttpUrl, Language, invalid, proofread_of, read
from tracker.simulator.listing import Listing
from tracker.simulator.request_handler import Call, RequestHandler
from tracker.simulator.world import Order, OrderError, Status, Translation

STATUS = Call("v3.status", DIALECT, "status")
STATUSES = Call("v3.statuses", DIALECT, "statuses")
LIST = Call("v3.list", DIALECT, "list")
CREATE = Call("v3.create", DIALECT, "create", idempotent=True)
GENERATE = Call("v3.generate", DIALECT, "create", idempotent=True)

MOST_IDS = 100
UNKNOWN_WORD = "reticulating"

# The same four moments have other names in a bulk answer.
_WORDS: dict[Status, str] = {
    "pending": "pending",
    "running": "running",
    "success": "completed",
    "failed": "failed",
}
_BULK_WORDS = _WORDS | {"pending": "queued", "running": "processing"}


class _VideoUrl(HeyGenBody):
    type: Literal["url"]
    url: HttpUrl


class _Asset(HeyGenBody):
    type: Literal["asset_id"]
    asset_id: Annotated[str, Field(min_length=1)]


class _CreateBody(HeyGenBody):
    video: Annotated[_VideoUrl | _Asset, Field(discriminator="type")]
    output_languages: Annotated[list[Language], Field(min_length=1)]
    title: str | None = None
    callback_id: str | None = None
    callback_url: HttpUrl | None = None
    captions: bool = False
    translate_audio_only: bool = False

    def order(self) -> Order:
        return Order(
            tuple(self.output_languages),
            self.title,
            self.callback_id,
            self.callback_url,
            self.captions,
            self.translate_audio_only,
        )


class V3:
    """The routes of v3's video translations over one desk."""

    def __init__(self, desk: RequestHandler) -> None:
        self._desk = desk
        self._listing = Listing(desk, self._data)

    def routes(self) -> list[BaseRoute]:
        route, path = self._desk.route, "/v3/video-translations"
        return [
            route(path, CREATE, self.create, "POST"),
            route(path, LIST, self.page),
            route(f"{path}/statuses", STATUSES, self.statuses),
            route(f"{path}/proofreads/{{proofread_id}}/generate", GENERATE, self.generate, "POST"),
            route(f"{path}/{{video_translate_id}}", STATUS, self.status),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, _CreateBody)
        try:
            made = self._desk.create(body.order())
        except OrderError as problem:
            raise invalid(problem.param, str(problem)) from problem
        return _ok({"video_translation_ids": [translation.video_translate_id for translation in made]})

    async def generate(self, request: Request) -> Response:
        proofread_of(request)
        (made,) = self._desk.create((await read(request, GenerateBody)).order())
        return _ok({"video_translation_id": made.video_translate_id, "status": "processing"})

    async def page(self, request: Request) -> Response:
        return JSONResponse(self._listing.page(request))

    async def status(self, request: Request) -> Response:
        return _ok(self._data(self._desk.known(request.path_params["video_translate_id"], DIALECT)))

    async def statuses(self, request: Request) -> Response:
        ids = _ids(request)
        self._desk.requests.statuses(ids)
        odd = self._desk.oddities
        if odd.statuses_refused or not ids or len(ids) > MOST_IDS:
            raise invalid("video_translation_ids", f"between 1 and {MOST_IDS} ids are required")
        found = [entry for index, one in enumerate(ids) for entry in self._entries(one, index)]
        again = "the-same-again" if odd.statuses_repeat_token else None
        return JSONResponse({"data": found, "has_more": again is not None, "next_token": again})

    def _entries(self, video_translate_id: str, index: int) -> list[dict[str, Any]]:
        """One, unless the id was made odd."""
        odd = self._desk.oddities
        if video_translate_id in odd.statuses_missing:
            return []
        entry = self._entry(video_translate_id, index)
        if video_translate_id in odd.statuses_unknown_word:
            entry |= {"status": UNKNOWN_WORD}
        if video_translate_id in odd.statuses_null_id:
            entry |= {"video_id": None}
        return [entry, entry] if video_translate_id in odd.statuses_doubled else [entry]

    def _entry(self, video_translate_id: str, index: int) -> dict[str, Any]:
        translation, now = self._desk.world.find(video_translate_id), self._desk.world.clock()
        if translation is None or not translation.visible(now):
            status, error = "not_found", None
        else:
            status = _BULK_WORDS[translation.status(now)]
            reason = {"code": "translation_failed", "message": translation.message}
            error = reason if status == "failed" else None
        shared = {"batch_id": None, "item_index": index}
        return {"status": status, "video_id": video_translate_id, **shared, "error": error}

    def _data(self, translation: Translation) -> dict[str, Any]:
        world, order = self._desk.world, translation.order
        now = world.clock()
        status = translation.status(now)
        ready = translation.url_ready(now)
        data: dict[str, Any] = {
            "id": translation.video_translate_id,
            "status": _WORDS[status],
            "title": order.title,
            "output_language": translation.output_language,
            "input_language": None,
            "duration": _duration(translation) if ready else None,
            "translate_audio_only": order.translate_audio_only,
            "video_url": world.link(translation, now),
            "audio_url": world.file_link(translation, "audio.mp3", now),
            "callback_id": order.callback_id,
            "created_at": int(translation.created_at.timestamp()),
        }
        if order.caption:
            for kind in ("srt", "vtt"):
                data[f"{kind}_caption_url"] = world.caption_link(translation, now, f"caption.{kind}")
        return data | ({"failure_message": translation.message} if status == "failed" else {})


def _duration(translation: Translation) -> float:
    """Seconds of the source video; any will do, but always the same."""
    return 30.0 + translation.index % 270


def _ids(request: Request) -> list[str]:
    given = ",".join(request.query_params.getlist("video_translation_ids"))
    return [one for one in given.split(",") if one]


def _ok(data: dict[str, Any]) -> Response:
    return JSONResponse({"data": data})
