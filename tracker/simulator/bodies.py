"""What the control routes take."""

import json
import secrets
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tracker.simulator.answers import Generation, HttpUrl
from tracker.simulator.delivery import Endpoint, Event, SignatureHeader
from tracker.simulator.faults import Fault, FaultRoute
from tracker.simulator.scenario import RetiredAnswer


class Body(BaseModel):
    # An unknown key is an error: a misspelt one would otherwise silently do nothing.
    model_config = ConfigDict(extra="forbid")


class WebhookBody(Body):
    url: HttpUrl | None
    secret: str | None = None
    name: str = "main"
    signature_header: SignatureHeader = "Signature"
    event_headers: bool = False

    def endpoint(self) -> Endpoint | None:
        if self.url is None:
            return None
        return Endpoint(self.url, self.secret, self.name, self.signature_header, self.event_headers)


class KeysBody(Body):
    keys: list[str]


class FaultsBody(Body):
    answer: Fault | None
    retry_after: Annotated[int, Field(ge=0)] = 1
    routes: list[FaultRoute] | None = None


class RetirementBody(Body):
    """What is not named stays as it is; null lets the version speak again."""

    v2: RetiredAnswer | None = None
    v3: RetiredAnswer | None = None

    def said(self) -> dict[Generation, RetiredAnswer | None]:
        named: dict[Generation, RetiredAnswer | None] = {"v2": self.v2, "v3": self.v3}
        return {name: answer for name, answer in named.items() if name in self.model_fields_set}


class ClockBody(Body):
    # Ten years: what is later than the year 9999 has no date.
    advance_seconds: Annotated[float, Field(ge=0, le=3650 * 86400, allow_inf_nan=False)]


class EventsBody(Body):
    """Entries to put in front of the event log, whatever they are; they replace those put there before."""

    events: list[Any]


class RevocationBody(Body):
    """Whose links cease to work; null: everybody's."""

    video_translate_id: str | None


class TranslationsBody(Body):
    count: Annotated[int, Field(ge=1, le=100_000)]
    title: str | None = None
    callback_id_prefix: str | None = None
    output_language: Annotated[str, Field(min_length=1)] = "es"


class DeliveryBody(Body):
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


_B = TypeVar("_B", bound=BaseModel)


class WrongBodyError(ValueError):
    """The body of a control request is not what the route takes."""


async def read(request: Request, kind: type[_B]) -> _B:
    """Raises WrongBodyError."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as problem:
        first = problem.errors()[0]
        raise WrongBodyError(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from problem


async def refuse(request: Request, error: Exception) -> Response:
    """The exception handler of wrong control bodies."""
    return JSONResponse({"error": str(error)}, 400)


EXCEPTION_HANDLERS = {WrongBodyError: refuse}
