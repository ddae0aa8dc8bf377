"""The simulator's v3: one translation, many, all, and creation that may be repeated."""

import json
import threading
from typing import Any

import httpx
import pytest

from tests.integration.test_simulator import (  # noqa: F401 - fixtures
    HTTP,
    KEY,
    Start,
    receiver_fixture,
    start_fixture,
    truth_when,
)
from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

SLOW = {"pending_seconds": 100, "running_seconds": 100}
VIDEO = {"type": "url", "url": "https://example.com/source.mp4"}
ORDER = {"video": VIDEO, "output_languages": ["es"]}


def get(client: SimulatorClient, path: str, **query: object) -> httpx.Response:
    params = {key: str(value) for key, value in query.items()}
    return HTTP.get(f"{client.base_url}/v3{path}", params=params, headers=KEY)


def post(client: SimulatorClient, path: str, body: object, key: str | None = None) -> httpx.Response:
    headers = KEY if key is None else {**KEY, "Idempotency-Key": key}
    return HTTP.post(f"{client.base_url}/v3{path}", json=body, headers=headers)


def one(client: SimulatorClient, video_translation_id: str) -> dict[str, Any]:
    data: dict[str, Any] = get(client, f"/video-translations/{video_translation_id}").json()["data"]
    return data


def statuses(client: SimulatorClient, *ids: str) -> dict[str, Any]:
    path = "/video-translations/statuses"
    answer: dict[str, Any] = get(client, path, video_translation_ids=",".join(ids)).json()
    return answer


def listed(client: SimulatorClient, **query: object) -> dict[str, Any]:
    page: dict[str, Any] = get(client, "/video-translations", **query).json()
    return page


def pages(client: SimulatorClient, limit: int) -> list[str]:
    """The ids of all pages, in the order in which they came."""
    ids, page = [], listed(client, limit=limit)
    while True:
        ids += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            return ids
        page = listed(client, limit=limit, token=page["next_token"])


def test_one_translation_goes_through_all_of_v3s_words(start: Start) -> None:
    client = start(**SLOW)
    (made,) = client.create("es", title="Holiday", callback_id="row-1", caption=True, api="v3")
    seen = [one(client, made)]
    for _ in range(2):
        client.advance(100)
        seen.append(one(client, made))
    assert [data["status"] for data in seen] == ["pending", "running", "completed"]
    assert [data["duration"] is None for data in seen] == [True, True, False]
    last = seen[-1]
    assert (last["id"], last["title"], last["callback_id"]) == (made, "Holiday", "row-1")
    assert last["output_language"] == "es"
    assert isinstance(last["created_at"], int)
    assert last["video_url"].startswith(f"https://resource2.heygen.ai/video_translate/{made}/original.mp4?")
    assert "/caption.srt?" in last["srt_caption_url"]
    assert "/caption.vtt?" in last["vtt_caption_url"]
    assert "failure_message" not in last


def test_a_failure_has_a_message_and_no_file(start: Start) -> None:
    client = start(**SLOW, failure_rate=1)
    (made,) = client.create("es", api="v3")
    client.advance(200)
    data = one(client, made)
    assert (data["status"], data["video_url"], data["duration"]) == ("failed", None, None)
    assert data["failure_message"] == client.truth().of(made).message
    assert "srt_caption_url" not in data


def test_both_dialects_speak_of_the_same_translations(start: Start) -> None:
    client = start()
    (made,) = client.create("es", api="v2")
    assert one(client, made)["id"] == made
    (other,) = client.create("es", api="v3")
    answer = HTTP.get(f"{client.base_url}/v2/video_translate/{other}", headers=KEY).json()
    assert answer["data"]["video_translate_id"] == other


def test_an_unknown_id_is_a_404_that_says_so(start: Start) -> None:
    answer = get(start(), "/video-translations/nobody")
    assert answer.status_code == 404
    error = {"code": "not_found", "message": "Video translation not found", "param": None, "doc_url": None}
    assert answer.json() == {"error": error}
    assert answer.headers["X-Request-Id"]


