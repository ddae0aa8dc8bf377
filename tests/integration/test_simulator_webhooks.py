"""The look-alike's webhooks, its endpoints in v3 and v1, and its event log (heygen-api sections 2 and 4)."""

import hashlib
import hmac
from typing import Any

import httpx
import pytest

from tests.integration.look_alike import (  # noqa: F401 - fixtures
    HTTP,
    KEY,
    SECRET,
    SLOW,
    Received,
    Receiver,
    Start,
    get,
    made,
    receiver_fixture,
    settled,
    start_fixture,
    truth_when,
    v1,
)
from tracker.simulator.remote import SimulatorClient, SimulatorError

SUCCESS, FAIL = "video_translate.success", "video_translate.fail"


def endpoints(client: SimulatorClient, method: str, rest: str = "", body: object = None) -> httpx.Response:
    return HTTP.request(method, f"{client.base_url}/v3/webhooks/endpoints{rest}", json=body, headers=KEY)


def register(client: SimulatorClient, url: str, events: list[str] | None = None) -> dict[str, Any]:
    data: dict[str, Any] = endpoints(client, "POST", "", {"url": url, "events": events}).json()["data"]
    return data


def alone(start: Start, **scenario: object) -> SimulatorClient:
    """A simulator without the endpoint that the fixture gives it."""
    client = start(**scenario)
    client.set_webhook(None)
    return client


def signed_with(received: Received, secret: str, header: str = "Signature") -> bool:
    expected = hmac.new(secret.encode(), received.body, hashlib.sha256).hexdigest()
    return received.headers[header] == expected


def log(client: SimulatorClient, **query: object) -> dict[str, Any]:
    page: dict[str, Any] = get(client, "/webhooks/events", **query).json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [entry["event_data"]["video_translate_id"] for entry in page["data"]]


# What is sent


@pytest.mark.parametrize("header", ["Signature", "Heygen-Signature"])
def test_a_webhook_is_signed_over_its_raw_body(start: Start, receiver: Receiver, header: Any) -> None:
    client = start(fates=[{"outcome": "success"}, {"outcome": "failed"}])
    client.set_webhook(receiver.url, SECRET, signature_header=header, event_headers=True)
    video_id = made(client, callback_id="row-1")
    received = receiver.next()
    assert signed_with(received, SECRET, header)
    assert {"heygen-event-id", "heygen-timestamp"} <= received.headers.keys()
    assert received.event["event_type"] == SUCCESS
    data = received.event["event_data"]
    assert data.keys() == {"video_translate_id", "url", "callback_id", "output_language"}
    assert (data["video_translate_id"], data["callback_id"]) == (video_id, "row-1")
    (delivery,) = settled(client).of(video_id).deliveries
    assert (delivery.target, delivery.state, delivery.attempts) == ("endpoint", "delivered", 1)
    made(client)
    failed = receiver.next().event
    assert (failed["event_type"], "url" in failed["event_data"]) == (FAIL, False)
    assert failed["event_data"]["message"]


def test_the_callback_url_of_a_request_gets_an_unsigned_copy(start: Start, receiver: Receiver) -> None:
    start().create("es", callback_url=f"{receiver.url}/token")
    events = {event.path: event for event in (receiver.next(), receiver.next())}
    signed, unsigned = events["/webhooks/heygen"], events["/webhooks/heygen/token"]
    assert "Signature" in signed.headers
    assert not {"signature", "heygen-signature"} & unsigned.headers.keys()
    assert signed.body == unsigned.body


def test_webhooks_are_lost_doubled_or_late_as_the_scenario_says(start: Start, receiver: Receiver) -> None:
    fates = [{"webhook": "late"}, {"webhook": "lost"}, {"webhook": "doubled"}, {"webhook": "prompt"}]
    client = start(**SLOW, fates=fates, late_seconds=50)
    late, lost, doubled, prompt = client.create_many(4)
    client.advance(200)
    received = [receiver.next() for _ in range(3)]
    assert sorted(each.video_translate_id for each in received) == sorted([doubled, doubled, prompt])
    assert len({each.body for each in received}) == 2
    truth_when(client, lambda truth: truth.of(lost).deliveries[0].state == "lost")
    client.advance(50)
    assert receiver.next().video_translate_id == late
    truth = settled(client)
    assert [len(truth.of(each).deliveries) for each in (late, lost, doubled, prompt)] == [1, 1, 2, 1]
    assert receiver.received.empty()


