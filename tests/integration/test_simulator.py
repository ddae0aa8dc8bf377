"""The simulator over real sockets: its own clients on one side, a receiver of webhooks on the other."""

import hashlib
import hmac
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx
import pytest

from tracker.cli.simulate import simulate
from tracker.errors import InputError, ListenError
from tracker.simulator.app import Simulator, create_app
from tracker.simulator.delivery import Endpoint
from tracker.simulator.faults import Fault
from tracker.simulator.remote import SimulatorClient, SimulatorError
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running
from tracker.simulator.truth import TranslationTruth, Truth

SECRET = "whsec_of-the-test"
DEADLINE = 5.0
T = TypeVar("T")

KEY = {"x-api-key": "simulator-key"}
HTTP = httpx.Client(trust_env=False)
"""One for all tests, because each new client costs 40 ms."""

QUICK: dict[str, Any] = {"pending_seconds": 0.05, "running_seconds": 0.05, "retry_seconds": 0.02}


class Received:
    """One webhook request as it came."""

    def __init__(self, path: str, headers: httpx.Headers, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body
        self.event: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}

    @property
    def video_translate_id(self) -> str:
        return str(self.event["event_data"]["video_translate_id"])


class Receiver:
    """A little server that takes webhooks; `answers` are used up first, then it is 200 for ever."""

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
                self.send_response(200 if receiver.answers.empty() else receiver.answers.get())
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_OPTIONS(self) -> None:
                self.send_response(receiver.probe_answer)
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
    with Receiver() as one:
        yield one


@pytest.fixture(name="start")
def start_fixture(receiver: Receiver) -> Iterator[Start]:
    """Starts a simulator that reports to the receiver; stops it at the end."""
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
    """The truth once every delivery has come to its end."""

    def over(translation: TranslationTruth) -> bool:
        ends = ("delivered", "gave_up", "lost")
        return bool(translation.deliveries) and all(one.state in ends for one in translation.deliveries)

    return truth_when(client, lambda truth: all(over(one) for one in truth.translations))


def ask(client: SimulatorClient, video_translate_id: str, key: str = "simulator-key") -> httpx.Response:
    url = f"{client.base_url}/v2/video_translate/{video_translate_id}"
    return HTTP.get(url, headers={"x-api-key": key})


def post(client: SimulatorClient, body: object) -> httpx.Response:
    url = f"{client.base_url}/v2/video_translate"
    return HTTP.post(url, json=body, headers=KEY)


def test_a_translation_goes_from_pending_to_success(start: Start) -> None:
    client = start(pending_seconds=0.3, running_seconds=0.3)
    (made,) = client.create("es", title="Holiday", callback_id="row-1", caption=True)
    seen: list[str] = []

    def finished() -> dict[str, Any] | None:
        body = ask(client, made).json()
        assert body["error"] is None
        seen.append(body["data"]["status"])
        return body["data"] if seen[-1] == "success" else None

    data = eventually(finished)
    assert list(dict.fromkeys(seen)) == ["pending", "running", "success"]
    assert (data["video_translate_id"], data["title"], data["callback_id"]) == (made, "Holiday", "row-1")
    assert data["output_language"] == "es"
    assert data["url"].startswith(f"https://resource2.heygen.ai/video_translate/{made}/original.mp4?")
    assert "/caption.ass?" in data["caption_url"]
    requests = client.truth().requests
    assert requests.status_by_id == {made: len(seen)}
    assert requests.status_by_answer == {"ok": len(seen)}


def test_a_failure_is_no_error_and_has_its_reason_in_the_message(start: Start) -> None:
    client = start(failure_rate=1)
    (made,) = client.create("es")
    truth = truth_when(client, lambda truth: truth.all_finished).of(made)
    body = ask(client, made).json()
    assert body["error"] is None
    assert body["data"]["status"] == truth.status == "failed"
    assert body["data"]["message"] == truth.message
    assert body["data"]["url"] is None
    assert "caption_url" not in body["data"]


def test_several_languages_share_one_callback_id(start: Start, receiver: Receiver) -> None:
    client = start()
    ids = client.create(["es", "ur_ur-PK"], callback_id="both")
    assert ids == [f"{ids[0][:32]}-es", f"{ids[0][:32]}-ur_ur-PK"]
    events = [receiver.next() for _ in ids]
    assert {one.video_translate_id for one in events} == set(ids)
    assert {one.event["event_data"]["callback_id"] for one in events} == {"both"}


