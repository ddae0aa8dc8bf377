"""The look-alike answers as HeyGen does: translations in v2 and v3, lists, creation, faults."""

import json
import queue
import signal
import subprocess
import sys
import threading
from typing import Any, get_args

import httpx
import pytest

from tests.integration.look_alike import (  # noqa: F401 - fixtures
    DEADLINE,
    HTTP,
    KEY,
    QUICK,
    SECRET,
    SLOW,
    Receiver,
    Start,
    ask,
    eventually,
    get,
    listed,
    made,
    post,
    post_v2,
    receiver_fixture,
    start_fixture,
    statuses,
    translation,
    truth_when,
)
from tracker.cli.simulate import simulate
from tracker.errors import InputError
from tracker.simulator.app import Simulator, create_app
from tracker.simulator.delivery import Endpoint
from tracker.simulator.faults import Fault, FaultRoute
from tracker.simulator.remote import SimulatorClient, SimulatorError
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

VIDEO = {"type": "url", "url": "https://example.com/source.mp4"}
ORDER = {"video": VIDEO, "output_languages": ["es"]}
ROUTES: dict[FaultRoute, str] = {
    "status": "/video-translations/{}",
    "statuses": "/video-translations/statuses?video_translation_ids={}",
    "list": "/video-translations",
    "events": "/webhooks/events",
    "endpoints": "/webhooks/endpoints",
}

# Status (heygen-api sections 1 and 2)


def test_a_translation_goes_through_the_words_of_both_dialects(start: Start) -> None:
    client = start(**SLOW)
    video_id = made(client, title="Holiday", callback_id="row-1", caption=True)
    words = []
    for _ in range(3):
        v2, v3 = ask(client, video_id).json(), translation(client, video_id)
        words.append((v2["error"], v2["data"]["status"], v3["status"], v2["data"]["url"] is None))
        client.advance(100)
    assert words == [
        (None, "pending", "pending", True),
        (None, "running", "running", True),
        (None, "success", "completed", False),
    ]
    data = ask(client, video_id).json()["data"]
    assert (data["video_translate_id"], data["title"], data["callback_id"]) == (video_id, "Holiday", "row-1")
    assert data["output_language"] == "es"
    assert data["url"].startswith(f"https://resource2.heygen.ai/video_translate/{video_id}/original.mp4?")
    assert "/caption.ass?" in data["caption_url"]
    last = translation(client, video_id)
    assert (last["id"], last["title"], last["callback_id"]) == (video_id, "Holiday", "row-1")
    assert "/caption.srt?" in last["srt_caption_url"]
    assert isinstance(last["created_at"], int)
    assert client.truth().requests.status_by_answer == {"ok": 8}


def test_a_failure_is_no_error_and_has_its_reason_in_the_message(start: Start) -> None:
    client = start(**SLOW, failure_rate=1)
    video_id = made(client)
    client.advance(200)
    v2, v3 = ask(client, video_id).json(), translation(client, video_id)
    reason = client.truth().of(video_id).message
    assert v2["error"] is None
    assert (v2["data"]["status"], v2["data"]["message"], v2["data"]["url"]) == ("failed", reason, None)
    assert (v3["status"], v3["failure_message"], v3["video_url"]) == ("failed", reason, None)


@pytest.mark.parametrize("http_status", [404, 500])
def test_an_unknown_id_answers_as_it_was_logged(start: Start, http_status: int) -> None:
    client = start(unknown_id_http_status=http_status)
    v2, v3 = ask(client, "0" * 32), get(client, "/video-translations/nobody")
    error = {"code": "internal_error", "message": "Video translate not found"}
    assert (v2.status_code, v2.json()) == (http_status, {"data": None, "error": error})
    assert (v3.status_code, v3.json()["error"]["code"]) == (404, "not_found")


def test_a_new_id_may_be_unknown_at_first_on_every_route(start: Start) -> None:
    client = start(**SLOW, not_found_rate=1, not_found_seconds=50)
    video_id = made(client)
    assert (ask(client, video_id).status_code, listed(client)["data"]) == (404, [])
    assert get(client, f"/video-translations/{video_id}").status_code == 404
    assert statuses(client, video_id)["data"][0]["status"] == "not_found"
    client.advance(50)
    assert ask(client, video_id).status_code == 200
    assert translation(client, video_id)["id"] == listed(client)["data"][0]["id"] == video_id


def test_a_url_may_come_after_the_success(start: Start, receiver: Receiver) -> None:
    client = start(url_delay_rate=1, url_delay_seconds=1000)
    video_id = made(client)
    assert receiver.next().event["event_data"]["url"] is None
    data = ask(client, video_id).json()["data"]
    assert (data["status"], data["url"]) == ("success", None)
    client.advance(1000)
    assert ask(client, video_id).json()["data"]["url"] is not None


