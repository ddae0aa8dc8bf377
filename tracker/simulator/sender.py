"""Sends the webhooks: to the registered endpoints signed, to a request's callback_url unsigned."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from tracker.simulator.clock import MovableClock
from tracker.simulator.delivery import Delivery, Endpoint, Event, Target, signed_headers
from tracker.simulator.endpoints import Endpoints
from tracker.simulator.events import Events
from tracker.simulator.world import Translation, World

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # a receiver that takes longer has failed (heygen-api section 4)
LONGEST_GAP_SECONDS = 24 * 3600.0
PROBE_SECONDS = 1.0  # heygen-api section 2
AT_ONCE = 100  # a jump of the clock may end thousands of translations in one moment

# httpx-aiohttp translates most of aiohttp's errors, not all. ValueError: a url nobody can connect to.
_UNREACHABLE = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Sender:
    """Follows each translation to its end and sends what its fate says; an async context manager.

    A task that dies of an error of our own is logged and handed to `on_death`, and `failure` keeps it.
    """

    def __init__(
        self,
        world: World,
        clock: MovableClock,
        endpoints: Endpoints,
        events: Events,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self.failure: BaseException | None = None
        self.on_death = on_death
        self._world, self._clock = world, clock
        self._endpoints, self._events = endpoints, events
        self._deliveries: defaultdict[str | None, list[Delivery]] = defaultdict(list)
        self._first_attempts = 0
        self._places = asyncio.Semaphore(AT_ONCE)
        self._answer_seconds = answer_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_until_next: set[asyncio.Event] = set()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(trust_env=False), trust_env=False, timeout=self._answer_seconds
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # failures went to _ended already
        if self._client is not None:
            await self._client.aclose()

    def follow(self, translation: Translation) -> None:
        """From now on the events of this translation are sent when their time comes."""
        self._spawn(self._announce(translation))

    async def send_now(self, event: Event, endpoint: Endpoint, extra_headers: dict[str, str]) -> Delivery:
        """One attempt of an event that somebody made up."""
        headers = signed_headers(endpoint, event, self._clock()) | extra_headers
        delivery = Delivery(event, "manual", endpoint.url, headers, "prompt")
        self._deliveries[event.video_translate_id].append(delivery)
        await self._attempt(delivery)
        if delivery.state != "delivered":
            delivery.state = "gave_up"
        return delivery

    def deliveries_of(self, video_translate_id: str) -> list[Delivery]:
        return self._deliveries.get(video_translate_id, [])

    def other_deliveries(self) -> list[Delivery]:
        """Those about no translation of this world."""
        others = [about for about in self._deliveries if about is None or self._world.find(about) is None]
        return [delivery for about in others for delivery in self._deliveries[about]]

    async def probe(self, url: str) -> bool:
        """Whether the url answers OPTIONS with 2xx in a second."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return (await self._entered.options(url)).is_success
        except _UNREACHABLE:
            return False

    @property
    def _entered(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the sender was not entered: run the app with its lifespan")
        return self._client

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # asyncio itself keeps only a weak reference
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (failure := task.exception()) is None:
            return
        self.failure = failure
        log.critical("the webhook sender died", exc_info=failure)
        self.on_death()

    async def _announce(self, translation: Translation) -> None:
        await self._clock.until(translation.finished_at)
        deliveries = self._address(translation, self._events.of(translation))
        self._deliveries[translation.video_translate_id].extend(deliveries)
        if translation.fate.webhook == "lost":
            for delivery in deliveries:
                delivery.state = "lost"
            return
        await self._hold_back(translation)
        for delivery in deliveries:
            self._first_attempts += 1
            self._spawn(self._deliver(delivery))

    def _address(self, translation: Translation, event: Event) -> list[Delivery]:
        # Signed here, once: a retry after a rotation still carries the old secret's signature.
        copies = 2 if translation.fate.webhook == "doubled" else 1
        callback_url = translation.order.callback_url
        receivers: list[tuple[Target, str | None, Endpoint]] = [
            ("endpoint", one.endpoint_id, one.receiver) for one in self._endpoints.receivers(event.event_type)
        ]
        if callback_url is not None:
            receivers.append(("callback", None, Endpoint(callback_url)))
        now, fate = self._clock(), translation.fate.webhook
        return [
            Delivery(event, target, to.url, signed_headers(to, event, now), fate, endpoint_id)
            for target, endpoint_id, to in receivers
            for _ in range(copies)
        ]

    async def _hold_back(self, translation: Translation) -> None:
        fate = translation.fate
        until = translation.finished_at + timedelta(seconds=fate.late_seconds)
        if fate.webhook == "late":
            await self._clock.until(until)
        elif fate.webhook == "reordered":
            too_late = asyncio.create_task(self._clock.until(until))
            try:
                await self._until_another_was_sent(too_late)
            finally:
                too_late.cancel()

    async def _until_another_was_sent(self, too_late: asyncio.Task[None]) -> None:
        another_sent = asyncio.Event()
        self._held_until_next.add(another_sent)
        sent = asyncio.create_task(_wait(another_sent))
        try:
            await asyncio.wait({sent, too_late}, return_when=asyncio.FIRST_COMPLETED)
            # A jump of the clock makes events due together: those on their way still go first.
            await asyncio.sleep(0)
            if self._first_attempts:
                await sent
        finally:
            sent.cancel()
            self._held_until_next.discard(another_sent)

    async def _deliver(self, delivery: Delivery) -> None:
        scenario = self._world.scenario
        gap = scenario.retry_seconds
        await self._first_attempt(delivery)
        for _ in range(scenario.webhook_retries):
            if delivery.state == "delivered":
                return
            await self._clock.until(self._clock() + timedelta(seconds=gap))
            gap = min(2 * gap, LONGEST_GAP_SECONDS)
            await self._attempt(delivery)
        if delivery.state != "delivered":
            delivery.state = "gave_up"

    async def _first_attempt(self, delivery: Delivery) -> None:
        try:
            await self._attempt(delivery)
        finally:
            self._first_attempts -= 1

    async def _attempt(self, delivery: Delivery) -> None:
        async with self._places:
            await self._send(delivery)
        for held in self._held_until_next:
            held.set()

    async def _send(self, delivery: Delivery) -> None:
        delivery.state = "sending"
        delivery.attempts += 1
        delivery.last_sent_at = self._clock()
        delivery.first_sent_at = delivery.first_sent_at or delivery.last_sent_at
        delivery.last_status, delivery.last_error = await self._post(delivery)
        if delivery.last_status is not None and 200 <= delivery.last_status < 300:
            delivery.state, delivery.delivered_at = "delivered", self._clock()
        else:
            delivery.state = "waiting"

    async def _post(self, delivery: Delivery) -> tuple[int | None, str | None]:
        """The status of the answer, or what went wrong."""
        try:
            async with asyncio.timeout(self._answer_seconds):  # httpx has no total time-out
                answer = await self._entered.post(
                    delivery.url, content=delivery.event.body, headers=delivery.headers
                )
        except _UNREACHABLE as problem:
            return None, f"{type(problem).__name__}: {problem}"
        return answer.status_code, None


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
