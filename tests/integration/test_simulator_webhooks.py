"""The simulator's webhook endpoints, registered in v3 or v1, and its log of events."""

import hashlib
import hmac
from typing import Any

import httpx
import pytest

from tests.integration.test_simulator import (  # noqa: F401 - fixtures
    HTTP,
    KEY,
    SECRET,
    Received,
    Receiver,
    Start,
    receiver_fixture,
    settled,
    start_fixture,
    truth_when,
)
from tests.integration.test_simulator_v3 import SLOW, get
from tracker.simulator.remote import SimulatorClient

SUCCESS, FAIL = "video_translate.success", "video_translate.fail"


def endpoints(client: SimulatorClient, method: str, rest: str = "", body: object = None) -> httpx.Response:
    return HTTP.request(method, f"{client.base_url}/v3/webhooks/endpoints{rest}", json=body, headers=KEY)


def register(client: SimulatorClient, url: str, events: list[str] | None = None) -> dict[str, Any]:
    answer = endpoints(client, "POST", "", {"url": url, "events": events})
    assert answer.status_code == 200
    data: dict[str, Any] = answer.json()["data"]
    return data


def alone(start: Start, **scenario: object) -> SimulatorClient:
    """A simulator without the endpoint that the fixture gives it."""
    client = start(**scenario)
    client.set_webhook(None)
    return client


def signed_with(received: Received, secret: str) -> bool:
    expected = hmac.new(secret.encode(), received.body, hashlib.sha256).hexdigest()
    return received.headers["Signature"] == expected


def log(client: SimulatorClient, **query: object) -> dict[str, Any]:
    page: dict[str, Any] = get(client, "/webhooks/events", **query).json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [entry["event_data"]["video_translate_id"] for entry in page["data"]]


def test_a_registered_endpoint_gets_signed_events(start: Start, receiver: Receiver) -> None:
    client = alone(start)
    made = register(client, receiver.url)
    assert made.keys() == {"endpoint_id", "url", "events", "status", "created_at", "secret"}
    assert (made["url"], made["events"], made["status"]) == (receiver.url, None, "enabled")
    assert made["secret"].startswith("whsec_")
    (job,) = client.create("es")
    assert signed_with(receiver.next(), made["secret"])
    (delivery,) = settled(client).of(job).deliveries
    assert (delivery.target, delivery.endpoint_id) == ("endpoint", made["endpoint_id"])


def test_the_list_shows_every_endpoint_and_no_secret(start: Start, receiver: Receiver) -> None:
    client = start()
    made = register(client, f"{receiver.url}/two", [SUCCESS])
    listed = endpoints(client, "GET").json()
    assert (listed["has_more"], listed["next_token"]) == (False, None)
    assert [one["url"] for one in listed["data"]] == [receiver.url, f"{receiver.url}/two"]
    assert listed["data"][1] == {key: value for key, value in made.items() if key != "secret"}
    assert [one.secret for one in client.endpoints()] == [SECRET, made["secret"]]


def test_only_wanted_events_come_and_only_while_enabled(start: Start, receiver: Receiver) -> None:
    fates = [{"outcome": "success"}, {"outcome": "failed"}, {"outcome": "failed"}]
    client = alone(start, fates=fates)
    made = register(client, receiver.url, [SUCCESS])
    place = f"/{made['endpoint_id']}"
    first = client.create("es")[0]
    assert receiver.next().video_translate_id == first
    assert endpoints(client, "PATCH", place, {"events": [FAIL]}).json()["data"]["events"] == [FAIL]
    second = client.create("es")[0]
    assert receiver.next().video_translate_id == second
    assert endpoints(client, "PATCH", place, {"status": "disabled"}).json()["data"]["status"] == "disabled"
    (third,) = client.create("es")
    client.advance(60)
    truth_when(client, lambda truth: truth.of(third).status == "failed")
    assert client.truth().of(third).deliveries == ()


def test_an_endpoint_moves_and_goes(start: Start, receiver: Receiver) -> None:
    client = alone(start)
    made = register(client, "http://127.0.0.1:1/nobody")
    place = f"/{made['endpoint_id']}"
    assert endpoints(client, "PATCH", place, {"url": receiver.url}).json()["data"]["events"] is None
    client.create("es")
    assert signed_with(receiver.next(), made["secret"])
    gone = endpoints(client, "DELETE", place)
    assert gone.json() == {"data": {"endpoint_id": made["endpoint_id"]}}
    assert client.endpoints() == []


