"""Idempotency-Key: the same request twice is done once, and answered twice with the same words."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from tracker.simulator.answers import Refusal, invalid
from tracker.simulator.world import Clock

REMEMBERED = timedelta(hours=24)  # heygen-api section 2
_Place = tuple[str, str]
_KEY = re.compile(r"[A-Za-z0-9_\-:.]{1,255}")


@dataclass(frozen=True)
class _Done:
    status: int
    body: bytes
    at: datetime


@dataclass(frozen=True)
class Claim:
    """One request's right to do the work of its key."""

    keep: Callable[[Response], None] = lambda response: None
    """From now on this is the answer to the key."""
    done: Response | None = None
    """The answer, where another request did the work before."""


class Idempotency:
    """The keys of one simulator; refused requests leave no trace, so that they can be corrected."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done: dict[_Place, _Done] = {}
        self._in_flight: set[_Place] = set()

    @contextmanager
    def claim(self, request: Request) -> Iterator[Claim]:
        """Raises Refusal for a malformed key, and while the first request with this key is in flight."""
        key = request.headers.get("idempotency-key")
        if key is None:
            yield Claim()
            return
        if not _KEY.fullmatch(key):
            raise invalid("Idempotency-Key", "1 to 255 of A-Z a-z 0-9 _ - : .")
        place = (request.url.path, key)
        if place in self._in_flight:
            raise Refusal(409, "request_in_progress", "A request with this key is being processed")
        self._in_flight.add(place)
        try:
            # Kept at once: an answer that is lost afterwards was given all the same.
            yield Claim(partial(self._keep, place), self._remembered(place))
        finally:
            self._in_flight.discard(place)

    def _remembered(self, place: _Place) -> Response | None:
        done = self._done.get(place)
        if done is None or self._clock() >= done.at + REMEMBERED:
            return None
        return Response(done.body, done.status, media_type="application/json")

    def _keep(self, place: _Place, response: Response) -> None:
        self._done[place] = _Done(response.status_code, bytes(response.body), self._clock())
        self._in_flight.discard(place)
