"""What HeyGen has to tell: the event at the end of each translation, and the log of all of them."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from tracker.simulator.answers import V3
from tracker.simulator.delivery import Event
from tracker.simulator.paging import Page, asked, cut
from tracker.simulator.request_handler import Call, RequestHandler
from tracker.simulator.world import Translation, World

EVENTS = Call("v3.events", V3, "events")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -(2**100)  # before the place of any translation


class Events:
    """The event of each translation, made once: the webhook and the log say the same words."""

    def __init__(self, world: World) -> None:
        self.extra: list[Any] = []
        """Entries of the log that somebody made up; they come before all others."""
        self._world = world
        self._made: dict[str, Event] = {}

    def of(self, translation: Translation) -> Event:
        made = self._made.get(translation.video_translate_id)
        if made is None:
            made = self._made[translation.video_translate_id] = self._make(translation)
        return made

    def _make(self, translation: Translation) -> Event:
        # As of the end, however late anyone asks: a url that came later is null here.
        link = self._world.link(translation, translation.finished_at)
        told = {"url": link} if translation.message is None else {"message": translation.message}
        data = {
            "video_translate_id": translation.video_translate_id,
            **told,
            "callback_id": translation.order.callback_id,
            "output_language": translation.output_language,
        }
        kind = event_type(translation)
        body = json.dumps({"event_type": kind, "event_data": data}).encode()
        event_id = hashlib.sha256(f"{translation.video_translate_id}:{kind}".encode()).hexdigest()[:32]
        return Event(event_id, kind, translation.video_translate_id, body)


def event_type(translation: Translation) -> str:
    return "video_translate.success" if translation.message is None else "video_translate.fail"


@dataclass(frozen=True)
class _Extra:
    place: int
    told: Any


@dataclass
class EventLog:
    """GET /v3/webhooks/events: all that HeyGen wanted to deliver, received by anyone or not."""

    desk: RequestHandler
    events: Events

    def routes(self) -> list[BaseRoute]:
        return [self.desk.route("/v3/webhooks/events", EVENTS, self.log)]

    async def log(self, request: Request) -> Response:
        wanted, kind = asked(request), request.query_params.get("event_type") or None
        newest = self.desk.oddities.events_order == "newest"
        extra = [_Extra(_FIRST + n, told) for n, told in enumerate(self.events.extra) if _is(told, kind)]
        ended = self._ended(kind)
        if newest:
            ended.reverse()
        entries: list[_Extra | Translation] = [*extra, *ended]
        page, next_token = cut(entries, partial(_place, newest=newest), wanted)
        return JSONResponse(Page([self._write(entry) for entry in page], next_token).as_dict())

    def _ended(self, kind: str | None) -> list[Translation]:
        world = self.desk.world
        complete = world.scenario.event_log_complete
        return [
            one
            for one in world.ended(world.clock())
            if (complete or one.fate.webhook != "lost") and kind in (None, event_type(one))
        ]

    def _write(self, entry: _Extra | Translation) -> Any:
        if isinstance(entry, _Extra):
            return entry.told
        event = self.events.of(entry)
        return {
            "event_id": event.event_id,
            **json.loads(event.body),
            "created_at": int(entry.finished_at.timestamp()),
        }


def _place(entry: _Extra | Translation, *, newest: bool) -> int:
    """By the time of the end, and by number where two end at once."""
    if isinstance(entry, _Extra):
        return entry.place
    moment = (entry.finished_at - _EPOCH) // timedelta(microseconds=1) * 2**32 + entry.index
    return -moment if newest else moment


def _is(told: Any, kind: str | None) -> bool:
    # What is malformed has no type that a filter could miss.
    named = told.get("event_type") if isinstance(told, dict) else None
    return kind is None or not isinstance(named, str) or named == kind