@pytest.mark.parametrize("header", ["Signature", "Heygen-Signature"])
def test_a_webhook_is_signed_over_its_raw_body(start: Start, receiver: Receiver, header: Any) -> None:
    client = start()
    client.set_webhook(receiver.url, SECRET, signature_header=header, event_headers=True)
    (made,) = client.create("es", callback_id="row-1")
    event = receiver.next()
    assert event.headers[header] == hmac.new(SECRET.encode(), event.body, hashlib.sha256).hexdigest()
    assert {"heygen-event-id", "heygen-timestamp"} <= event.headers.keys()
    assert event.event["event_type"] == "video_translate.success"
    data = event.event["event_data"]
    assert data.keys() == {"video_translate_id", "url", "callback_id", "output_language"}
    assert (data["video_translate_id"], data["callback_id"]) == (made, "row-1")
    (delivery,) = settled(client).of(made).deliveries
    assert (delivery.target, delivery.state, delivery.attempts, delivery.last_status) == (
        "endpoint",
        "delivered",
        1,
        200,
    )


def test_the_failure_event_has_a_message_and_no_url(start: Start, receiver: Receiver) -> None:
    start(failure_rate=1).create("es")
    event = receiver.next().event
    assert event["event_type"] == "video_translate.fail"
    assert event["event_data"]["message"]
    assert "url" not in event["event_data"]


def test_the_callback_url_of_a_request_gets_an_unsigned_copy(start: Start, receiver: Receiver) -> None:
    start().create("es", callback_url=f"{receiver.url}/token")
    events = {event.path: event for event in (receiver.next(), receiver.next())}
    signed, unsigned = events["/webhooks/heygen"], events["/webhooks/heygen/token"]
    assert "Signature" in signed.headers
    assert not {"signature", "heygen-signature"} & unsigned.headers.keys()
    assert signed.body == unsigned.body


def test_fates_in_order_lost_doubled_and_prompt(start: Start, receiver: Receiver) -> None:
    client = start(fates=[{"webhook": "lost"}, {"webhook": "doubled"}, {"webhook": "prompt"}])
    ids = [client.create("es")[0] for _ in range(3)]
    truth = settled(client)
    assert [len(truth.of(made).deliveries) for made in ids] == [1, 2, 1]
    assert [one.state for one in truth.of(ids[0]).deliveries] == ["lost"]
    came = [receiver.next() for _ in range(3)]
    assert sorted(one.video_translate_id for one in came) == sorted([ids[1], ids[1], ids[2]])
    assert len({one.body for one in came if one.video_translate_id == ids[1]}) == 1
    assert receiver.received.empty()


def test_a_late_webhook_comes_well_after_the_end(start: Start, receiver: Receiver) -> None:
    client = start(webhook_late=1, late_seconds=0.2)
    (made,) = client.create("es")
    receiver.next()
    truth = settled(client).of(made)
    first_sent_at = truth.deliveries[0].first_sent_at
    assert first_sent_at is not None
    assert (first_sent_at - truth.finished_at).total_seconds() >= 0.2


def test_a_reordered_webhook_comes_after_that_of_a_later_translation(
    start: Start, receiver: Receiver
) -> None:
    client = start(fates=[{"webhook": "reordered"}, {"running_seconds": 0.3}], late_seconds=60)
    first, second = client.create("es")[0], client.create("es")[0]
    assert [receiver.next().video_translate_id for _ in range(2)] == [second, first]


def test_a_reordered_webhook_that_nothing_overtakes_is_sent_all_the_same(
    start: Start, receiver: Receiver
) -> None:
    (made,) = start(webhook_reordered=1, late_seconds=0.1).create("es")
    assert receiver.next().video_translate_id == made


def test_a_refused_webhook_is_tried_again_until_2xx(start: Start, receiver: Receiver) -> None:
    for answer in (503, 302, 204):
        receiver.answers.put(answer)
    client = start()
    (made,) = client.create("es")
    bodies = [receiver.next().body for _ in range(3)]
    (delivery,) = settled(client).of(made).deliveries
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 3, 204)
    assert len(set(bodies)) == 1


def test_attempts_run_out_when_nobody_listens(start: Start) -> None:
    client = start(webhook_retries=2)
    client.set_webhook("http://127.0.0.1:1/nobody", SECRET)
    (made,) = client.create("es")
    (delivery,) = settled(client).of(made).deliveries
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("gave_up", 3, None)
    assert delivery.last_error


