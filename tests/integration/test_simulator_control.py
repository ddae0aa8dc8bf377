"""The look-alike under command: retired versions, a clock that jumps, large numbers, wrong requests."""

from typing import Any

import httpx
import pytest

from tests.integration.look_alike import (  # noqa: F401 - fixtures
    DONE,
    HTTP,
    KEY,
    SLOW,
    Receiver,
    Start,
    ask,
    get,
    listed,
    made,
    post_v2,
    receiver_fixture,
    start_fixture,
    statuses,
    translation,
    v1,
)
from tracker.simulator.remote import SimulatorClient, SimulatorError

RETIRED: list[tuple[Any, int, str]] = [
    ("404", 404, "application/json"),
    ("405", 405, "text/plain; charset=utf-8"),
    ("410", 410, "application/json"),
    ("redirect", 301, ""),
    ("html", 200, "text/html; charset=utf-8"),
]


def old_routes(client: SimulatorClient, made: str) -> list[httpx.Response]:
    generate = f"{client.base_url}/v2/video_translate/proofread/p/generate"
    order = {"video_url": "https://x/y", "output_language": "es"}
    return [
        ask(client, made),
        post_v2(client, order),
        HTTP.post(generate, headers=KEY),
        v1(client, "GET", "list"),
    ]


@pytest.mark.parametrize(("answer", "status", "content_type"), RETIRED)
def test_a_retired_v2_answers_alike_on_all_its_routes(
    start: Start, answer: Any, status: int, content_type: str
) -> None:
    client = start(**SLOW)
    (made,) = client.create("es")
    client.set_retirement(v2=answer)
    for response in old_routes(client, made):
        assert (response.status_code, response.headers.get("content-type", "")) == (status, content_type)
        assert "video translat" not in response.text.lower()
        assert response.headers.get("location") == (
            "https://developers.heygen.com/" if answer == "redirect" else None
        )
    assert translation(client, made)["status"] == "pending"
    assert len(client.truth().translations) == 1
    assert client.truth().requests.status_by_answer == {"retired": 1, "ok": 1}
    client.set_retirement(v2=None)
    assert ask(client, made).status_code == 200


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_retired_v2_may_find_nothing(start: Start, status: int) -> None:
    client = start(**SLOW, unknown_id_http_status=status)
    (made,) = client.create("es")
    client.set_retirement(v2="not_found")
    *answers, legacy = old_routes(client, made)
    for response in answers:
        assert (response.status_code, response.json()) == (
            status,
            {"data": None, "error": {"code": "internal_error", "message": "Video translate not found"}},
        )
    assert (legacy.status_code, "not found" in legacy.json()["message"]) == (404, True)
    assert translation(client, made)["status"] == "pending"
    assert client.truth().requests.status_by_answer == {"retired": 1, "ok": 1}


def test_a_v3_that_is_gone_may_find_nothing(start: Start) -> None:
    client = start(**SLOW)
    (made,) = client.create("es")
    client.set_retirement(v3="not_found")
    for path in (f"/video-translations/{made}", "/video-translations/statuses", "/webhooks/events"):
        answer = get(client, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert ask(client, made).status_code == 200


def test_v2_retires_in_mid_run_by_the_scenario(start: Start) -> None:
    client = start(**SLOW, retire_v2_after_seconds=3600, retired_answer="404")
    (made,) = client.create("es")
    assert ask(client, made).status_code == 200
    client.advance(3600)
    assert ask(client, made).json() == {"message": "Not Found"}
    client.set_retirement(v3="410")
    assert ask(client, made).status_code == 404
    client.set_retirement(v2=None)
    assert ask(client, made).status_code == 200


def test_v2_may_warn_of_its_retirement(start: Start) -> None:
    for deprecated in (True, False):
        client = start(**SLOW, v2_deprecated=deprecated)
        answer = ask(client, made(client))
        assert ("warning" in answer.json(), "deprecation" in answer.headers) == (deprecated, deprecated)
        assert answer.json()["error"] is None


def test_the_clock_only_goes_forward(start: Start) -> None:
    client = start()
    before = client.truth().now
    assert (client.advance(86400) - before).total_seconds() >= 86400
    for wrong in (-1, float("1e300")):
        with pytest.raises(SimulatorError, match="advance_seconds"):
            client.advance(wrong)


def test_ten_thousand_translations_are_created_and_listed(start: Start) -> None:
    client = start(**SLOW)
    client.set_webhook(None)
    ids = client.create_many(10_000, title="Many", callback_id_prefix="row-")
    assert len(set(ids)) == 10_000
    client.advance(1000)
    truth = client.truth()
    assert truth.all_finished
    assert (truth.of(ids[-1]).callback_id, truth.of(ids[0]).title) == ("row-9999", "Many")
    assert len(statuses(client, *ids[:100])["data"]) == 100
    assert listed(client, limit=100)["data"][0]["id"] == ids[-1]


def test_control_requests_that_are_wrong_are_refused(start: Start) -> None:
    client = start(**DONE)
    with pytest.raises(SimulatorError, match=r"HTTP 400.*not an http or https URL"):
        client.set_webhook("nowhere")
    for path, body in [
        ("faults", {"answer": "lost"}),
        ("oddities", {"list_ordre": "oldest"}),
        ("file-faults", {"answer": "500", "times": 0}),
        ("file-faults", {"anwser": "500"}),
    ]:
        assert HTTP.put(f"{client.base_url}/simulator/{path}", json=body).status_code == 400, path
    assert HTTP.post(f"{client.base_url}/simulator/revocations", json={}).status_code == 400
