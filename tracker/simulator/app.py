"""Puts one simulator together: the world, its routes, and the sender that lives as long as the app."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette

from tracker.domain.limits import MAX_BODY_BYTES
from tracker.simulator.answers import Pauses
from tracker.simulator.bodies import EXCEPTION_HANDLERS
from tracker.simulator.clock import MovableClock, steady_clock
from tracker.simulator.control import Control
from tracker.simulator.counters import Requests
from tracker.simulator.delivery import Endpoint, SignatureHeader
from tracker.simulator.endpoints import Endpoints
from tracker.simulator.events import EventLog, Events
from tracker.simulator.faults import Faults
from tracker.simulator.file_faults import FileFaults
from tracker.simulator.files import FileRoom
from tracker.simulator.idempotency import Idempotency
from tracker.simulator.request_handler import Keys, RequestHandler
from tracker.simulator.retirement import Retirement
from tracker.simulator.scenario import Scenario
from tracker.simulator.sender import ANSWER_SECONDS, Sender
from tracker.simulator.v2 import V2
from tracker.simulator.v3 import V3
from tracker.simulator.webhooks import Webhooks
from tracker.simulator.world import Clock, World

DEFAULT_KEY = "simulator-key"


@dataclass(frozen=True)
class Simulator:
    """What the running app is made of; it is found as `app.state.simulator`."""

    world: World
    sender: Sender
    stopping: asyncio.Event
    files: FileRoom


def create_app(
    scenario: Scenario,
    *,
    keys: Sequence[str] = (DEFAULT_KEY,),
    endpoint: Endpoint | None = None,
    clock: Clock | None = None,
    answer_seconds: float = ANSWER_SECONDS,
    signature_header: SignatureHeader = "Signature",
) -> Starlette:
    """The look-alike as an ASGI app; it needs its lifespan to run, for the webhooks.

    `endpoint` is the webhook endpoint registered from the start, `answer_seconds` how long a receiver
    may take to answer, `signature_header` what endpoints that are registered later are signed with.
    """
    movable, stopping = MovableClock(clock or steady_clock()), asyncio.Event()
    world = World(scenario, movable)
    endpoints, events = Endpoints(movable, endpoint, signature_header), Events(world)
    sender = Sender(world, movable, endpoints, events, answer_seconds=answer_seconds)
    desk = RequestHandler(
        world,
        Keys(frozenset(keys)),
        Faults(scenario),
        Requests(),
        Retirement(scenario, movable, world.started_at),
        Idempotency(movable),
        Pauses(stopping),
        on_created=sender.follow,
    )
    webhooks = Webhooks(desk, endpoints, sender.probe)
    files = FileRoom(desk, FileFaults(scenario))
    rooms = V2(desk), V3(desk), webhooks, EventLog(desk, events), files
    control = Control(desk, movable, endpoints, events, sender, files)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with sender:
            yield

    app = Starlette(
        routes=[route for room in (*rooms, control) for route in room.routes()],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.simulator = Simulator(world, sender, stopping, files)
    return app
