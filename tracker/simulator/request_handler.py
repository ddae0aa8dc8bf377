"""The way of every HeyGen request: is its version retired, is the key valid, what goes wrong, the work."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tracker.simulator.answers import V2, Dialect, Pauses, Refusal, request_id
from tracker.simulator.counters import Requests
from tracker.simulator.faults import Fault, FaultRoute, Faults, Oddities
from tracker.simulator.idempotency import Claim, Idempotency
from tracker.simulator.retirement import Retirement, retired_response
from tracker.simulator.world import Order, Translation, World

Work = Callable[[Request], Awaitable[Response]]
"""Answers as HeyGen would on a good day; raises Refusal."""


@dataclass
class Keys:
    """The API keys that are valid at the moment."""

    valid: frozenset[str]

    def accept(self, request: Request) -> bool:
        return request.headers.get("x-api-key") in self.valid


@dataclass(frozen=True)
class Call:
    """One of HeyGen's routes, as the counters and the faults know it."""

    name: str
    dialect: Dialect
    fault_route: FaultRoute
    idempotent: bool = False

    @property
    def changes(self) -> bool:
        return self.fault_route in ("create", "endpoints")


@dataclass
class RequestHandler:
    """What the dialects share, and the one way through it."""

    world: World
    keys: Keys
    faults: Faults
    requests: Requests
    retirement: Retirement
    idempotency: Idempotency
    pauses: Pauses
    on_created: Callable[[Translation], None]
    oddities: Oddities = field(default_factory=Oddities)

    def route(self, path: str, call: Call, work: Work, method: str = "GET") -> Route:
        async def answer(request: Request) -> Response:
            return await self._handle(request, call, work)

        return Route(path, answer, methods=[method])

    def create(self, order: Order) -> list[Translation]:
        """Raises OrderError; the sender follows what was made."""
        made = self.world.create(order)
        for translation in made:
            self.on_created(translation)
        return made

    async def _handle(self, request: Request, call: Call, work: Work) -> Response:
        self.requests.by_route[call.name] += 1
        self.requests.create_total += call.fault_route == "create"
        with self._in_flight(request, call):
            response = await self._answer(request, call, work)
        if call.dialect.generation == "v3":
            response.headers.setdefault("X-Request-Id", request_id())
        elif self.world.scenario.v2_deprecated:
            response.headers["Deprecation"] = "true"
        return response

    def _in_flight(self, request: Request, call: Call) -> AbstractContextManager[None]:
        one = request.path_params.get("video_translate_id")
        return nullcontext() if one is None else self.requests.status(one)

    async def _answer(self, request: Request, call: Call, work: Work) -> Response:
        retired = self.retirement.answer(call.dialect.generation)
        if retired is not None:
            self._count(call, "retired")
            return retired_response(retired, call.dialect.refuse(self.not_found(call.dialect)))
        await self.pauses.wait(self.faults.latency(call.fault_route))
        if not self.keys.accept(request):
            return await self._broken("unauthorized", request, call)
        claiming = self.idempotency.claim(request) if call.idempotent else nullcontext(Claim())
        try:
            with claiming as claim:
                return await self._perform(request, call, work, claim)
        except Refusal as refusal:
            self._count(call, refusal.kind)
            return call.dialect.refuse(refusal)

    async def _perform(self, request: Request, call: Call, work: Work, claim: Claim) -> Response:
        fault = self.faults.next(call.fault_route)
        works = fault in (None, "hang_after", "500_after") or (fault == "truncated" and not call.changes)
        if fault is not None and not works:
            return await self._broken(fault, request, call)
        if (response := claim.done) is None:
            response = await work(request)
            claim.keep(response)
        if fault is None:
            self._count(call, "ok")
            return response
        return await self._broken(fault, request, call, bytes(response.body))

    def _count(self, call: Call, answer: str) -> None:
        self.requests.answers_by_route[call.name][answer] += 1
        if call.fault_route == "status":
            self.requests.status_by_answer[answer] += 1

    async def _broken(
        self, fault: Fault, request: Request, call: Call, truth: bytes = b'{"data":'
    ) -> Response:
        self._count(call, fault)
        match fault:
            case "hang" | "hang_after":
                return await self.pauses.hang(request, self.world.scenario.hang_seconds)
            case "html":
                return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
            case "empty":
                return Response(b"", 200, media_type="application/json")
            case "truncated":
                return Response(truth[: len(truth) // 2], media_type="application/json")
            case "429":
                headers = {"Retry-After": str(self.faults.retry_after)}
                return call.dialect.refuse(Refusal(429, "rate_limit_exceeded", "Too many requests"), headers)
            case _:
                return call.dialect.refuse(self._refusal(fault, call))

    def _refusal(self, fault: Fault, call: Call) -> Refusal:
        match fault:
            case "unauthorized":
                return Refusal(401, "unauthorized", "Invalid API key")
            case "quota":
                return Refusal(429, "quota_exceeded", "Your plan's quota is used up")
            case "not_found":
                return self.not_found(call.dialect)
            case _:
                return Refusal(500, "internal_error", "Internal Server Error")

    def not_found(self, dialect: Dialect) -> Refusal:
        """What a dialect says of an unknown translation; v2's status is not on record."""
        if dialect is V2:
            status = self.world.scenario.unknown_id_http_status
            return Refusal(status, "internal_error", "Video translate not found", kind="not_found")
        return Refusal(404, "not_found", "Video translation not found", kind="not_found")

    def known(self, video_translate_id: str, dialect: Dialect) -> Translation:
        """Raises Refusal for an id that is unknown, or still is."""
        translation = self.world.find(video_translate_id)
        if translation is None or not translation.visible(self.world.clock()):
            raise self.not_found(dialect)
        return translation
