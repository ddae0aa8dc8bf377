"""The routes under /simulator/: what really happened, and what shall happen from now on."""

import json
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tracker.simulator.delivery import Endpoint, Event, SignatureHeader, iso
from tracker.simulator.faults import Fault, Faults, Requests
from tracker.simulator.sender import Sender
from tracker.simulator.v2 import HttpUrl, Keys
from tracker.simulator.world import Translation, World


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _WebhookBody(_Body):
    url: HttpUrl | None
    secret: str | None = None
    name: str = "main"
    signature_header: SignatureHeader = "Signature"
    event_headers: bool = False

    def endpoint(self) -> Endpoint | None:
        if self.url is None:
            return None
        return Endpoint(self.url, self.secret, self.name, self.signature_header, self.event_headers)


class _KeysBody(_Body):
    keys: list[str]


class _FaultsBody(_Body):
    answer: Fault | None
    retry_after: Annotated[int, Field(ge=0)] = 1


class _DeliveryBody(_Body):
    # One of the two: `body` is for what no event ever is, e.g. text that is not JSON.
    event: dict[str, Any] | None = None
    body: str | None = None
    url: HttpUrl | None = None
    secret: str | None = None
    signed: bool = True
    headers: dict[str, str] = {}

    def as_event(self) -> Event:
        event = self.event or {}
        data = event.get("event_data")
        named = data.get("video_translate_id") if isinstance(data, dict) else None
        text = json.dumps(event) if self.body is None else self.body
        return Event(
            event_id=secrets.token_hex(16),
            event_type=str(event.get("event_type", "")),
            video_translate_id=named if isinstance(named, str) else None,
            body=text.encode(errors="surrogatepass"),
        )

    def endpoint(self, registered: Endpoint | None) -> Endpoint | None:
        """The registered one, with what this body says differently."""
        url = self.url or (registered.url if registered else None)
        if url is None:
            return None
        base = registered or Endpoint(url)
        secret = (self.secret or base.secret) if self.signed else None
        return Endpoint(url, secret, base.name, base.signature_header, base.event_headers)


_B = TypeVar("_B", bound=_Body)


class _WrongBodyError(ValueError):
    """The body of a control request is not what the route takes."""


async def _read(request: Request, kind: type[_B]) -> _B:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as problem:
        first = problem.errors()[0]
        raise _WrongBodyError(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from problem


async def refuse(request: Request, error: Exception) -> Response:
    """The exception handler of wrong control bodies."""
    return JSONResponse({"error": str(error)}, 400)


EXCEPTION_HANDLERS = {_WrongBodyError: refuse}


@dataclass
class Control:
    """The control routes of one simulator."""

    world: World
    keys: Keys
    faults: Faults
    requests: Requests
    sender: Sender

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/simulator/truth", self.truth, methods=["GET"]),
            Route("/simulator/webhook", self.set_webhook, methods=["PUT"]),
            Route("/simulator/keys", self.set_keys, methods=["PUT"]),
            Route("/simulator/faults", self.set_faults, methods=["PUT"]),
            Route("/simulator/deliveries", self.deliver, methods=["POST"]),
        ]

    async def truth(self, request: Request) -> Response:
        if self.sender.failure is not None:
            # A truth without its webhooks would make a tracker look wrong.
            return JSONResponse({"error": f"the webhook sender died: {self.sender.failure!r}"}, 500)
        known = {one.video_translate_id for one in self.world.all()}
        others = [d.as_dict() for d in self.sender.deliveries if d.event.video_translate_id not in known]
        return JSONResponse(
            {
                "now": iso(self.world.clock()),
                "translations": [self._truth_of(one) for one in self.world.all()],
                "other_deliveries": others,
                "requests": self.requests.as_dict(),
            }
        )

    def _truth_of(self, translation: Translation) -> dict[str, Any]:
        now = self.world.clock()
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
        }

    async def set_webhook(self, request: Request) -> Response:
        self.sender.endpoint = (await _read(request, _WebhookBody)).endpoint()
        return JSONResponse({"url": self.sender.endpoint.url if self.sender.endpoint else None})

    async def set_keys(self, request: Request) -> Response:
        self.keys.valid = frozenset((await _read(request, _KeysBody)).keys)
        return JSONResponse({"count": len(self.keys.valid)})

    async def set_faults(self, request: Request) -> Response:
        body = await _read(request, _FaultsBody)
        self.faults.force(body.answer, body.retry_after)
        return JSONResponse({"answer": body.answer, "retry_after": body.retry_after})

    async def deliver(self, request: Request) -> Response:
        body = await _read(request, _DeliveryBody)
        if (body.event is None) == (body.body is None):
            raise _WrongBodyError("body: either event or body is required")
        endpoint = body.endpoint(self.sender.endpoint)
        if endpoint is None:
            raise _WrongBodyError("url: required, because no endpoint is registered")
        delivery = await self.sender.send_now(body.as_event(), endpoint, body.headers)
        return JSONResponse({"delivery": delivery.as_dict()})
