"""HeyGen's v2 dialect of the world: create translations, ask for a status (heygen-api sections 1-3)."""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from tracker.simulator.answers import V2 as DIALECT
from tracker.simulator.answers import GenerateBody, HeyGenBody, HttpUrl, Language, invalid, proofread_of, read
from tracker.simulator.request_handler import Call, RequestHandler
from tracker.simulator.world import Order, OrderError, Translation

STATUS = Call("v2.status", DIALECT, "status")
CREATE = Call("v2.create", DIALECT, "create")
GENERATE = Call("v2.generate", DIALECT, "create")

WARNING = "This endpoint is deprecated, use /v3/video-translations."


class _CreateBody(HeyGenBody):
    video_url: HttpUrl
    output_language: Language | None = None
    output_languages: list[Language] | None = Field(default=None, min_length=1)
    title: str | None = None
    callback_id: str | None = None
    callback_url: HttpUrl | None = None
    caption: bool = False
    translate_audio_only: bool = False

    @model_validator(mode="after")
    def _one_way_to_name_languages(self) -> Self:
        if (self.output_language is None) == (self.output_languages is None):
            raise ValueError("either output_language or output_languages is required")
        return self

    def order(self) -> Order:
        one = (self.output_language,) if self.output_language is not None else ()
        return Order(
            (*one, *(self.output_languages or ())),
            self.title,
            self.callback_id,
            self.callback_url,
            self.caption,
            self.translate_audio_only,
        )


@dataclass
class V2:
    """The routes of v2 over one desk."""

    desk: RequestHandler

    def routes(self) -> list[BaseRoute]:
        route, path = self.desk.route, "/v2/video_translate"
        return [
            route(path, CREATE, self.create, "POST"),
            route(f"{path}/proofread/{{proofread_id}}/generate", GENERATE, self.generate, "POST"),
            route(f"{path}/{{video_translate_id}}", STATUS, self.status),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, _CreateBody)
        try:
            made = self.desk.create(body.order())
        except OrderError as problem:
            raise invalid(problem.param, str(problem)) from problem
        ids = [translation.video_translate_id for translation in made]
        one = body.output_languages is None
        return self._ok({"video_translate_id": ids[0]} if one else {"video_translate_ids": ids})

    async def generate(self, request: Request) -> Response:
        proofread_of(request)
        (made,) = self.desk.create((await read(request, GenerateBody)).order())
        return self._ok({"video_translate_id": made.video_translate_id})

    async def status(self, request: Request) -> Response:
        return self._ok(self._data(self.desk.known(request.path_params["video_translate_id"], DIALECT)))

    def _ok(self, data: dict[str, Any]) -> Response:
        warning = {"warning": WARNING} if self.desk.world.scenario.v2_deprecated else {}
        return JSONResponse({"error": None, "data": data} | warning)

    def _data(self, translation: Translation) -> dict[str, Any]:
        world = self.desk.world
        now = world.clock()
        status = translation.status(now)
        data = {
            "video_translate_id": translation.video_translate_id,
            "title": translation.order.title,
            "status": status,
            "url": world.link(translation, now),
            "message": translation.message if status == "failed" else None,
            "callback_id": translation.order.callback_id,
        }
        # Only the published success example shows the language (heygen-api section 1).
        language = {"output_language": translation.output_language} if status == "success" else {}
        caption = world.caption_link(translation, now)
        return data | language | ({"caption_url": caption} if caption is not None else {})
