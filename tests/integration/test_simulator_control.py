"""The look-alike under control: retired versions, the scenario's clock, wrong requests."""

from typing import Any

import httpx
import pytest

from tests.integration.look_alike import HTTP, SLOW, LookAlike, Start, made
from tracker.simulator.remote import SimulatorError

JSON = "application/json"
RETIRED: list[tuple[Any, int, str]] = [
    ("404", 404, JSON), ("410", 410, JSON), ("not_found", 404, JSON), ("redirect", 301, ""),
    ("405", 405, "text/plain; charset=utf-8"), ("html", 200, "text/html; charset=utf-8"),
]  # fmt: skip


def v2_and_v1_answers(client: LookAlike, video_id: str) -> list[httpx.Response]:
    order = {"video_url": "https://x/y", "output_language": "es"}
    generated = client.post_v2({}, "/proofread/p/generate")
    return [client.ask(video_id), client.post_v2(order), generated, client.v1("GET", "list")]


@pytest.mark.parametrize(("answer", "status", "content_type"), RETIRED)
def test_a_retired_v2_gives_the_same_answer_on_all_routes(
    start: Start, answer: Any, status: int, content_type: str
) -> None:
    client = start(**SLOW)
    video_id = made(client)
    client.set_retirement(v2=answer)
    for response in v2_and_v1_answers(client, video_id):
        assert (response.status_code, response.headers.get("content-type", "")) == (status, content_type)
        # Only the answer `not_found` is HeyGen's own.
        assert ("not found" in response.text) == (answer == "not_found")
        location = "https://developers.heygen.com/" if answer == "redirect" else None
        assert response.headers.get("location") == location
    assert client.translation(video_id)["status"] == "pending"
    assert len(client.truth().translations) == 1
    assert client.truth().requests.status_by_answer == {"retired": 1, "ok": 1}
    client.set_retirement(v2=None, v3="not_found")
    assert client.ask(video_id).status_code == 200
    for path in (f"/video-translations/{video_id}", "/video-translations/statuses", "/webhooks/events"):
        gone = client.get(path)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_v2_warns_and_then_retires_as_the_scenario_says(start: Start) -> None:
    client = start(**SLOW, v2_deprecated=True, retire_v2_after_seconds=3600, retired_answer="404")
    video_id = made(client)
    answer = client.ask(video_id)
    assert "warning" in answer.json()
    assert "deprecation" in answer.headers
    client.advance(3600)
    assert client.ask(video_id).json() == {"message": "Not Found"}
    client.set_retirement(v3="410")
    assert client.ask(video_id).status_code == 404
    client.set_retirement(v2=None)
    assert client.ask(video_id).status_code == 200


def test_wrong_control_requests_are_refused(start: Start) -> None:
    client = start()
    for wrong in (-1, float("1e300")):
        with pytest.raises(SimulatorError, match="advance_seconds"):
            client.advance(wrong)
    with pytest.raises(SimulatorError, match=r"HTTP 400.*not an http or https URL"):
        client.set_webhook("nowhere")
    for path, body in [
        ("faults", {"answer": "lost"}),
        ("oddities", {"list_ordre": "oldest"}),
        ("file-faults", {"answer": "500", "times": 0}),
    ]:
        assert HTTP.put(f"{client.base_url}/simulator/{path}", json=body).status_code == 400, path
    assert HTTP.post(f"{client.base_url}/simulator/revocations", json={}).status_code == 400