def test_a_receiver_that_does_not_answer_in_time_has_failed(start: Start) -> None:
    client = start(answer_seconds=0.1, webhook_retries=0)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as mute:  # accepts, never reads
        client.set_webhook(f"http://127.0.0.1:{mute.server_port}/", SECRET)
        (made,) = client.create("es")
        (delivery,) = settled(client).of(made).deliveries
    assert delivery.state == "gave_up"
    assert "Timeout" in (delivery.last_error or "")


def test_a_url_that_comes_later_is_null_in_status_and_webhook(start: Start, receiver: Receiver) -> None:
    client = start(url_delay_rate=1, url_delay_seconds=0.5)
    (made,) = client.create("es")
    assert receiver.next().event["event_data"]["url"] is None
    first = ask(client, made).json()["data"]
    assert (first["status"], first["url"]) == ("success", None)
    truth_when(client, lambda truth: truth.of(made).url_ready)
    assert ask(client, made).json()["data"]["url"] is not None


@pytest.mark.parametrize("http_status", [404, 500])
def test_an_unknown_id_answers_as_it_was_logged(start: Start, http_status: int) -> None:
    answer = ask(start(unknown_id_http_status=http_status), "0" * 32)
    assert answer.status_code == http_status
    error = {"code": "internal_error", "message": "Video translate not found"}
    assert answer.json() == {"data": None, "error": error}


def test_a_new_id_may_be_unknown_at_first(start: Start) -> None:
    client = start(not_found_rate=1, not_found_seconds=0.3)
    (made,) = client.create("es")
    assert ask(client, made).status_code == 404
    eventually(lambda: ask(client, made).json()["data"])


def test_a_bad_key_is_refused_until_the_keys_change(start: Start) -> None:
    client = start()
    (made,) = client.create("es")
    refused = ask(client, made, key="other")
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "unauthorized"
    assert refused.headers["X-Request-Id"]
    client.set_keys(["other"])
    assert ask(client, made, key="other").status_code == 200
    assert ask(client, made).status_code == 401
    with pytest.raises(SimulatorError, match="HTTP 401"):
        client.create("es")


FAULTS: list[tuple[Fault, int, str]] = [
    ("500", 500, "application/json"),
    ("html", 502, "text/html; charset=utf-8"),
    ("empty", 200, "application/json"),
    ("truncated", 200, "application/json"),
    ("429", 429, "application/json"),
    ("not_found", 404, "application/json"),
    ("unauthorized", 401, "application/json"),
]


def test_a_forced_fault_is_answered_until_it_is_lifted(start: Start) -> None:
    client = start()
    (made,) = client.create("es")
    for fault, http_status, content_type in FAULTS:
        client.set_faults(fault, retry_after=2)
        answer = ask(client, made)
        assert (answer.status_code, answer.headers["content-type"]) == (http_status, content_type)
        assert answer.headers.get("retry-after") == ("2" if fault == "429" else None)
        if fault in ("empty", "truncated"):
            with pytest.raises(json.JSONDecodeError):
                answer.json()
    client.set_faults(None)
    assert ask(client, made).json()["error"] is None
    counted = client.truth().requests.status_by_answer
    assert counted == {"ok": 1} | {str(fault): 1 for fault, _, _ in FAULTS}


