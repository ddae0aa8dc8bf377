"""The simulator under command: versions that retire, a clock that jumps, odd answers, large numbers."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.test_simulator import (  # noqa: F401 - fixtures
    HTTP,
    KEY,
    Receiver,
    Start,
    ask,
    receiver_fixture,
    settled,
    start_fixture,
    truth_when,
)
from tests.integration.test_simulator import post as post_v2
from tests.integration.test_simulator_v3 import SLOW, get, listed, one, pages, statuses
from tests.integration.test_simulator_webhooks import v1
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
    assert one(client, made)["status"] == "pending"
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
    assert one(client, made)["status"] == "pending"
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


def test_an_account_may_be_without_v3(start: Start) -> None:
    client = start(**SLOW)
    client.set_retirement(v3="404")
    (made,) = client.create("es")
    for path in (f"/video-translations/{made}", "/video-translations", "/webhooks/events"):
        assert get(client, path).status_code == 404
    assert ask(client, made).status_code == 200


@pytest.mark.parametrize("deprecated", [True, False])
def test_v2_may_warn_of_its_retirement(start: Start, deprecated: bool) -> None:
    client = start(**SLOW, v2_deprecated=deprecated)
    (made,) = client.create("es")
    answer = ask(client, made)
    assert ("warning" in answer.json(), "deprecation" in answer.headers) == (deprecated, deprecated)
    assert answer.json()["error"] is None


def test_a_jump_of_the_clock_sends_what_is_due(start: Start, receiver: Receiver) -> None:
    fates = [{"webhook": "late"}, {"webhook": "lost"}, {"webhook": "doubled"}, {"webhook": "prompt"}]
    client = start(**SLOW, fates=fates, late_seconds=50)
    late, lost, doubled, prompt = client.create_many(4)
    client.advance(200)
    assert sorted(receiver.next().video_translate_id for _ in range(3)) == sorted([doubled, doubled, prompt])
    truth_when(client, lambda truth: truth.of(lost).deliveries[0].state == "lost")
    client.advance(50)
    assert receiver.next().video_translate_id == late
    assert len(settled(client).of(late).deliveries) == 1


def test_a_jump_over_the_delay_of_a_late_event_sends_it_at_once(start: Start, receiver: Receiver) -> None:
    client = start(**SLOW, webhook_late=1, late_seconds=5000)
    (made,) = client.create("es")
    client.advance(100_000)
    assert receiver.next().video_translate_id == made


def test_events_stay_out_of_order_when_a_jump_makes_them_due_together(
    start: Start, receiver: Receiver
) -> None:
    client = start(**SLOW, fates=[{"webhook": "reordered"}], late_seconds=10)
    first, second = client.create_many(2)
    client.advance(100_000)
    assert [receiver.next().video_translate_id for _ in range(2)] == [second, first]


def test_the_clock_only_goes_forward(start: Start) -> None:
    client = start()
    before = client.truth().now
    assert (client.advance(86400) - before).total_seconds() >= 86400
    for wrong in (-1, float("1e300")):
        with pytest.raises(SimulatorError, match="advance_seconds"):
            client.advance(wrong)


ROUTES: list[tuple[Any, str]] = [
    ("status", "/video-translations/{}"),
    ("statuses", "/video-translations/statuses?video_translation_ids={}"),
    ("list", "/video-translations"),
    ("events", "/webhooks/events"),
    ("endpoints", "/webhooks/endpoints"),
]


@pytest.mark.parametrize(("route", "path"), ROUTES)
def test_a_fault_may_be_of_one_route(start: Start, route: Any, path: str) -> None:
    client = start(**SLOW)
    (made,) = client.create("es")
    url = f"{client.base_url}/v3{path.format(made)}"
    others = [f"{client.base_url}/v3{other.format(made)}" for name, other in ROUTES if name != route]
    client.set_faults("429", retry_after=7, routes=[route])
    answer = HTTP.get(url, headers=KEY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert [HTTP.get(other, headers=KEY).status_code for other in others] == [200] * 4
    client.set_faults("html", routes=[route])
    assert HTTP.get(url, headers=KEY).status_code == 502


def test_a_fault_without_routes_is_of_every_status_answer(start: Start) -> None:
    client = start(**SLOW)
    (made,) = client.create("es")
    client.set_faults("not_found")
    assert one_status(client, made) == [404, 404]
    client.set_faults("truncated")
    for path in (f"/{made}", f"/statuses?video_translation_ids={made}"):
        with pytest.raises(json.JSONDecodeError):
            HTTP.get(f"{client.base_url}/v3/video-translations{path}", headers=KEY).json()
    assert get(client, "/video-translations").status_code == 200


def one_status(client: SimulatorClient, made: str) -> list[int]:
    bulk = get(client, "/video-translations/statuses", video_translation_ids=made)
    return [get(client, f"/video-translations/{made}").status_code, bulk.status_code]


def test_chance_breaks_v3s_reading_and_spares_creation(start: Start) -> None:
    client = start(**SLOW, error_rate=1, hang_seconds=0)
    for _ in range(3):
        client.create("es", api="v3")
        for path in ("/video-translations", "/webhooks/events", "/video-translations/x"):
            get(client, path)
    answers = client.truth().requests.answers_by_route
    assert answers["v3.create"] == {"ok": 3}
    assert not any("ok" in answers[name] for name in ("v3.list", "v3.events", "v3.status"))


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
    told = [(entry["video_id"], entry["status"]) for entry in answer["data"]]
    assert told == [(None, "queued"), (strange, "reticulating"), (twice, "queued"), (twice, "queued")]
    assert answer["has_more"]
    assert answer["next_token"] == statuses(client, *ids)["next_token"]
    client.set_oddities(statuses_refused=True)
    assert statuses(client, *ids)["error"]["code"] == "invalid_parameter"
    client.set_oddities()
    assert [entry["video_id"] for entry in statuses(client, *ids)["data"]] == ids


def test_the_list_may_never_end(start: Start) -> None:
    client = start(**SLOW)
    client.create_many(5)
    first = listed(client, limit=2)
    for oddity, distinct in (("list_repeat_token", 1), ("list_endless", 3)):
        client.set_oddities(**{oddity: True})
        came, token = [], first["next_token"]
        for _ in range(3):
            came.append(listed(client, limit=2, token=token))
            token = came[-1]["next_token"]
        assert all(page["has_more"] for page in came)
        assert all(page["data"][0]["id"] == first["data"][0]["id"] for page in came)
        assert len({page["next_token"] for page in came}) == distinct


@pytest.mark.parametrize(("said", "token"), [(True, None), ("null", None), ("empty", "")])
def test_the_list_may_promise_more_without_a_token(start: Start, said: Any, token: str | None) -> None:
    client = start(**SLOW)
    client.set_oddities(list_empty_token=said)
    page = listed(client)
    assert (page["has_more"], page["next_token"]) == (True, token)


def test_the_list_may_leave_out_all_it_may(start: Start) -> None:
    client = start(**SLOW)
    (made,) = client.create("es")
    client.set_oddities(list_absent_keys=True)
    assert listed(client)["data"] == [{"id": made, "status": "pending"}]


def test_an_id_unknown_at_first_is_so_everywhere(start: Start) -> None:
    client = start(**SLOW, not_found_rate=1, not_found_seconds=50)
    (made,) = client.create("es")
    assert get(client, f"/video-translations/{made}").status_code == 404
    assert statuses(client, made)["data"][0]["status"] == "not_found"
    assert listed(client)["data"] == []
    client.advance(50)
    assert one(client, made)["id"] == statuses(client, made)["data"][0]["video_id"] == made
    assert pages(client, 10) == [made]


def test_ten_thousand_translations_are_made_listed_and_told(start: Start) -> None:
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