@pytest.mark.parametrize("seconds", [200, 100_000])
def test_a_reordered_webhook_follows_that_of_a_later_translation(
    start: Start, receiver: Receiver, seconds: int
) -> None:
    client = start(**SLOW, fates=[{"webhook": "reordered"}, {"webhook": "prompt"}], late_seconds=10)
    first, second = client.create_many(2)
    client.advance(seconds)
    assert [receiver.next().video_translate_id for _ in range(2)] == [second, first]


def test_a_reordered_webhook_that_nothing_overtakes_is_sent_all_the_same(
    start: Start, receiver: Receiver
) -> None:
    video_id = made(start(webhook_reordered=1, late_seconds=0.1))
    assert receiver.next().video_translate_id == video_id


def test_a_refused_webhook_is_sent_again_until_2xx(start: Start, receiver: Receiver) -> None:
    for answer in (503, 302, 204):
        receiver.answers.put(answer)
    client = start()
    video_id = made(client)
    assert len({receiver.next().body for _ in range(3)}) == 1
    (delivery,) = settled(client).of(video_id).deliveries
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 3, 204)


def test_any_event_or_body_can_be_sent_now(start: Start, receiver: Receiver) -> None:
    client = start()
    event = {"event_type": SUCCESS, "event_data": {"video_translate_id": "f" * 32}}
    receiver.answers.put(401)
    sent = client.deliver(event, secret="wrong", headers={"X-Extra": "1"})
    received = receiver.next()
    assert (sent.state, sent.last_status, sent.attempts) == ("gave_up", 401, 1)
    assert (received.event, received.headers["X-Extra"]) == (event, "1")
    assert signed_with(received, "wrong")
    assert client.deliver(body="no JSON", signed=False).state == "delivered"
    raw = receiver.next()
    assert (raw.body, "Signature" in raw.headers) == (b"no JSON", False)
    with pytest.raises(SimulatorError, match="either event or body"):
        client.deliver()
    client.set_webhook(None)
    with pytest.raises(SimulatorError, match="no endpoint is registered"):
        client.deliver({})


# Endpoints


def test_an_endpoint_is_registered_listed_changed_and_removed(start: Start, receiver: Receiver) -> None:
    client = alone(start, fates=[{"outcome": "success"}, {"outcome": "failed"}, {"outcome": "failed"}])
    endpoint = register(client, receiver.url, [SUCCESS])
    assert endpoint.keys() == {"endpoint_id", "url", "events", "status", "created_at", "secret"}
    assert endpoints(client, "GET").json() == {
        "data": [{key: value for key, value in endpoint.items() if key != "secret"}],
        "has_more": False,
        "next_token": None,
    }
    video_id = made(client)
    received = receiver.next()
    assert (received.video_translate_id, signed_with(received, endpoint["secret"])) == (video_id, True)
    place = f"/{endpoint['endpoint_id']}"
    moved = {"url": f"{receiver.url}/two", "events": [FAIL]}
    assert endpoints(client, "PATCH", place, moved).json()["data"]["events"] == [FAIL]
    failed = made(client)
    received = receiver.next()
    assert (received.video_translate_id, received.path) == (failed, "/webhooks/heygen/two")
    assert endpoints(client, "PATCH", place, {"status": "disabled"}).json()["data"]["status"] == "disabled"
    unreported = made(client)
    client.advance(60)
    truth_when(client, lambda truth: truth.of(unreported).status == "failed")
    assert client.truth().of(unreported).deliveries == ()
    assert endpoints(client, "DELETE", place).json() == {"data": {"endpoint_id": endpoint["endpoint_id"]}}
    for method, rest in (("PATCH", place), ("DELETE", place), ("POST", f"{place}/rotate-secret")):
        assert endpoints(client, method, rest, {}).status_code == 404
    assert endpoints(client, "POST", "", {"url": "nowhere"}).status_code == 400


