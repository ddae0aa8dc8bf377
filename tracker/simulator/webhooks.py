"""HeyGen's routes about webhook endpoints: v3's, and v1's, which first knocks (heygen-api section 2)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from tracker.simulator.answers import V1, V3, HeyGenBody, HttpUrl, Refusal, read
from tracker.simulator.endpoints import Endpoints, EndpointStatus
from tracker.simulator.request_handler import Call, RequestHandler

ENDPOINTS = Call("endpoints", V3, "endpoints")
OLD_ENDPOINTS = Call("v1.endpoints", V1, "endpoints")

Probe = Callable[[str], Awaitable[bool]]
"""Whether a url answers OPTIONS in time with 2xx."""


class _AddBody(HeyGenBody):
    url: HttpUrl
    events: list[str] | None = None


class _ChangeBody(HeyGenBody):
    url: HttpUrl | None = None
    events: list[str] | None = None
    status: EndpointStatus | None = None


@dataclass
class Webhooks:
    """The routes of v3 and v1 over the same endpoints."""

    desk: RequestHandler
    endpoints: Endpoints
    probe: Probe

    def routes(self) -> list[BaseRoute]:
        path = "/v3/webhooks/endpoints"
        return [
            self.desk.route(path, ENDPOINTS, self.add, "POST"),
            self.desk.route(path, ENDPOINTS, self.show),
            self.desk.route(f"{path}/{{endpoint_id}}", ENDPOINTS, self.change, "PATCH"),
            self.desk.route(f"{path}/{{endpoint_id}}", ENDPOINTS, self.remove, "DELETE"),
            self.desk.route(f"{path}/{{endpoint_id}}/rotate-secret", ENDPOINTS, self.rotate, "POST"),
            self.desk.route("/v1/webhook/endpoint.add", OLD_ENDPOINTS, self.old_add, "POST"),
            self.desk.route("/v1/webhook/endpoint.list", OLD_ENDPOINTS, self.old_list),
            self.desk.route("/v1/webhook/endpoint.delete", OLD_ENDPOINTS, self.old_remove, "DELETE"),
        ]

    async def add(self, request: Request) -> Response:
        body = await read(request, _AddBody)
        return JSONResponse({"data": self.endpoints.add(body.url, body.events).with_secret()})

    async def show(self, request: Request) -> Response:
        shown = [one.as_dict() for one in self.endpoints.all()]
        return JSONResponse({"data": shown, "has_more": False, "next_token": None})

    async def change(self, request: Request) -> Response:
        found = self.endpoints.find(request.path_params["endpoint_id"])
        body = await read(request, _ChangeBody)
        if body.url is not None:
            self.endpoints.move(found.endpoint_id, body.url)
        if "events" in body.model_fields_set:
            found.events = body.events
        found.status = body.status or found.status
        return JSONResponse({"data": found.as_dict()})

    async def remove(self, request: Request) -> Response:
        endpoint_id = request.path_params["endpoint_id"]
        self.endpoints.remove(endpoint_id)
        return JSONResponse({"data": {"endpoint_id": endpoint_id}})

    async def rotate(self, request: Request) -> Response:
        rotated = self.endpoints.rotate(request.path_params["endpoint_id"])
        data = {"endpoint_id": rotated.endpoint_id, "secret": rotated.receiver.secret}
        return JSONResponse({"data": data})

    async def old_add(self, request: Request) -> Response:
        body = await read(request, _AddBody)
        if not await self.probe(body.url):
            raise Refusal(400, "endpoint_unreachable", f"{body.url} did not answer OPTIONS with 2xx in time")
        return _old(self.endpoints.add(body.url, body.events).with_secret())

    async def old_list(self, request: Request) -> Response:
        return _old([one.as_dict() for one in self.endpoints.all()])

    async def old_remove(self, request: Request) -> Response:
        self.endpoints.remove(request.query_params.get("endpoint_id", ""))
        return _old(None)


def _old(data: Any) -> Response:
    return JSONResponse({"code": 100, "data": data, "message": None})
