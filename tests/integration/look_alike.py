"""A HeyGen look-alike over real sockets: clients on one side, a receiver of webhooks on the other."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.simulator.app import create_app
from tracker.simulator.delivery import Endpoint
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running
from tracker.simulator.truth import FileTruth, Truth

SECRET = "whsec_of-the-test"
DEADLINE = 30.0  # of what takes a moment, on a machine that is busy with other tests
KEY = {"x-api-key": "simulator-key"}
HTTP = httpx.Client(trust_env=False)
"""One for all tests, because each new client costs 40 ms."""

QUICK: dict[str, Any] = {"pending_seconds": 0.05, "running_seconds": 0.05, "retry_seconds": 0.02}
SLOW: dict[str, Any] = {"pending_seconds": 100, "running_seconds": 100}
DONE: dict[str, Any] = {"pending_seconds": 0, "running_seconds": 0, "serve_files": True}
T = TypeVar("T")


class Received:
    """One webhook request as the receiver read it."""

    def __init__(self, path: str, headers: httpx.Headers, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body
        self.event: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}

    @property
    def video_translate_id(self) -> str:
        return str(self.event["event_data"]["video_translate_id"])


class Receiver:
    """Takes webhooks; `answers` are used up first, then each answer is 200."""

    def __init__(self) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.answers: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.probe_answer = 200
        self.url = ""

    async def answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=self.probe_answer)
        headers = httpx.Headers(request.headers.items())
        self.received.put(Received(request.url.path, headers, await request.body()))
        return Response(status_code=200 if self.answers.empty() else self.answers.get())

    def next(self) -> Received:
        return self.received.get(timeout=DEADLINE)


def eventually(probe: Callable[[], T | None]) -> T:
    """Asks until there is an answer; the pause only spares the processor."""
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.02)):
        if (found := probe()) is not None:
            return found
        pause.wait(0.02)
    raise AssertionError("it did not happen")


class LookAlike(SimulatorClient):
    """A client of the look-alike that also asks as HeyGen's clients do."""

    def ask(self, video_translate_id: str) -> httpx.Response:
        """The status of a translation, in v2."""
        return HTTP.get(f"{self.base_url}/v2/video_translate/{video_translate_id}", headers=KEY)

    def v1(self, method: str, name: str, **how: Any) -> httpx.Response:
        return HTTP.request(method, f"{self.base_url}/v1/webhook/endpoint.{name}", headers=KEY, **how)

    def post_v2(self, body: object, path: str = "") -> httpx.Response:
        return HTTP.post(f"{self.base_url}/v2/video_translate{path}", json=body, headers=KEY)

    def v3(self, method: str, path: str, **how: Any) -> httpx.Response:
        return HTTP.request(method, f"{self.base_url}/v3{path}", headers=KEY, **how)

    def get(self, path: str, **query: object) -> httpx.Response:
        return self.v3("GET", path, params={key: str(value) for key, value in query.items()} or None)

    def post(self, body: object, key: str | None = None) -> httpx.Response:
        """Creates translations, in v3."""
        headers = KEY if key is None else {**KEY, "Idempotency-Key": key}
        return HTTP.post(f"{self.base_url}/v3/video-translations", json=body, headers=headers)

    def translation(self, video_translation_id: str) -> Any:
        """A translation in v3's words."""
        return self.get(f"/video-translations/{video_translation_id}").json()["data"]

    def statuses(self, *ids: str) -> Any:
        return self.get("/video-translations/statuses", video_translation_ids=",".join(ids)).json()

    def page(self, path: str = "/video-translations", **query: object) -> Any:
        return self.get(path, **query).json()

    def truth_when(self, wanted: Callable[[Truth], bool]) -> Truth:
        def look() -> Truth | None:
            truth = self.truth()
            return truth if wanted(truth) else None

        return eventually(look)


Start = Callable[..., LookAlike]


# Named apart from their functions, so that other modules of tests can import them.
@pytest.fixture(name="receiver")
def receiver_fixture() -> Iterator[Receiver]:
    receiver = Receiver()
    app = create_app(Scenario())  # as a server only
    app.routes.insert(0, Route("/webhooks/heygen{rest:path}", receiver.answer, methods=["POST", "OPTIONS"]))
    with running(app) as url:
        receiver.url = f"{url}/webhooks/heygen"
        yield receiver


@pytest.fixture(name="start")
def start_fixture(receiver: Receiver) -> Iterator[Start]:
    """Starts a simulator that reports to the receiver; stops it after the test."""
    with ExitStack() as stack:

        def begin(**scenario: object) -> LookAlike:
            quick = Scenario.model_validate({**QUICK, **scenario})
            app = create_app(quick, endpoint=Endpoint(receiver.url, SECRET))
            return stack.enter_context(LookAlike(stack.enter_context(running(app))))

        yield begin


def made(client: SimulatorClient, **order: Any) -> str:
    (video_translate_id,) = client.create("es", **order)
    return video_translate_id


def link(client: SimulatorClient, video_translate_id: str, field: str = "url") -> str:
    answer = HTTP.get(f"{client.base_url}/v2/video_translate/{video_translate_id}", headers=KEY)
    return str(answer.json()["data"][field])


def file_truth(client: SimulatorClient, video_translate_id: str, name: str = "original.mp4") -> FileTruth:
    return client.truth().of(video_translate_id).files[name]