def test_an_endpoint_nobody_registered_is_a_404(start: Start) -> None:
    client = start()
    for method, rest in (("PATCH", "/none"), ("DELETE", "/none"), ("POST", "/none/rotate-secret")):
        answer = endpoints(client, method, rest, {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert endpoints(client, "POST", "", {"url": "nowhere"}).status_code == 400


def test_a_rotation_signs_later_events_and_leaves_retries_as_they_were(
    start: Start, receiver: Receiver
) -> None:
    client = alone(start, retry_seconds=1000)
    made = register(client, receiver.url)
    receiver.answers.put(503)
    (first,) = client.create("es")
    assert signed_with(receiver.next(), made["secret"])
    truth_when(client, lambda truth: truth.of(first).deliveries[0].state == "waiting")
    rotated = endpoints(client, "POST", f"/{made['endpoint_id']}/rotate-secret").json()["data"]
    assert rotated.keys() == {"endpoint_id", "secret"}
    assert rotated["secret"] != made["secret"]
    client.create("es")
    assert signed_with(receiver.next(), rotated["secret"])
    client.advance(1000)
    retry = receiver.next()
    assert retry.video_translate_id == first
    assert signed_with(retry, made["secret"])


def test_the_old_control_replaces_its_own_endpoint_alone(start: Start, receiver: Receiver) -> None:
    client = start()
    made = register(client, f"{receiver.url}/two")
    client.set_webhook(f"{receiver.url}/three", "other")
    assert [one.url for one in client.endpoints()] == [made["url"], f"{receiver.url}/three"]
    (main,) = (one for one in client.endpoints() if one.secret == "other")
    endpoints(client, "DELETE", f"/{main.endpoint_id}")
    client.set_webhook(None)
    assert [one.url for one in client.endpoints()] == [made["url"]]


def v1(client: SimulatorClient, method: str, name: str, **how: Any) -> httpx.Response:
    return HTTP.request(method, f"{client.base_url}/v1/webhook/endpoint.{name}", headers=KEY, **how)


def test_v1_knocks_before_it_registers(start: Start, receiver: Receiver) -> None:
    client = alone(start)
    receiver.probe_answer = 405
    refused = v1(client, "POST", "add", json={"url": receiver.url})
    assert (refused.status_code, refused.json()["data"], client.endpoints()) == (400, None, [])
    assert receiver.url in refused.json()["message"]
    receiver.probe_answer = 204
    added = v1(client, "POST", "add", json={"url": receiver.url, "events": [SUCCESS]}).json()
    assert (added["code"], added["message"]) == (100, None)
    assert {"endpoint_id", "url", "secret", "status", "events"} <= added["data"].keys()
    client.create("es")
    assert signed_with(receiver.next(), added["data"]["secret"])


def test_v1_lists_and_deletes_what_v3_registered(start: Start, receiver: Receiver) -> None:
    client = alone(start)
    made = register(client, receiver.url)
    listed = v1(client, "GET", "list").json()
    assert (listed["code"], [one["endpoint_id"] for one in listed["data"]]) == (100, [made["endpoint_id"]])
    wanted = {"endpoint_id": made["endpoint_id"]}
    assert v1(client, "DELETE", "delete", params=wanted).json()["code"] == 100
    assert v1(client, "DELETE", "delete", params=wanted).status_code == 404


def test_a_url_that_nobody_serves_fails_v1s_knock(start: Start) -> None:
    assert v1(start(), "POST", "add", json={"url": "http://127.0.0.1:1/"}).status_code == 400


def test_an_event_is_in_the_log_from_the_end_on_whoever_listens(start: Start) -> None:
    client = alone(start, **SLOW, fates=[{"webhook": "lost"}, {"webhook": "late"}, {"outcome": "failed"}])
    lost, late, failed = client.create_many(3, callback_id_prefix="c")
    assert log(client) == {"data": [], "has_more": False, "next_token": None}
    client.advance(200)
    page = log(client)
    assert ids_of(page) == [failed, late, lost]
    entry = page["data"][2]
    assert entry.keys() == {"event_id", "event_type", "event_data", "created_at"}
    assert entry["created_at"] == int(client.truth().of(lost).finished_at.timestamp())
    assert entry["event_data"].keys() == {"video_translate_id", "url", "callback_id", "output_language"}
    assert log(client) == page
    assert ids_of(log(client, event_type=FAIL)) == [failed]


def test_the_log_and_the_webhook_say_the_same(start: Start, receiver: Receiver) -> None:
    client = start()
    client.set_webhook(receiver.url, SECRET, event_headers=True)
    client.create("es")
    came = receiver.next()
    (entry,) = log(client)["data"]
    assert {key: entry[key] for key in ("event_type", "event_data")} == came.event
    assert entry["event_id"] == came.headers["Heygen-Event-Id"]


def test_an_incomplete_log_leaves_lost_events_out(start: Start) -> None:
    client = start(fates=[{"webhook": "lost"}], event_log_complete=False, **SLOW)
    _, told = client.create_many(2)
    client.advance(200)
    assert ids_of(log(client)) == [told]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_the_log_has_pages_in_either_order(start: Start, order: str) -> None:
    client = alone(start, **SLOW)
    ids = client.create_many(5)
    client.set_oddities(events_order=order)
    client.set_events([{"event_id": "x", "event_type": "avatar_video.success", "event_data": {}}])
    client.advance(200)
    seen: list[Any] = []
    token: dict[str, str] = {}
    while True:
        page = log(client, limit=2, **token)
        seen += [entry["event_data"].get("video_translate_id") for entry in page["data"]]
        if not page["has_more"]:
            break
        token = {"token": page["next_token"]}
    assert seen == [None, *(ids if order == "oldest" else ids[::-1])]


def test_anything_can_be_put_into_the_log(start: Start) -> None:
    client = start()
    strange = [None, 5, {"event_type": "avatar_video.success"}, {"event_type": 7, "event_data": []}]
    client.set_events(strange)
    assert log(client)["data"] == strange
    assert log(client, event_type=SUCCESS)["data"] == [None, 5, strange[3]]
    client.set_events([])
    assert log(client)["data"] == []