def test_every_route_wants_a_key_that_is_known(start: Start) -> None:
    client = start()
    video_id = made(client)
    for path in ROUTES.values():
        answer = HTTP.get(f"{client.base_url}/v3{path.format('x')}", headers={"x-api-key": "other"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert ask(client, video_id, key="other").status_code == 401
    assert HTTP.get(f"{client.base_url}/v1/webhook/endpoint.list").status_code == 401
    client.set_keys(["other"])
    assert ask(client, video_id, key="other").status_code == 200
    with pytest.raises(SimulatorError, match="HTTP 401"):
        client.create("es")


# Many at once


def test_many_are_asked_for_at_once_with_words_of_their_own(start: Start) -> None:
    client = start(**SLOW, fates=[{"outcome": "failed"}, {"outcome": "success"}])
    failed, done = client.create_many(2)
    client.advance(200)
    (at_work,) = client.create("es")
    client.advance(100)
    (queued,) = client.create("es")
    answer = statuses(client, queued, "nobody", at_work, done, failed)
    assert (answer["has_more"], answer["next_token"]) == (False, None)
    words = [(entry["video_id"], entry["status"]) for entry in answer["data"]]
    assert words == [
        (queued, "queued"),
        ("nobody", "not_found"),
        (at_work, "processing"),
        (done, "completed"),
        (failed, "failed"),
    ]
    requests = client.truth().requests
    assert (requests.statuses_ids_total, requests.status_total, requests.by_route["v3.statuses"]) == (5, 0, 1)


def test_a_bulk_is_of_one_to_a_hundred_ids(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create_many(101)
    assert len(statuses(client, *ids[:100])["data"]) == 100
    for wrong in (",".join(ids), ""):
        answer = get(client, "/video-translations/statuses", video_translation_ids=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_the_pages_of_the_list_are_complete_while_new_translations_are_made(start: Start, order: str) -> None:
    client = start(**SLOW)
    ids = client.create_many(25)
    client.set_oddities(list_order=order)
    page = listed(client, limit=10)
    found = [each["id"] for each in page["data"]]
    if order == "newest":
        client.create_many(3)
    while page["has_more"]:
        page = listed(client, limit=10, token=page["next_token"])
        found += [each["id"] for each in page["data"]]
    assert sorted(found) == sorted(ids)
    assert (found == ids, found == ids[::-1]) == (order == "oldest", order == "newest")


def test_a_limit_or_token_that_cannot_be_is_refused(start: Start) -> None:
    client = start()
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"token": "made-up"}):
        assert get(client, "/video-translations", **query).status_code == 400
        assert get(client, "/webhooks/events", **query).status_code == 400


def test_bulk_answers_may_be_odd(start: Start) -> None:
    client = start(**SLOW)
    missing, nameless, strange, twice = ids = client.create_many(4)
    client.set_oddities(
        statuses_missing=[missing],
        statuses_null_id=[nameless],
        statuses_unknown_word=[strange],
        statuses_doubled=[twice],
        statuses_repeat_token=True,
    )
    answer = statuses(client, *ids)
    words = [(entry["video_id"], entry["status"]) for entry in answer["data"]]
    assert words == [(None, "queued"), (strange, "reticulating"), (twice, "queued"), (twice, "queued")]
    assert answer["next_token"] == statuses(client, *ids)["next_token"]
    client.set_oddities(statuses_refused=True)
    assert statuses(client, *ids)["error"]["code"] == "invalid_parameter"


def test_the_list_may_be_odd(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create_many(5)
    first = listed(client, limit=2)
    for oddity in ("list_repeat_token", "list_endless"):
        client.set_oddities(**{oddity: True})
        pages = [listed(client, limit=2, token=first["next_token"])]
        pages.append(listed(client, limit=2, token=pages[0]["next_token"]))
        assert [(page["has_more"], page["data"]) for page in pages] == [(True, first["data"])] * 2
        same_token = pages[0]["next_token"] == pages[1]["next_token"]
        assert same_token == (oddity == "list_repeat_token")
    for said, token in ((True, None), ("null", None), ("empty", "")):
        client.set_oddities(list_empty_token=said)
        page = listed(client, limit=2)
        assert (page["has_more"], page["next_token"]) == (True, token)
    client.set_oddities(list_absent_keys=True)
    assert listed(client, limit=1)["data"] == [{"id": ids[-1], "status": "pending"}]


# Creation


def test_the_languages_of_a_request_share_an_id_and_a_callback_id(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create(["es", "ur_ur-PK"], callback_id="both")
    assert ids == [f"{ids[0][:32]}-es", f"{ids[0][:32]}-ur_ur-PK"]
    asset = {"video": {"type": "asset_id", "asset_id": "a1"}, "output_languages": ["es", "fr"], "speakers": 2}
    others = post(client, "/video-translations", asset).json()["data"]["video_translation_ids"]
    assert [each.rpartition("-")[2] for each in others] == ["es", "fr"]
    assert [each.callback_id for each in client.truth().translations] == ["both", "both", None, None]


def test_a_wrong_creation_is_a_400_that_names_the_field_and_makes_nothing(start: Start) -> None:
    client = start()
    v2: list[tuple[object, str]] = [
        ({"video_url": "ftp://x/y", "output_language": "es"}, "video_url"),
        ({"video_url": "https://x/y"}, "either output_language or"),
        ({"video_url": "https://x/y", "output_languages": ["es", "es"]}, "twice"),
        ([], "object"),
    ]
    v3: list[tuple[object, str]] = [
        ({"output_languages": ["es"]}, "video"),
        ({"video": {"type": "asset_id"}, "output_languages": ["es"]}, "asset_id"),
        ({"video": VIDEO, "output_languages": []}, "output_languages"),
        ({"video": VIDEO, "output_languages": ["es", "es"]}, "twice"),
    ]
    answers = [(post_v2(client, body), named) for body, named in v2]
    answers += [(post(client, "/video-translations", body), named) for body, named in v3]
    assert [(answer.status_code, named) for answer, named in answers if named not in answer.text] == []
    assert {answer.status_code for answer, _ in answers} == {400}
    assert client.truth().translations == ()


def test_the_same_idempotency_key_creates_once_for_a_day(start: Start) -> None:
    client = start(**SLOW)
    assert post(client, "/video-translations", {}, "order:1").status_code == 400  # leaves the key free
    first = client.create("es", api="v3", idempotency_key="order:1")
    assert client.create("es", api="v3", idempotency_key="order:2") != first
    client.advance(23 * 3600)
    assert client.create("es", api="v3", idempotency_key="order:1") == first
    client.advance(3600)
    assert client.create("es", api="v3", idempotency_key="order:1") != first
    for malformed in ("", "a b", "x" * 256):
        answer = post(client, "/video-translations", ORDER, malformed)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert len(client.truth().translations) == 3


def test_a_key_in_flight_is_in_progress() -> None:
    with running(create_app(Scenario(hang_seconds=60))) as url, SimulatorClient(url) as client:
        client.set_faults("hang", routes=["create"])
        hung = threading.Thread(target=post, args=(client, "/video-translations", ORDER, "k"))
        hung.start()
        truth_when(client, lambda truth: truth.requests.answers_by_route == {"v3.create": {"hang": 1}})
        client.set_faults(None)
        answer = post(client, "/video-translations", ORDER, "k")
    hung.join()  # the stop has freed it
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "request_in_progress")


@pytest.mark.parametrize(("fault", "status"), [("500_after", 500), ("hang_after", 504)])
def test_a_creation_whose_answer_is_lost_can_be_repeated(start: Start, fault: Any, status: int) -> None:
    client = start(hang_seconds=0, **SLOW)
    client.set_faults(fault, routes=["create"])
    assert post(client, "/video-translations", ORDER, "k").status_code == status
    (created,) = client.truth().translations
    client.set_faults(None)
    again = post(client, "/video-translations", ORDER, "k").json()
    assert again == {"data": {"video_translation_ids": [created.video_translate_id]}}
    assert len(client.truth().translations) == 1


def test_a_proofread_is_generated_once_and_an_unknown_proofread_is_a_404(start: Start) -> None:
    client = start(**SLOW)
    path, v2 = "/video-translations/proofreads/{}/generate", "/v2/video_translate/proofread/{}/generate"
    body = {"captions": True, "callback_id": "p1"}
    data = post(client, path.format("proof_1"), body, "k").json()["data"]
    assert post(client, path.format("proof_1"), body, "k").json()["data"] == data
    assert translation(client, data["video_translation_id"])["callback_id"] == "p1"
    old = HTTP.post(client.base_url + v2.format("proof_1"), headers=KEY).json()
    assert translation(client, old["data"]["video_translate_id"])["status"] == "pending"
    assert post(client, path.format("unknown-1"), {}).status_code == 404
    assert HTTP.post(client.base_url + v2.format("unknown-1"), headers=KEY, json={}).status_code == 404


# Faults (heygen-api section 3)

FAULTS: dict[Fault, tuple[int, str]] = {
    "500": (500, "application/json"),
    "html": (502, "text/html; charset=utf-8"),
    "empty": (200, "application/json"),
    "truncated": (200, "application/json"),
    "429": (429, "application/json"),
    "quota": (429, "application/json"),
    "not_found": (404, "application/json"),
    "unauthorized": (401, "application/json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forced_fault_is_answered_in_both_dialects_until_it_is_lifted(start: Start, fault: Fault) -> None:
    client = start(**SLOW)
    video_id = made(client)
    client.set_faults(fault, retry_after=2)
    answers = [ask(client, video_id), *(get(client, ROUTES[of].format(video_id)) for of in ROUTES)]
    for answer in answers[:3]:  # v2's status, v3's status and statuses
        assert (answer.status_code, answer.headers["content-type"]) == FAULTS[fault]
        assert answer.headers.get("retry-after") == ("2" if fault == "429" else None)
        assert fault != "quota" or answer.json()["error"]["code"] == "quota_exceeded"
        if fault in ("empty", "truncated"):
            with pytest.raises(json.JSONDecodeError):
                answer.json()
    assert {answer.status_code for answer in answers[3:]} == {200}
    client.set_faults(fault, routes=["create"])
    post(client, "/video-translations", ORDER)
    assert len(client.truth().translations) == 1
    client.set_faults(None)
    assert ask(client, video_id).status_code == 200
    assert client.truth().requests.status_by_answer == {"ok": 1, fault: 2}


def test_a_fault_may_be_of_one_route(start: Start) -> None:
    client = start(**SLOW)
    video_id = made(client)
    for route in ROUTES:
        client.set_faults("429", routes=[route])
        answers = {of: get(client, path.format(video_id)).status_code for of, path in ROUTES.items()}
        assert answers == {of: 429 if of == route else 200 for of in ROUTES}


def test_chance_breaks_what_reads_and_spares_creation(start: Start) -> None:
    client = start(**SLOW, error_rate=1, hang_seconds=0)
    for _ in range(10):
        video_id = made(client, api="v3")
        ask(client, video_id)
        for route in ("status", "list", "events"):
            get(client, ROUTES[route].format(video_id))
    answers = client.truth().requests.answers_by_route
    assert answers.pop("v3.create") == {"ok": 10}
    broken = set().union(*answers.values())
    assert broken == {"500", "html", "empty", "truncated", "429", "hang"}
    assert broken < set(get_args(Fault))


def test_two_questions_about_one_id_at_once_are_counted_and_a_stop_does_not_wait_for_them() -> None:
    answers: queue.Queue[httpx.Response] = queue.Queue()
    with running(create_app(Scenario(hang_seconds=60))) as url, SimulatorClient(url) as client:
        client.set_faults("hang")
        hung = [threading.Thread(target=lambda: answers.put(ask(client, "0" * 32))) for _ in range(2)]
        for thread in hung:
            thread.start()
        truth = truth_when(client, lambda truth: truth.requests.status_by_answer == {"hang": 2})
        assert (truth.requests.status_overlaps, truth.requests.status_in_flight_max) == (1, 2)
    for thread in hung:
        thread.join()
    assert [answers.get(timeout=DEADLINE).status_code for _ in hung] == [504, 504]


def test_a_client_that_gives_up_on_a_hung_answer_frees_it(start: Start) -> None:
    client = start(hang_seconds=60)
    video_id = made(client)
    client.set_faults("hang")
    with pytest.raises(httpx.ReadTimeout):
        HTTP.get(f"{client.base_url}/v2/video_translate/{video_id}", headers=KEY, timeout=0.1)
    client.set_faults(None)
    assert ask(client, video_id).status_code == 200


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


# The command

COMMAND = "import typer; from tracker.cli.simulate import simulate; typer.run(simulate)"


def test_the_command_says_where_it_listens_and_stops_cleanly(receiver: Receiver) -> None:
    flags = ["--listen", "127.0.0.1:0", "--pending-seconds", "0.05", "--running-seconds", "0.05,0.06"]
    flags += ["--webhook-url", receiver.url, "--webhook-secret", SECRET, "--api-key", "mine"]
    command = [sys.executable, "-c", COMMAND, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("simulator listening on http://127.0.0.1:")
        with SimulatorClient(line.rpartition(" ")[2], "mine") as client:
            video_id = made(client)
        assert receiver.next().video_translate_id == video_id
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"listen": "8399"}, "--listen 8399: not HOST:PORT; for example: 127.0.0.1:8399"),
        ({"listen": "127.0.0.1:70000"}, "cannot listen there"),
        ({"webhook_secret": "alone"}, "--webhook-secret: needs --webhook-url"),
        ({"webhook_url": "localhost"}, "--webhook-url localhost: not a URL"),
        ({"error_rate": 2.0}, "scenario flags: error_rate: "),
        ({"file_bytes": "5,1"}, "file_bytes: needs 0 <= MIN <= MAX"),
    ],
)
def test_the_command_refuses_flags_it_cannot_use(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        simulate(**flags)
