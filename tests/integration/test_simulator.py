"""The look-alike answers as HeyGen does: translations in v2 and v3, lists, creation, faults."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.look_alike import QUICK, SLOW, LookAlike, Start, eventually, made
from tracker.cli.simulate import simulate
from tracker.errors import InputError
from tracker.simulator.app import Simulator, create_app
from tracker.simulator.delivery import Endpoint
from tracker.simulator.faults import Fault, FaultRoute
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

ORDER = {"video": {"type": "url", "url": "https://example.com/source.mp4"}, "output_languages": ["es"]}
ROUTES: dict[FaultRoute, str] = {
    "status": "/video-translations/{}",
    "statuses": "/video-translations/statuses?video_translation_ids={}",
    "list": "/video-translations",
    "events": "/webhooks/events",
    "endpoints": "/webhooks/endpoints",
}

# Documented shapes (heygen-api sections 1 and 2)


def test_v2_answers_in_the_documented_shape(start: Start) -> None:
    client = start(**SLOW, fates=[{}, {"outcome": "failed"}], unknown_id_http_status=500)
    ids = client.create(["es", "ur_ur-PK"], title="Holiday", callback_id="row-1", caption=True)
    assert ids == [f"{ids[0][:32]}-es", f"{ids[0][:32]}-ur_ur-PK"]
    words = []
    for _ in range(3):
        words.append([client.ask(each).json()["data"]["status"] for each in ids])
        client.advance(100)
    assert words == [["pending"] * 2, ["running"] * 2, ["success", "failed"]]
    done, failed = (client.ask(each).json() for each in ids)
    assert (done["error"], failed["error"], failed["data"]["url"]) == (None, None, None)
    assert failed["data"]["message"] == client.truth().of(ids[1]).message
    data = done["data"]
    assert (data["video_translate_id"], data["title"], data["callback_id"]) == (ids[0], "Holiday", "row-1")
    assert data["url"].startswith(f"https://resource2.heygen.ai/video_translate/{ids[0]}/original.mp4?")
    assert "/caption.ass?" in data["caption_url"]
    unknown = client.ask("0" * 32)
    error = {"code": "internal_error", "message": "Video translate not found"}
    assert (unknown.status_code, unknown.json()) == (500, {"data": None, "error": error})


def test_v3_answers_in_the_documented_shape(start: Start) -> None:
    client = start(**SLOW, fates=[{}, {"outcome": "failed"}])
    order = ORDER | {"output_languages": ["es", "fr"], "callback_id": "a", "captions": True}
    done, failed = client.post(order).json()["data"]["video_translation_ids"]
    client.advance(200)
    at_work = made(client)
    client.advance(100)
    queued = made(client)
    words = [client.translation(each)["status"] for each in (queued, at_work, done, failed)]
    assert words == ["pending", "running", "completed", "failed"]
    bulk = client.statuses(queued, "unknown", at_work, done, failed)
    assert (bulk["has_more"], bulk["next_token"]) == (False, None)
    assert [(entry["video_id"], entry["status"]) for entry in bulk["data"]] == [
        (queued, "queued"),
        ("unknown", "not_found"),
        (at_work, "processing"),
        (done, "completed"),
        (failed, "failed"),
    ]
    assert [each["id"] for each in client.page()["data"][:2]] == [queued, at_work]
    data, failure = client.translation(done), client.translation(failed)
    assert (data["id"], data["callback_id"]) == (done, "a")
    assert "/caption.srt?" in data["srt_caption_url"]
    assert isinstance(data["created_at"], int)
    assert (failure["failure_message"], failure["video_url"]) == (client.truth().of(failed).message, None)
    unknown = client.get("/video-translations/unknown")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


def test_every_version_requires_a_valid_key(start: Start) -> None:
    client = start()
    client.set_keys(["other"])
    answers = [client.ask("x"), client.post_v2({}), client.post(ORDER), client.v1("GET", "list")]
    answers += [client.get(path.format("x")) for path in ROUTES.values()]
    assert {answer.status_code for answer in answers} == {401}


def test_a_new_id_and_its_url_can_be_absent_for_a_time(start: Start) -> None:
    delays = {"not_found_rate": 1, "not_found_seconds": 50, "url_delay_rate": 1, "url_delay_seconds": 1000}
    client = start(**SLOW, **delays)
    video_id = made(client)
    assert (client.ask(video_id).status_code, client.page()["data"]) == (404, [])
    assert client.get(f"/video-translations/{video_id}").status_code == 404
    assert client.statuses(video_id)["data"][0]["status"] == "not_found"
    client.advance(200)
    data = client.ask(video_id).json()["data"]
    assert (data["status"], data["url"]) == ("success", None)
    assert client.page()["data"][0]["id"] == video_id
    client.advance(1000)
    assert client.ask(video_id).json()["data"]["url"] is not None


# Many at once


def test_pages_are_complete_while_translations_are_added(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create_many(101)
    page = client.page(limit=50)
    found = page["data"]
    client.create_many(3)
    while page["has_more"]:
        page = client.page(limit=50, token=page["next_token"])
        found += page["data"]
    assert [each["id"] for each in found] == ids[::-1]
    for query in ({"limit": 0}, {"limit": 101}, {"token": "made-up"}):
        assert client.get("/video-translations", **query).status_code == 400
    assert len(client.statuses(*ids[:100])["data"]) == 100
    assert {client.statuses(*wrong)["error"]["code"] for wrong in (ids, [])} == {"invalid_parameter"}


def test_odd_bulk_answers_can_be_switched_on(start: Start) -> None:
    client = start(**SLOW)
    missing, nameless, strange, double = ids = client.create_many(4)
    bulk = {"missing": missing, "null_id": nameless, "unknown_word": strange, "doubled": double}
    client.set_oddities(
        statuses_repeat_token=True, **{f"statuses_{oddity}": [each] for oddity, each in bulk.items()}
    )
    answer = client.statuses(*ids)
    words = [(entry["video_id"], entry["status"]) for entry in answer["data"]]
    assert words == [(None, "queued"), (strange, "reticulating"), (double, "queued"), (double, "queued")]
    assert answer["next_token"] == client.statuses(*ids)["next_token"]
    client.set_oddities(statuses_refused=True)
    assert client.statuses(*ids)["error"]["code"] == "invalid_parameter"


# Creation


def test_a_wrong_creation_names_the_field_and_creates_nothing(start: Start) -> None:
    client = start()
    url = {"video_url": "https://x/y"}
    wrong: list[tuple[Callable[[Any], httpx.Response], object, str]] = [
        (client.post_v2, {"video_url": "ftp://x/y", "output_language": "es"}, "video_url"),
        (client.post_v2, url, "either output_language or"),
        (client.post_v2, url | {"output_languages": ["es", "es"]}, "twice"),
        (client.post_v2, [], "object"),
        (client.post, {"output_languages": ["es"]}, "video"),
        (client.post, {"video": {"type": "asset_id"}, "output_languages": ["es"]}, "asset_id"),
        (client.post, ORDER | {"output_languages": []}, "output_languages"),
        (client.post, ORDER | {"output_languages": ["es", "es"]}, "twice"),
    ]
    for create, body, named in wrong:
        answer = create(body)
        assert (answer.status_code, named in answer.text) == (400, True), body
    assert client.truth().translations == ()


def test_an_idempotency_key_creates_once_for_a_day(start: Start) -> None:
    client = start(**SLOW)
    assert client.post({}, "order:1").status_code == 400  # leaves the key free
    first = client.create("es", api="v3", idempotency_key="order:1")
    assert client.create("es", api="v3", idempotency_key="order:2") != first
    client.advance(23 * 3600)
    assert client.create("es", api="v3", idempotency_key="order:1") == first
    client.advance(3600)
    assert client.create("es", api="v3", idempotency_key="order:1") != first
    for malformed in ("", "a b", "x" * 256):
        answer = client.post(ORDER, malformed)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert len(client.truth().translations) == 3


# Faults (heygen-api section 3)

JSON = "application/json"
FAULTS: dict[Fault, tuple[int, str]] = {
    "500": (500, JSON), "empty": (200, JSON), "truncated": (200, JSON), "429": (429, JSON),
    "quota": (429, JSON), "not_found": (404, JSON), "unauthorized": (401, JSON),
    "html": (502, "text/html; charset=utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forced_fault_lasts_until_it_is_switched_off(start: Start, fault: Fault) -> None:
    client = start(**SLOW)
    video_id = made(client)
    client.set_faults(fault, retry_after=2)
    answers = [client.ask(video_id), *(client.get(path.format(video_id)) for path in ROUTES.values())]
    for answer in answers[:3]:  # v2's status, v3's status and statuses
        assert (answer.status_code, answer.headers["content-type"]) == FAULTS[fault]
        assert answer.headers.get("retry-after") == ("2" if fault == "429" else None)
        assert fault != "quota" or answer.json()["error"]["code"] == "quota_exceeded"
        if fault in ("empty", "truncated"):
            with pytest.raises(json.JSONDecodeError):
                answer.json()
    assert {answer.status_code for answer in answers[3:]} == {200}
    client.set_faults(fault, routes=["create"])
    client.post(ORDER)
    assert len(client.truth().translations) == 1
    for route in ROUTES:
        client.set_faults(fault, routes=[route])
        codes = {of: client.get(path.format(video_id)).status_code for of, path in ROUTES.items()}
        assert codes == {of: FAULTS[fault][0] if of == route else 200 for of in ROUTES}
    client.set_faults(None)
    assert client.ask(video_id).status_code == 200


def test_hung_requests_are_counted_and_do_not_delay_the_stop() -> None:
    with running(create_app(Scenario(hang_seconds=60))) as url, LookAlike(url) as client:
        client.set_faults("hang", routes=["status", "create"])
        asked = [threading.Thread(target=client.ask, args=("0" * 32,)) for _ in range(2)]
        hung = [*asked, threading.Thread(target=client.post, args=(ORDER, "k"))]
        for thread in hung:
            thread.start()
        wanted = {"v2.status": {"hang": 2}, "v3.create": {"hang": 1}}
        requests = client.truth_when(lambda truth: truth.requests.answers_by_route == wanted).requests
        assert (requests.status_overlaps, requests.status_in_flight_max) == (1, 2)
        client.set_faults(None)
        in_progress = client.post(ORDER, "k")
    for thread in hung:
        thread.join()  # the stop answered them
    assert (in_progress.status_code, in_progress.json()["error"]["code"]) == (409, "request_in_progress")


def test_an_error_in_the_sender_stops_the_server() -> None:
    # Nothing can be signed with this secret, which stands for an error of our own.
    app = create_app(Scenario.model_validate(QUICK), endpoint=Endpoint("http://127.0.0.1:1/", "\ud800"))
    simulator: Simulator = app.state.simulator

    def run_until_it_fails() -> None:
        with running(app) as url, LookAlike(url) as client:
            client.create("es")
            eventually(lambda: simulator.sender.failure)

    with pytest.raises(UnicodeEncodeError):
        run_until_it_fails()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"listen": "8399"}, "--listen 8399: not HOST:PORT; for example: 127.0.0.1:8399"),
        ({"listen": "127.0.0.1:70000"}, "cannot listen there"),
        ({"webhook_secret": "alone"}, "--webhook-secret: needs --webhook-url"),
        ({"webhook_url": "localhost"}, "--webhook-url localhost: not a URL"),
        ({"error_rate": 2.0}, "scenario flags: error_rate: "),
    ],
)
def test_the_command_refuses_invalid_flags(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        simulate(**flags)
