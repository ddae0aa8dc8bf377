"""Sends the webhooks: to the registered endpoint signed, to a request's callback_url unsigned."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from tracker.simulator.delivery import Delivery, Endpoint, Event, Target, signed_headers
from tracker.simulator.scenario import Fate
from tracker.simulator.world import Translation, World

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # a receiver that takes longer has failed (heygen-api section 4)
LONGEST_GAP_SECONDS = 24 * 3600.0

# httpx-aiohttp translates most of aiohttp's errors, not all. ValueError: a url nobody can connect to.
_UNREACHABLE = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Sender:
    """Follows each translation to its end and sends what its fate says; an async context manager.

    A task that dies of an error of our own is logged and handed to `on_death`, and `failure` keeps it.
    """

    def __init__(
        self,
        world: World,
        endpoint: Endpoint | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoint = endpoint
        self.deliveries: list[Delivery] = []
        self.failure: BaseException | None = None
        self.on_death = on_death
        self._world = world
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
        headers = signed_headers(endpoint, event, self._world.clock()) | extra_headers
        delivery = Delivery(event, "manual", endpoint.url, headers, "prompt")
        self.deliveries.append(delivery)
        await self._attempt(delivery)
        if delivery.state != "delivered":
            delivery.state = "gave_up"
        return delivery

    def deliveries_of(self, video_translate_id: str | None) -> list[Delivery]:
        return [one for one in self.deliveries if one.event.video_translate_id == video_translate_id]

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
        await self._until(translation.finished_at)
        fate = translation.fate
        deliveries = self._address(translation, self._event(translation))
        self.deliveries.extend(deliveries)
        if fate.webhook == "lost":
            for delivery in deliveries:
                delivery.state = "lost"
            return
        await self._hold_back(fate)
        for delivery in deliveries:
            self._spawn(self._deliver(delivery))

    def _event(self, translation: Translation) -> Event:
        now = self._world.clock()
        succeeded = translation.fate.outcome == "success"
        kind = "video_translate.success" if succeeded else "video_translate.fail"
        # A url that comes later is null here too: the webhook knows no more than the status endpoint.
        told = {"url": self._world.link(translation, now)} if succeeded else {"message": translation.message}
        data = {
            "video_translate_id": translation.video_translate_id,
            **told,
            "callback_id": translation.order.callback_id,
            "output_language": translation.output_language,
        }
        body = json.dumps({"event_type": kind, "event_data": data}).encode()
        event_id = hashlib.sha256(f"{translation.video_translate_id}:{kind}".encode()).hexdigest()[:32]
        return Event(event_id, kind, translation.video_translate_id, body)

    def _address(self, translation: Translation, event: Event) -> list[Delivery]:
        # Signed here, once: a retry after a rotation still carries the old secret's signature.
        copies = 2 if translation.fate.webhook == "doubled" else 1
        callback_url = translation.order.callback_url
        receivers: list[tuple[Target, Endpoint]] = []
        if self.endpoint is not None:
            receivers.append(("endpoint", self.endpoint))
        if callback_url is not None:
            receivers.append(("callback", Endpoint(callback_url)))
        now = self._world.clock()
        return [
            Delivery(event, target, to.url, signed_headers(to, event, now), translation.fate.webhook)
            for target, to in receivers
            for _ in range(copies)
        ]

    async def _hold_back(self, fate: Fate) -> None:
        if fate.webhook == "late":
            await self._until(self._world.clock() + timedelta(seconds=fate.late_seconds))
        elif fate.webhook == "reordered":
            await self._until_another_was_sent(fate.late_seconds)

    async def _until_another_was_sent(self, longest: float) -> None:
        another_sent = asyncio.Event()
        self._held_until_next.add(another_sent)
        try:
            async with asyncio.timeout(longest):
                await another_sent.wait()
        except TimeoutError:
            log.info("no other event came within %g s, so this one is not out of order", longest)
        finally:
            self._held_until_next.discard(another_sent)

    async def _deliver(self, delivery: Delivery) -> None:
        scenario = self._world.scenario
        gap = scenario.retry_seconds
        for _ in range(scenario.webhook_retries):
            await self._attempt(delivery)
            if delivery.state == "delivered":
                return
            await asyncio.sleep(gap)
            gap = min(2 * gap, LONGEST_GAP_SECONDS)
        await self._attempt(delivery)
        if delivery.state != "delivered":
            delivery.state = "gave_up"

    async def _attempt(self, delivery: Delivery) -> None:
        if self._client is None:
            raise RuntimeError("the sender was not entered: run the app with its lifespan")
        delivery.state = "sending"
        delivery.attempts += 1
        delivery.last_sent_at = self._world.clock()
        delivery.first_sent_at = delivery.first_sent_at or delivery.last_sent_at
        delivery.last_status, delivery.last_error = await self._post(self._client, delivery)
        if delivery.last_status is not None and 200 <= delivery.last_status < 300:
            delivery.state, delivery.delivered_at = "delivered", self._world.clock()
        else:
            delivery.state = "waiting"
        for held in self._held_until_next:
            held.set()

    async def _post(self, client: httpx.AsyncClient, delivery: Delivery) -> tuple[int | None, str | None]:
        """The status of the answer, or what went wrong."""
        try:
            async with asyncio.timeout(self._answer_seconds):  # httpx has no total time-out
                answer = await client.post(
                    delivery.url, content=delivery.event.body, headers=delivery.headers
                )
        except _UNREACHABLE as problem:
            return None, f"{type(problem).__name__}: {problem}"
        return answer.status_code, None

    async def _until(self, moment: datetime) -> None:
        # In a loop, because a sleep may end a hair before the clock agrees; no event could tell us.
        while (left := (moment - self._world.clock()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
