"""The look-alike's webhooks, its endpoints in v3 and v1, and its event log (heygen-api sections 2 and 4)."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.integration.look_alike import SECRET, SLOW, LookAlike, Received, Receiver, Start, made

SUCCESS, FAIL = "video_translate.success", "video_translate.fail"
ENDPOINTS, EVENTS = "/webhooks/endpoints", "/webhooks/events"


def signed_with(received: Received, secret: str, header: str = "Signature") -> bool:
    expected = hmac.new(secret.encode(), received.body, hashlib.sha256).hexdigest()
    return received.headers[header] == expected


def register(client: LookAlike, url: str, events: list[str] | None = None) -> dict[str, Any]:
    client.set_webhook(None)  # the endpoint of the fixture
    answer = client.v3("POST", ENDPOINTS, json={"url": url, "events": events})
    data: dict[str, Any] = answer.json()["data"]
    return data


@pytest.mark.parametrize("header", ["Signature", "Heygen-Signature"])
def test_a_webhook_is_signed_and_equals_its_log_entry(start: Start, receiver: Receiver, header: Any) -> None:
    client = start(fates=[{"outcome": "success"}, {"outcome": "failed"}])
    client.set_webhook(receiver.url, SECRET, signature_header=header, event_headers=True)
    video_id = made(client, callback_id="row-1")
    received = receiver.next()
    assert signed_with(received, SECRET, header)
    assert "heygen-timestamp" in received.headers
    data = received.event["event_data"]
    assert data.keys() == {"video_translate_id", "url", "callback_id", "output_language"}
    assert (data["video_translate_id"], data["callback_id"]) == (video_id, "row-1")
    (entry,) = client.page(EVENTS)["data"]
    assert entry.keys() == {"event_id", "event_type", "event_data", "created_at"}
    assert received.event == {"event_type": SUCCESS, "event_data": entry["event_data"]}
    assert received.headers["heygen-event-id"] == entry["event_id"]
    made(client)
    failed = receiver.next().event
    assert (failed["event_type"], "url" in failed["event_data"]) == (FAIL, False)
    assert failed["event_data"]["message"]


def test_a_callback_url_receives_an_unsigned_copy(start: Start, receiver: Receiver) -> None:
    start().create("es", callback_url=f"{receiver.url}/token")
    events = {event.path: event for event in (receiver.next(), receiver.next())}
    signed, unsigned = events["/webhooks/heygen"], events["/webhooks/heygen/token"]
    assert "Signature" in signed.headers
    assert not {"signature", "heygen-signature"} & unsigned.headers.keys()
    assert signed.body == unsigned.body


def test_webhooks_are_lost_doubled_or_late_as_the_scenario_says(start: Start, receiver: Receiver) -> None:
    fates = [{"webhook": "late"}, {"webhook": "lost"}, {"webhook": "doubled"}, {"webhook": "prompt"}]
    client = start(**SLOW, fates=fates, late_seconds=50)
    late, lost, doubled, prompt = ids = client.create_many(4)
    client.advance(200)
    received = [receiver.next() for _ in range(3)]
    assert sorted(each.video_translate_id for each in received) == sorted([doubled, doubled, prompt])
    assert len({each.body for each in received}) == 2
    client.truth_when(lambda truth: truth.of(lost).deliveries[0].state == "lost")
    client.advance(50)
    assert receiver.next().video_translate_id == late
    truth = client.truth()
    assert [len(truth.of(each).deliveries) for each in ids] == [1, 1, 2, 1]
    assert receiver.received.empty()
    logged = [entry["event_data"]["video_translate_id"] for entry in client.page(EVENTS)["data"]]
    assert logged == ids[::-1]  # the log has the lost event too


@pytest.mark.parametrize("seconds", [200, 100_000])
def test_a_reordered_webhook_is_sent_later(start: Start, receiver: Receiver, seconds: int) -> None:
    client = start(**SLOW, fates=[{"webhook": "reordered"}, {"webhook": "prompt"}], late_seconds=10)
    first, second = client.create_many(2)
    client.advance(seconds)
    assert [receiver.next().video_translate_id for _ in range(2)] == [second, first]


def test_a_refused_webhook_is_retried_until_2xx(start: Start, receiver: Receiver) -> None:
    for answer in (503, 302, 204):
        receiver.answers.put(answer)
    client = start()
    video_id = made(client)
    assert len({receiver.next().body for _ in range(3)}) == 1
    truth = client.truth_when(lambda truth: truth.of(video_id).deliveries[0].state == "delivered")
    (delivery,) = truth.of(video_id).deliveries
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 3, 204)


def test_any_event_or_body_can_be_sent_on_demand(start: Start, receiver: Receiver) -> None:
    client = start()
    receiver.answers.put(401)
    sent = client.deliver({"event_type": SUCCESS}, secret="wrong", headers={"X-Extra": "1"})
    assert (sent.state, sent.last_status, sent.attempts) == ("gave_up", 401, 1)
    received = receiver.next()
    assert (received.event, received.headers["X-Extra"]) == ({"event_type": SUCCESS}, "1")
    assert signed_with(received, "wrong")
    assert client.deliver(body="no JSON", signed=False).state == "delivered"
    raw = receiver.next()
    assert (raw.body, "Signature" in raw.headers) == (b"no JSON", False)


def test_v3_endpoints_can_be_registered_changed_and_removed(start: Start, receiver: Receiver) -> None:
    client = start(fates=[{"outcome": "success"}, {"outcome": "failed"}, {"outcome": "failed"}])
    endpoint = register(client, receiver.url, [FAIL])
    assert endpoint.keys() == {"endpoint_id", "url", "events", "status", "created_at", "secret"}
    listed = client.page(ENDPOINTS)
    public = {key: value for key, value in endpoint.items() if key != "secret"}
    assert listed == {"data": [public], "has_more": False, "next_token": None}
    made(client)  # succeeds, and the endpoint wants failures only
    failed = made(client)
    received = receiver.next()
    assert (received.video_translate_id, signed_with(received, endpoint["secret"])) == (failed, True)
    place = f"{ENDPOINTS}/{endpoint['endpoint_id']}"
    rotated = client.v3("POST", f"{place}/rotate-secret").json()["data"]
    assert rotated.keys() == {"endpoint_id", "secret"}
    made(client)
    assert signed_with(receiver.next(), rotated["secret"])
    assert client.v3("PATCH", place, json={"status": "disabled"}).json()["data"]["status"] == "disabled"
    assert client.v3("DELETE", place).json() == {"data": {"endpoint_id": endpoint["endpoint_id"]}}
    for method, path in (("PATCH", place), ("DELETE", place), ("POST", f"{place}/rotate-secret")):
        assert client.v3(method, path, json={}).status_code == 404
    assert client.v3("POST", ENDPOINTS, json={"url": "nowhere"}).status_code == 400


def test_v1_probes_an_endpoint_and_shares_it_with_v3(start: Start, receiver: Receiver) -> None:
    client = start()
    client.set_webhook(None)
    receiver.probe_answer = 405
    for url in (receiver.url, "http://127.0.0.1:1/"):
        refused = client.v1("POST", "add", json={"url": url})
        assert (refused.status_code, refused.json()["data"], client.endpoints()) == (400, None, [])
    receiver.probe_answer = 204
    added = client.v1("POST", "add", json={"url": receiver.url, "events": [SUCCESS]}).json()
    assert (added["code"], added["message"]) == (100, None)
    made(client)
    assert signed_with(receiver.next(), added["data"]["secret"])
    for listed in (client.v1("GET", "list").json(), client.page(ENDPOINTS)):
        assert [each["endpoint_id"] for each in listed["data"]] == [added["data"]["endpoint_id"]]
    query = {"endpoint_id": added["data"]["endpoint_id"]}
    assert [client.v1("DELETE", "delete", params=query).status_code for _ in range(2)] == [200, 404]
