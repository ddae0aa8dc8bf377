"""The routes under /simulator/: what really happened, and what shall happen from now on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tracker.simulator import bodies
from tracker.simulator.bodies import WrongBodyError, read
from tracker.simulator.clock import MovableClock
from tracker.simulator.delivery import iso
from tracker.simulator.endpoints import Endpoints
from tracker.simulator.events import Events
from tracker.simulator.faults import Oddities
from tracker.simulator.file_faults import Forced
from tracker.simulator.files import FileRoom
from tracker.simulator.request_handler import RequestHandler
from tracker.simulator.sender import Sender
from tracker.simulator.world import Order, Translation


@dataclass
class Control:
    """The control routes of one simulator."""

    desk: RequestHandler
    clock: MovableClock
    endpoints: Endpoints
    events: Events
    sender: Sender
    files: FileRoom

    def routes(self) -> list[BaseRoute]:
        ways: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "truth", self.truth),
            ("GET", "endpoints", self.list_endpoints),
            ("PUT", "webhook", self.set_webhook),
            ("PUT", "keys", self.set_keys),
            ("PUT", "faults", self.set_faults),
            ("PUT", "file-faults", self.set_file_faults),
            ("PUT", "oddities", self.set_oddities),
            ("PUT", "events", self.set_events),
            ("PUT", "retirement", self.set_retirement),
            ("POST", "clock", self.advance),
            ("POST", "revocations", self.revoke),
            ("POST", "translations", self.create),
            ("POST", "deliveries", self.deliver),
        ]
        return [Route(f"/simulator/{name}", work, methods=[method]) for method, name, work in ways]

    async def truth(self, request: Request) -> Response:
        if self.sender.failure is not None:
            # A truth without its webhooks would make a tracker look wrong.
            return JSONResponse({"error": f"the webhook sender died: {self.sender.failure!r}"}, 500)
        translations = self.desk.world.all()
        if self.desk.world.scenario.serve_files:  # the digests of all files may take a while
            await asyncio.to_thread(lambda: [self._files_of(one) for one in translations])
        return JSONResponse(
            {
                "now": iso(self.clock()),
                "translations": [self._truth_of(one) for one in translations],
                "other_deliveries": [delivery.as_dict() for delivery in self.sender.other_deliveries()],
                "requests": self.desk.requests.as_dict(),
            }
        )

    def _truth_of(self, translation: Translation) -> dict[str, Any]:
        now = self.clock()
        deliveries = self.sender.deliveries_of(translation.video_translate_id)
        return {
            "video_translate_id": translation.video_translate_id,
            "callback_id": translation.order.callback_id,
            "title": translation.order.title,
            "output_language": translation.output_language,
            "status": translation.status(now),
            "created_at": iso(translation.created_at),
            "running_at": iso(translation.running_at),
            "finished_at": iso(translation.finished_at),
            "url_at": iso(translation.url_at),
            "url_ready": translation.url_ready(now),
            "message": translation.message,
            "fate": translation.fate.model_dump(),
            "deliveries": [delivery.as_dict() for delivery in deliveries],
            "files": self._files_of(translation),
        }

    def _files_of(self, translation: Translation) -> dict[str, Any]:
        if not self.desk.world.scenario.serve_files:
            return {}
        return {
            name: {"size": file.size, "sha256": file.sha256, "content_type": file.content_type}
            for name, file in self.files.contents(translation).items()
        }

    async def list_endpoints(self, request: Request) -> Response:
        return JSONResponse({"endpoints": [one.with_secret() for one in self.endpoints.all()]})

    async def set_webhook(self, request: Request) -> Response:
        self.endpoints.set_main((await read(request, bodies.WebhookBody)).endpoint())
        return JSONResponse({"url": self.endpoints.main.url if self.endpoints.main else None})

    async def set_keys(self, request: Request) -> Response:
        self.desk.keys.valid = frozenset((await read(request, bodies.KeysBody)).keys)
        return JSONResponse({"count": len(self.desk.keys.valid)})

    async def set_faults(self, request: Request) -> Response:
        body = await read(request, bodies.FaultsBody)
        faults = self.desk.faults
        faults.force(body.answer, body.retry_after, body.routes)
        routes = sorted(faults.routes)
        return JSONResponse({"answer": body.answer, "retry_after": body.retry_after, "routes": routes})

    async def set_file_faults(self, request: Request) -> Response:
        forced = await read(request, Forced)
        self.files.faults.force(forced)
        return JSONResponse(forced.model_dump())

    async def revoke(self, request: Request) -> Response:
        named = (await read(request, bodies.RevocationBody)).video_translate_id
        self.desk.world.links.revoke(named)
        return JSONResponse({"video_translate_id": named})

    async def set_oddities(self, request: Request) -> Response:
        self.desk.oddities = await read(request, Oddities)
        return JSONResponse(self.desk.oddities.model_dump(mode="json"))

    async def set_events(self, request: Request) -> Response:
        self.events.extra = (await read(request, bodies.EventsBody)).events
        return JSONResponse({"count": len(self.events.extra)})

    async def set_retirement(self, request: Request) -> Response:
        retirement = self.desk.retirement
        retirement.said |= (await read(request, bodies.RetirementBody)).said()
        return JSONResponse({"v2": retirement.answer("v2"), "v3": retirement.answer("v3")})

    async def advance(self, request: Request) -> Response:
        self.clock.advance((await read(request, bodies.ClockBody)).advance_seconds)
        return JSONResponse({"now": iso(self.clock())})

    async def create(self, request: Request) -> Response:
        body = await read(request, bodies.TranslationsBody)
        prefix, languages = body.callback_id_prefix, (body.output_language,)
        orders = (
            Order(languages, body.title, None if prefix is None else f"{prefix}{number}")
            for number in range(body.count)
        )
        ids = [made.video_translate_id for order in orders for made in self.desk.create(order)]
        return JSONResponse({"ids": ids})

    async def deliver(self, request: Request) -> Response:
        body = await read(request, bodies.DeliveryBody)
        if (body.event is None) == (body.body is None):
            raise WrongBodyError("body: either event or body is required")
        endpoint = body.endpoint(self.endpoints.main)
        if endpoint is None:
            raise WrongBodyError("url: required, because no endpoint is registered")
        delivery = await self.sender.send_now(body.as_event(), endpoint, body.headers)
        return JSONResponse({"delivery": delivery.as_dict()})
