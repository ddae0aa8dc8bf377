"""Puts one simulator together: the world, its routes, and the sender that lives as long as the app."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette

from tracker.simulator.control import EXCEPTION_HANDLERS, Control
from tracker.simulator.delivery import Endpoint
from tracker.simulator.faults import Faults, Requests
from tracker.simulator.scenario import Scenario
from tracker.simulator.sender import ANSWER_SECONDS, Sender
from tracker.simulator.v2 import V2, Keys
from tracker.simulator.world import Clock, World

DEFAULT_KEY = "simulator-key"
MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Simulator:
    """What the running app is made of; it is found as `app.state.simulator`."""

    world: World
    sender: Sender
    stopping: asyncio.Event


def create_app(
    scenario: Scenario,
    *,
    keys: Sequence[str] = (DEFAULT_KEY,),
    endpoint: Endpoint | None = None,
    clock: Clock | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> Starlette:
    """The look-alike as an ASGI app; it needs its lifespan to run, for the webhooks.

    `endpoint` is the webhook endpoint registered from the start, `answer_seconds` how long a receiver
    may take to answer.
    """
    world = World(scenario, clock or steady_clock())
    sender = Sender(world, endpoint, answer_seconds=answer_seconds)
    accepted, faults, requests = Keys(frozenset(keys)), Faults(scenario), Requests()
    stopping = asyncio.Event()
    v2 = V2(world, accepted, faults, requests, stopping, on_created=sender.follow)
    control = Control(world, accepted, faults, requests, sender)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with sender:
            yield

    app = Starlette(
        routes=[*v2.routes(), *control.routes()],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.simulator = Simulator(world, sender, stopping)
    return app


def steady_clock() -> Clock:
    """The wall clock of now, carried on by the monotonic one, so that no timeline ever jumps."""
    started_at, zero = datetime.now(UTC), time.monotonic()
    return lambda: started_at + timedelta(seconds=time.monotonic() - zero)