def test_a_key_is_needed_for_every_route(start: Start) -> None:
    client = start()
    for path in ("", "/x", "/statuses?video_translation_ids=x"):
        answer = HTTP.get(f"{client.base_url}/v3/video-translations{path}", headers={"x-api-key": "other"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    for path in ("events", "endpoints"):
        assert HTTP.get(f"{client.base_url}/v3/webhooks/{path}").status_code == 401
    old = HTTP.get(f"{client.base_url}/v1/webhook/endpoint.list")
    assert (old.status_code, old.json()["code"]) == (401, 400112)


def test_many_are_asked_for_at_once_with_words_of_their_own(start: Start) -> None:
    client = start(**SLOW, fates=[{"outcome": "failed"}, {"outcome": "success"}])
    failed, done = client.create_many(2)
    client.advance(200)
    (running,) = client.create("es")
    client.advance(100)
    (queued,) = client.create("es")
    answer = statuses(client, queued, "nobody", running, done, failed)
    assert (answer["has_more"], answer["next_token"]) == (False, None)
    words = [(entry["video_id"], entry["status"]) for entry in answer["data"]]
    assert words == [
        (queued, "queued"),
        ("nobody", "not_found"),
        (running, "processing"),
        (done, "completed"),
        (failed, "failed"),
    ]
    assert answer["data"][-1]["error"]["message"] == client.truth().of(failed).message
    assert answer["data"][0] == {
        "status": "queued",
        "video_id": queued,
        "batch_id": None,
        "item_index": 0,
        "error": None,
    }


def test_a_bulk_is_of_one_to_a_hundred_ids(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create_many(101)
    assert len(statuses(client, *ids[:100])["data"]) == 100
    for wrong in (",".join(ids), "", ","):
        answer = get(client, "/video-translations/statuses", video_translation_ids=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parameter")


def test_bulks_are_counted_apart_from_single_questions(start: Start) -> None:
    client = start(**SLOW)
    first, second = client.create_many(2)
    statuses(client, first, second)
    statuses(client, first)
    one(client, first)
    requests = client.truth().requests
    assert (requests.statuses_ids_total, requests.statuses_by_id) == (3, {first: 2, second: 1})
    assert (requests.status_total, requests.status_by_id) == (1, {first: 1})
    assert requests.by_route == {"v3.statuses": 2, "v3.status": 1}


def test_the_list_is_newest_first_and_stands_new_ones_in_between(start: Start) -> None:
    client = start(**SLOW)
    ids = client.create_many(5)
    first = listed(client, limit=2)
    client.create_many(3)
    second = listed(client, limit=2, token=first["next_token"])
    third = listed(client, limit=2, token=second["next_token"])
    came = [each["id"] for page in (first, second, third) for each in page["data"]]
    assert came == ids[::-1]
    assert (third["has_more"], third["next_token"]) == (False, None)


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_every_order_of_the_list_is_complete_and_stable(start: Start, order: str) -> None:
    client = start(**SLOW)
    ids = client.create_many(25)
    client.set_oddities(list_order=order)
    came = pages(client, 10)
    assert sorted(came) == sorted(ids)
    assert came == pages(client, 7)
    assert (came == ids, came == ids[::-1]) == (order == "oldest", order == "newest")


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"token": "made-up"}, {"token": "bm8="}]
)
def test_a_limit_or_token_that_cannot_be_is_refused(start: Start, query: dict[str, object]) -> None:
    client = start()
    for path in ("/video-translations", "/webhooks/events"):
        assert get(client, path, **query).status_code == 400


WRONG: list[tuple[object, str]] = [
    ({"output_languages": ["es"]}, "video"),
    ({"video": {"type": "url", "url": "ftp://x/y"}, "output_languages": ["es"]}, "url"),
    ({"video": {"type": "asset_id"}, "output_languages": ["es"]}, "asset_id"),
    ({"video": VIDEO}, "output_languages"),
    ({"video": VIDEO, "output_languages": []}, "output_languages"),
    ({"video": VIDEO, "output_languages": ["es", "es"]}, "twice"),
    ([], "object"),
]


def test_a_wrong_creation_is_a_400_and_makes_nothing(start: Start) -> None:
    client = start()
    for body, told in WRONG:
        answer = post(client, "/video-translations", body)
        assert answer.status_code == 400
        assert told in json.dumps(answer.json()["error"])
    assert client.truth().translations == ()


def test_an_asset_is_translated_and_unknown_fields_let_through(start: Start) -> None:
    client = start()
    body = {"video": {"type": "asset_id", "asset_id": "a1"}, "output_languages": ["es", "fr"], "speakers": 2}
    ids = post(client, "/video-translations", body).json()["data"]["video_translation_ids"]
    assert [each.rpartition("-")[2] for each in ids] == ["es", "fr"]


def test_the_same_idempotency_key_creates_once_for_a_day(start: Start) -> None:
    client = start(**SLOW)
    first = client.create("es", api="v3", idempotency_key="order:1")
    assert client.create("es", api="v3", idempotency_key="order:1") == first
    assert client.create("es", api="v3", idempotency_key="order:2") != first
    client.advance(23 * 3600)
    assert client.create("es", api="v3", idempotency_key="order:1") == first
    client.advance(3600)
    assert client.create("es", api="v3", idempotency_key="order:1") != first
    assert len(client.truth().translations) == 3


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_a_malformed_idempotency_key_is_refused(start: Start, key: str) -> None:
    client = start()
    answer = post(client, "/video-translations", ORDER, key)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert client.truth().translations == ()


def test_a_refused_request_leaves_its_key_free(start: Start) -> None:
    client = start()
    assert post(client, "/video-translations", {}, "k").status_code == 400
    assert post(client, "/video-translations", ORDER, "k").status_code == 200


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
    (made,) = client.truth().translations
    client.set_faults(None)
    again = post(client, "/video-translations", ORDER, "k").json()
    assert again == {"data": {"video_translation_ids": [made.video_translate_id]}}
    assert len(client.truth().translations) == 1


@pytest.mark.parametrize("fault", ["500", "429", "quota", "html", "empty", "truncated", "unauthorized"])
def test_other_faults_of_a_creation_do_nothing(start: Start, fault: Any) -> None:
    client = start()
    client.set_faults(fault, routes=["create"])
    answer = post(client, "/video-translations", ORDER, "k")
    assert client.truth().translations == ()
    code = {"429": "rate_limit_exceeded", "quota": "quota_exceeded"}.get(fault)
    if code is not None:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, code)
        assert ("retry-after" in answer.headers) == (fault == "429")


def test_a_proofread_is_generated_in_both_dialects(start: Start) -> None:
    client = start(**SLOW)
    body = {"captions": True, "callback_id": "p1"}
    path = "/video-translations/proofreads/proof_1/generate"
    data = post(client, path, body, "k").json()["data"]
    assert data["status"] == "processing"
    assert post(client, path, body, "k").json()["data"] == data
    assert one(client, data["video_translation_id"])["callback_id"] == "p1"
    old = f"{client.base_url}/v2/video_translate/proofread/proof_1/generate"
    answer = HTTP.post(old, headers=KEY).json()
    assert answer["error"] is None
    assert one(client, answer["data"]["video_translate_id"])["callback_id"] is None


def test_an_unknown_proofread_is_a_404(start: Start) -> None:
    client = start()
    assert post(client, "/video-translations/proofreads/unknown-1/generate", {}).status_code == 404
    old = f"{client.base_url}/v2/video_translate/proofread/unknown-1/generate"
    answer = HTTP.post(old, headers=KEY, json={})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Proofread not found")
