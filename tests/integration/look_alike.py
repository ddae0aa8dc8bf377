"""A HeyGen look-alike over real sockets: clients on one side, a receiver of webhooks on the other."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx
import pytest

from tracker.simulator.app import create_app
from tracker.simulator.delivery import Endpoint
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running
from tracker.simulator.truth import FileTruth, TranslationTruth, Truth

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
    """A little server that takes webhooks; `answers` are used up first, then each answer is 200."""

    def __init__(self) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.answers: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.probe_answer = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/heygen"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.put(Received(self.path, httpx.Headers(dict(self.headers)), body))
                self._answer(200 if receiver.answers.empty() else receiver.answers.get())

            def do_OPTIONS(self) -> None:
                self._answer(receiver.probe_answer)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Says nothing."""

        return Handler

    def next(self) -> Received:
        return self.received.get(timeout=DEADLINE)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Start = Callable[..., SimulatorClient]


# Named apart from their functions, so that other modules of tests can import them.
@pytest.fixture(name="receiver")
def receiver_fixture() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(name="start")
def start_fixture(receiver: Receiver) -> Iterator[Start]:
    """Starts a simulator that reports to the receiver; stops it after the test."""
    with ExitStack() as stack:

        def begin(answer_seconds: float = 10, **scenario: object) -> SimulatorClient:
            endpoint = Endpoint(receiver.url, SECRET)
            quick = Scenario.model_validate({**QUICK, **scenario})
            app = create_app(quick, endpoint=endpoint, answer_seconds=answer_seconds)
            server: AbstractContextManager[str] = running(app)
            return stack.enter_context(SimulatorClient(stack.enter_context(server)))

        yield begin


def eventually(probe: Callable[[], T | None]) -> T:
    """Asks until there is an answer; the pause only spares the processor."""
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.02)):
        if (found := probe()) is not None:
            return found
        pause.wait(0.02)
    raise AssertionError("it did not happen")


def truth_when(client: SimulatorClient, wanted: Callable[[Truth], bool]) -> Truth:
    def look() -> Truth | None:
        truth = client.truth()
        return truth if wanted(truth) else None

    return eventually(look)


def settled(client: SimulatorClient) -> Truth:
    """The truth once no delivery is still to be sent."""

    def over(translation: TranslationTruth) -> bool:
        ends = ("delivered", "gave_up", "lost")
        return bool(translation.deliveries) and all(each.state in ends for each in translation.deliveries)

    return truth_when(client, lambda truth: all(over(each) for each in truth.translations))


def ask(client: SimulatorClient, video_translate_id: str, key: str = KEY["x-api-key"]) -> httpx.Response:
    """The status of a translation, in v2."""
    url = f"{client.base_url}/v2/video_translate/{video_translate_id}"
    return HTTP.get(url, headers={"x-api-key": key})


def post_v2(client: SimulatorClient, body: object) -> httpx.Response:
    return HTTP.post(f"{client.base_url}/v2/video_translate", json=body, headers=KEY)


def v1(client: SimulatorClient, method: str, name: str, **how: Any) -> httpx.Response:
    return HTTP.request(method, f"{client.base_url}/v1/webhook/endpoint.{name}", headers=KEY, **how)


def get(client: SimulatorClient, path: str, **query: object) -> httpx.Response:
    params = {key: str(value) for key, value in query.items()}
    return HTTP.get(f"{client.base_url}/v3{path}", params=params or None, headers=KEY)


def post(client: SimulatorClient, path: str, body: object, key: str | None = None) -> httpx.Response:
    headers = KEY if key is None else {**KEY, "Idempotency-Key": key}
    return HTTP.post(f"{client.base_url}/v3{path}", json=body, headers=headers)


def translation(client: SimulatorClient, video_translation_id: str) -> dict[str, Any]:
    """A translation in v3's words."""
    data: dict[str, Any] = get(client, f"/video-translations/{video_translation_id}").json()["data"]
    return data


def statuses(client: SimulatorClient, *ids: str) -> dict[str, Any]:
    path = "/video-translations/statuses"
    answer: dict[str, Any] = get(client, path, video_translation_ids=",".join(ids)).json()
    return answer


def listed(client: SimulatorClient, **query: object) -> dict[str, Any]:
    page: dict[str, Any] = get(client, "/video-translations", **query).json()
    return page


def made(client: SimulatorClient, **order: Any) -> str:
    (video_translate_id,) = client.create("es", **order)
    return video_translate_id


def link(client: SimulatorClient, video_translate_id: str, field: str = "url") -> str:
    url = ask(client, video_translate_id).json()["data"][field]
    assert isinstance(url, str)
    return url


def file_truth(client: SimulatorClient, video_translate_id: str, name: str = "original.mp4") -> FileTruth:
    return client.truth().of(video_translate_id).files[name]