def test_a_rotation_signs_later_events_and_leaves_retries_as_they_were(
    start: Start, receiver: Receiver
) -> None:
    client = alone(start, retry_seconds=1000)
    endpoint = register(client, receiver.url)
    receiver.answers.put(503)
    first = made(client)
    assert signed_with(receiver.next(), endpoint["secret"])
    truth_when(client, lambda truth: truth.of(first).deliveries[0].state == "waiting")
    rotated = endpoints(client, "POST", f"/{endpoint['endpoint_id']}/rotate-secret").json()["data"]
    assert rotated.keys() == {"endpoint_id", "secret"}
    made(client)
    assert signed_with(receiver.next(), rotated["secret"])
    client.advance(1000)
    retry = receiver.next()
    assert (retry.video_translate_id, signed_with(retry, endpoint["secret"])) == (first, True)


def test_v1_probes_before_it_registers_and_shares_its_endpoints_with_v3(
    start: Start, receiver: Receiver
) -> None:
    client = alone(start)
    receiver.probe_answer = 405
    for url in (receiver.url, "http://127.0.0.1:1/"):
        refused = v1(client, "POST", "add", json={"url": url})
        assert (refused.status_code, refused.json()["data"], client.endpoints()) == (400, None, [])
    receiver.probe_answer = 204
    added = v1(client, "POST", "add", json={"url": receiver.url, "events": [SUCCESS]}).json()
    assert (added["code"], added["message"]) == (100, None)
    made(client)
    assert signed_with(receiver.next(), added["data"]["secret"])
    other = register(client, f"{receiver.url}/two")
    ids = [each["endpoint_id"] for each in v1(client, "GET", "list").json()["data"]]
    assert ids == [added["data"]["endpoint_id"], other["endpoint_id"]]
    answers = [v1(client, "DELETE", "delete", params={"endpoint_id": ids[1]}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 404]


# The event log


def test_the_log_has_every_event_whether_or_not_a_webhook_was_sent(start: Start) -> None:
    client = alone(start, **SLOW, fates=[{"webhook": "lost"}, {"webhook": "late"}, {"outcome": "failed"}])
    lost, late, failed = client.create_many(3, callback_id_prefix="c")
    assert log(client) == {"data": [], "has_more": False, "next_token": None}
    client.advance(200)
    page = log(client)
    assert ids_of(page) == [failed, late, lost]
    entry = page["data"][2]
    assert entry.keys() == {"event_id", "event_type", "event_data", "created_at"}
    assert entry["created_at"] == int(client.truth().of(lost).finished_at.timestamp())
    assert ids_of(log(client, event_type=FAIL)) == [failed]


def test_the_log_and_the_webhook_say_the_same(start: Start, receiver: Receiver) -> None:
    client = start()
    client.set_webhook(receiver.url, SECRET, event_headers=True)
    client.create("es")
    received = receiver.next()
    (entry,) = log(client)["data"]
    assert {key: entry[key] for key in ("event_type", "event_data")} == received.event
    assert entry["event_id"] == received.headers["Heygen-Event-Id"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_the_log_has_pages_in_either_order_and_anything_put_into_it(start: Start, order: str) -> None:
    client = alone(start, **SLOW)
    ids = client.create_many(5)
    client.set_oddities(events_order=order)
    odd = [None, {"event_type": "avatar_video.success"}]
    client.set_events(odd)
    client.advance(200)
    page = log(client, limit=2)
    entries = page["data"]
    while page["has_more"]:
        page = log(client, limit=2, token=page["next_token"])
        entries += page["data"]
    assert entries[:2] == odd
    assert ids_of({"data": entries[2:]}) == (ids if order == "oldest" else ids[::-1])