def test_two_questions_about_one_id_at_once_are_counted(start: Start) -> None:
    client = start(latency_seconds=0.2)
    (made,) = client.create("es")
    threads = [threading.Thread(target=ask, args=(client, made)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    requests = client.truth().requests
    assert (requests.status_overlaps, requests.status_in_flight_max) == (1, 2)


def test_a_sender_that_dies_stops_the_server_and_says_why() -> None:
    # Nothing can be signed with this secret, which stands for an error of our own.
    app = create_app(Scenario.model_validate(QUICK), endpoint=Endpoint("http://127.0.0.1:1/", "\ud800"))
    simulator: Simulator = app.state.simulator

    def run_until_it_dies() -> None:
        with running(app) as url, SimulatorClient(url) as client:
            client.create("es")
            eventually(lambda: simulator.sender.failure)

    with pytest.raises(UnicodeEncodeError):
        run_until_it_dies()


def test_a_client_that_gives_up_on_a_hung_answer_frees_it(start: Start) -> None:
    client = start(hang_seconds=60)
    (made,) = client.create("es")
    client.set_faults("hang")
    with pytest.raises(httpx.ReadTimeout):
        HTTP.get(f"{client.base_url}/v2/video_translate/{made}", headers=KEY, timeout=0.1)
    client.set_faults(None)
    assert ask(client, made).status_code == 200


def test_a_stop_does_not_wait_for_hung_answers() -> None:
    answers: queue.Queue[httpx.Response] = queue.Queue()
    with running(create_app(Scenario(hang_seconds=60))) as url, SimulatorClient(url) as client:
        client.set_faults("hang")
        hung = threading.Thread(target=lambda: answers.put(ask(client, "0" * 32)))
        hung.start()
        truth_when(client, lambda truth: truth.requests.status_by_answer == {"hang": 1})
    hung.join()
    assert answers.get(timeout=DEADLINE).status_code == 504


def test_chance_breaks_answers_and_counts_them(start: Start) -> None:
    client = start(error_rate=1, hang_seconds=0)
    (made,) = client.create("es")
    for _ in range(40):
        ask(client, made)
    assert client.truth().requests.status_by_answer.keys() == {
        "500",
        "html",
        "empty",
        "truncated",
        "429",
        "hang",
    }


WRONG: list[tuple[object, str]] = [
    ({"output_language": "es"}, "video_url"),
    ({"video_url": "ftp://x/y", "output_language": "es"}, "video_url"),
    ({"video_url": "https://x/y"}, "either output_language or"),
    (
        {"video_url": "https://x/y", "output_language": "es", "output_languages": ["fr"]},
        "either output_language",
    ),
    ({"video_url": "https://x/y", "output_languages": []}, "output_languages"),
    ({"video_url": "https://x/y", "output_languages": ["es", "es"]}, "twice"),
    ({"video_url": "https://x/y", "output_language": "es", "callback_id": 5}, "callback_id"),
    ([], "object"),
]


def test_a_wrong_request_is_a_400_and_creates_nothing(start: Start) -> None:
    client = start()
    for body, told in WRONG:
        answer = post(client, body)
        assert answer.status_code == 400
        assert told in json.dumps(answer.json()["error"])
    assert client.truth().translations == ()


def test_an_arbitrary_event_is_sent_now(start: Start, receiver: Receiver) -> None:
    client = start()
    event = {"event_type": "video_translate.success", "event_data": {"video_translate_id": "f" * 32}}
    receiver.answers.put(401)
    sent = client.deliver(event, secret="wrong", headers={"X-Extra": "1"})
    came = receiver.next()
    assert (sent.state, sent.last_status, sent.attempts) == ("gave_up", 401, 1)
    assert came.event == event
    assert came.headers["X-Extra"] == "1"
    assert came.headers["Signature"] == hmac.new(b"wrong", came.body, hashlib.sha256).hexdigest()
    assert client.deliver(body="no JSON", signed=False).state == "delivered"
    raw = receiver.next()
    assert raw.body == b"no JSON"
    assert "Signature" not in raw.headers
    assert len(client.truth().other_deliveries) == 2


def test_wrong_control_requests_say_what_is_wrong(start: Start) -> None:
    client = start()
    with pytest.raises(SimulatorError, match=r"HTTP 400.*not an http or https URL"):
        client.set_webhook("nowhere")
    with pytest.raises(SimulatorError, match="either event or body"):
        client.deliver()
    client.set_webhook(None)
    with pytest.raises(SimulatorError, match="no endpoint is registered"):
        client.deliver({})


def test_an_address_in_use_is_told(receiver: Receiver) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    with pytest.raises(ListenError, match="cannot listen there"), running(create_app(Scenario()), port=port):
        pytest.fail("it must not start")


COMMAND = "import typer; from tracker.cli.simulate import simulate; typer.run(simulate)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_listens_and_stops_cleanly(
    number: signal.Signals, receiver: Receiver
) -> None:
    flags = ["--listen", "127.0.0.1:0", "--pending-seconds", "0.05", "--running-seconds", "0.05,0.06"]
    flags += ["--webhook-url", receiver.url, "--webhook-secret", SECRET, "--api-key", "mine"]
    command = [sys.executable, "-c", COMMAND, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("simulator listening on http://127.0.0.1:")
        with SimulatorClient(line.rpartition(" ")[2], "mine") as client:
            (made,) = client.create("es")
        assert receiver.next().video_translate_id == made
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"listen": "8399"}, "--listen 8399: not HOST:PORT; for example: 127.0.0.1:8399"),
        ({"listen": "127.0.0.1:70000"}, "cannot listen there"),
        ({"webhook_secret": "alone"}, "--webhook-secret: needs --webhook-url"),
        ({"webhook_url": "localhost"}, "--webhook-url localhost: not a URL"),
        ({"error_rate": 2.0}, "scenario flags: error_rate: "),
    ],
)
def test_the_command_refuses_flags_it_cannot_use(flags: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        simulate(**flags)
