"""The simulator's files over real sockets, asked by a client that follows nothing and forgives nothing."""

import hashlib
from typing import Any

import httpx
import pytest

from tests.integration.test_simulator import (  # noqa: F401 - fixtures
    HTTP,
    KEY,
    Receiver,
    Start,
    ask,
    eventually,
    receiver_fixture,
    start_fixture,
)
from tests.integration.test_simulator_v3 import one
from tracker.cli.simulate import simulate
from tracker.errors import InputError
from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient, SimulatorError
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running
from tracker.simulator.truth import FileTruth

DONE: dict[str, Any] = {"pending_seconds": 0, "running_seconds": 0, "serve_files": True}


def made(client: SimulatorClient, **order: Any) -> str:
    (video_translate_id,) = client.create("es", **order)
    return video_translate_id


def link(client: SimulatorClient, video_translate_id: str, field: str = "url") -> str:
    url = ask(client, video_translate_id).json()["data"][field]
    assert isinstance(url, str)
    return url


def file_truth(client: SimulatorClient, video_translate_id: str, name: str = "original.mp4") -> FileTruth:
    return client.truth().of(video_translate_id).files[name]


def test_without_the_flag_links_lead_to_heygens_host_and_nothing_is_served(start: Start) -> None:
    client = start(**DONE | {"serve_files": False})
    video_translate_id = made(client)
    url = link(client, video_translate_id)
    assert url.startswith("https://resource2.heygen.ai/video_translate/")
    path = url.replace("https://resource2.heygen.ai/video_translate", f"{client.base_url}/files")
    assert HTTP.get(path).status_code == 403
    assert client.truth().of(video_translate_id).files == {}


def test_every_link_leads_to_a_file_and_the_truth_knows_it(start: Start) -> None:
    client = start(**DONE)
    video_translate_id = made(client, caption=True)
    data = one(client, video_translate_id)
    urls = {
        "original.mp4": data["video_url"],
        "audio.mp3": data["audio_url"],
        "caption.srt": data["srt_caption_url"],
        "caption.vtt": data["vtt_caption_url"],
        "caption.ass": link(client, video_translate_id, "caption_url"),
    }
    files = client.truth().of(video_translate_id).files
    assert files.keys() == urls.keys()
    for name, url in urls.items():
        answer = HTTP.get(url)
        assert answer.status_code == 200
        assert files[name].size == len(answer.content) == int(answer.headers["Content-Length"])
        assert files[name].sha256 == hashlib.sha256(answer.content).hexdigest()
        assert files[name].content_type == answer.headers["Content-Type"]
    assert client.truth().requests.file_bytes == sum(one.size for one in files.values())


def test_the_webhook_carries_such_a_link_too(start: Start, receiver: Receiver) -> None:
    client = start(**DONE)
    made(client)
    url = receiver.next().event["event_data"]["url"]
    assert url.startswith(f"{client.base_url}/files/")
    assert HTTP.get(url).status_code == 200


def test_what_was_not_asked_for_or_has_failed_has_no_file(start: Start) -> None:
    client = start(**DONE, fates=[{}, {"outcome": "failed"}])
    good, failed = made(client), made(client)
    assert set(client.truth().of(good).files) == {"original.mp4", "audio.mp3"}
    assert client.truth().of(failed).files == {}
    query = link(client, good).partition("?")[2]
    for path in (f"{good}/caption.ass", f"{failed}/original.mp4", "unknown/original.mp4", f"{good}/x.mp4"):
        assert HTTP.get(f"{client.base_url}/files/{path}?{query}").status_code == 404
    assert client.truth().requests.answers_by_route["files.get"] == {"not_found": 4}


def test_a_file_is_there_no_sooner_than_its_link(start: Start) -> None:
    client = start(**DONE | {"running_seconds": 1000})
    video_translate_id = made(client)
    assert HTTP.get(f"{client.base_url}/files/{video_translate_id}/original.mp4").status_code == 404


def test_head_says_what_get_brings(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    head, get = HTTP.head(url), HTTP.get(url)
    names = ("ETag", "Last-Modified", "Content-Length", "Content-Type", "Accept-Ranges")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert (head.status_code, head.content) == (200, b"")


def test_ranges_are_pieces_of_the_file(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    whole = HTTP.get(url).content
    size = len(whole)
    for asked, first, end in [
        ("bytes=0-", 0, size),
        ("bytes=0-0", 0, 1),
        ("bytes=70000-", 70_000, size),
        ("bytes=5-70009", 5, 70_010),
        (f"bytes={size - 1}-", size - 1, size),
        (f"bytes=9-{size + 50}", 9, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size + 5}", 0, size),
    ]:
        answer = HTTP.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, whole[first:end]), asked
        assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{size}"
    for asked in (f"bytes={size}-", f"bytes={size + 9}-", "bytes=-0", "bytes=9-3"):
        answer = HTTP.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}"), asked
    for asked in ("bytes=-", "bytes=0-1,5-6", "items=0-1", "bytes=a-b"):
        answer = HTTP.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, whole), asked


def test_a_range_on_a_condition_is_given_for_this_very_version(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    said = HTTP.head(url).headers
    for condition, status in [
        (said["ETag"], 206),
        (said["Last-Modified"], 206),
        ('"another"', 200),
        (f"W/{said['ETag']}", 200),
    ]:
        assert HTTP.get(url, headers={"Range": "bytes=9-", "If-Range": condition}).status_code == status


@pytest.mark.parametrize("shape", ["Expires", "Policy", "Amz", "none"])
def test_a_link_expires_or_is_revoked_and_a_fresh_one_works(start: Start, shape: str) -> None:
    client = start(**DONE, link_expiry=shape, link_life_seconds=3600)
    mine, other = made(client), made(client)
    first, others = link(client, mine), link(client, other)
    assert HTTP.get(first).status_code == 200
    client.revoke_links(mine)
    assert (HTTP.get(first).status_code, HTTP.get(others).status_code) == (403, 200)
    second = link(client, mine)
    assert HTTP.get(second).status_code == 200
    client.advance(3601)
    assert (HTTP.get(second).status_code, HTTP.get(others).status_code) == (403, 403)
    assert b"<Code>AccessDenied</Code>" in HTTP.get(second).content
    assert HTTP.get(link(client, mine)).status_code == 200
    client.revoke_links()
    answers = client.truth().requests.answers_by_route["files.get"]
    assert answers == {"ok": 4, "revoked": 1, "expired": 3}


def test_s3_signs_the_method_too(start: Start) -> None:
    client = start(**DONE, link_expiry="Amz")
    url = link(client, made(client))
    assert (HTTP.head(url).status_code, HTTP.get(url).status_code) == (403, 200)


def test_answers_without_a_file_on_demand(start: Start) -> None:
    client = start(**DONE, hang_seconds=0.05)
    url = link(client, made(client))
    for fault, status in [("500", 500), ("429", 429), ("refused", 403), ("hang", 504)]:
        client.set_file_faults(fault, times=2)  # type: ignore[arg-type]
        assert [HTTP.get(url).status_code, HTTP.head(url).status_code] == [status, status]
        assert HTTP.get(url).status_code == 200
    client.set_file_faults("no_head")
    assert [HTTP.head(url).status_code, HTTP.get(url).status_code] == [405, 200]
    client.set_file_faults(None)
    assert HTTP.head(url).status_code == 200


def test_a_redirect_leads_to_the_file_or_wherever_it_is_told(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    client.set_file_faults("redirect")
    onward = HTTP.get(url)
    assert onward.status_code == 302
    assert HTTP.get(onward.headers["Location"]).status_code == 200
    client.set_file_faults("redirect", location="http://169.254.169.254/latest/meta-data")
    assert HTTP.get(url).headers["Location"] == "http://169.254.169.254/latest/meta-data"


@pytest.mark.parametrize(("fault", "comes"), [("broken", 70_000), ("short", 100_000)])
def test_an_answer_ends_before_all_that_it_promised_has_come(start: Start, fault: Any, comes: int) -> None:
    client = start(**DONE, file_bytes=100_000)
    url = link(client, made(client))
    client.set_file_faults(fault, times=1, after_bytes=70_000)
    received = bytearray()

    def take() -> None:
        with HTTP.stream("GET", url) as answer:
            for chunk in answer.iter_raw():
                received.extend(chunk)

    with pytest.raises(httpx.RemoteProtocolError, match="closed connection without sending complete"):
        take()
    assert len(received) == comes
    assert HTTP.get(url).content.startswith(received)


def test_a_file_may_come_without_its_length_encoded_or_from_its_beginning(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    whole = HTTP.get(url).content
    client.set_file_faults("chunked")
    answer = HTTP.get(url)
    assert ("Content-Length" in answer.headers, answer.content) == (False, whole)
    client.set_file_faults("no_range")
    assert HTTP.get(url, headers={"Range": "bytes=5-"}).content == whole
    client.set_file_faults("encoded")
    with HTTP.stream("GET", url) as raw:
        assert raw.headers["Content-Encoding"] == "gzip"


def test_a_slow_file_comes_a_little_at_a_time(start: Start) -> None:
    client = start(**DONE, file_bytes=100_000)
    url = link(client, made(client))
    client.set_file_faults("slow", bytes_per_second=200)
    with HTTP.stream("GET", url) as answer:
        assert len(next(answer.iter_raw())) == 20
    client.set_file_faults(None)
    assert len(HTTP.get(url).content) == 100_000


def test_the_scenario_says_how_fast_files_come(start: Start) -> None:
    client = start(**DONE, file_bytes=100_000, file_bytes_per_second=400_000)
    with HTTP.stream("GET", link(client, made(client))) as answer:
        sizes = [len(chunk) for chunk in answer.iter_raw()]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 40_000


def test_by_chance_files_go_wrong_too(start: Start) -> None:
    client = start(**DONE, file_error_rate=1, file_bytes=5000)
    url = link(client, made(client))
    for _ in range(40):
        try:
            HTTP.get(url)
        except httpx.RemoteProtocolError:
            continue
    answers = client.truth().requests.answers_by_route["files.get"]
    assert answers.keys() == {"500", "429", "refused", "redirect", "broken", "short"}


def test_a_key_that_comes_along_is_counted(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    HTTP.get(url)
    assert client.truth().requests.files_with_secrets == 0
    for headers in (KEY, {"Authorization": "Bearer x"}, {"Cookie": "a=b"}):
        HTTP.get(url, headers=headers)
    assert client.truth().requests.files_with_secrets == 3


def test_a_simulator_stops_in_the_middle_of_a_slow_file(start: Start) -> None:
    """The fixture stops it; what hangs on purpose must not hold that up."""
    client = start(**DONE)
    client.set_file_faults("slow", bytes_per_second=1)
    with HTTP.stream("GET", link(client, made(client))) as answer:
        assert next(answer.iter_raw())


def test_orders_that_make_no_sense_are_refused(start: Start) -> None:
    client = start(**DONE)
    for path, body in [
        ("file-faults", {"answer": "lost"}),
        ("file-faults", {"answer": "500", "times": 0}),
        ("file-faults", {"anwser": "500"}),
    ]:
        assert HTTP.put(f"{client.base_url}/simulator/{path}", json=body).status_code == 400
    assert HTTP.post(f"{client.base_url}/simulator/revocations", json={}).status_code == 400
    with pytest.raises(SimulatorError, match="404"):
        client._ask("PUT", "/simulator/nothing", {})


def test_the_flags_of_files_are_checked_as_all_are() -> None:
    with pytest.raises(InputError, match="file_bytes: needs 0 <= MIN <= MAX"):
        simulate(file_bytes="5,1")
    with pytest.raises(InputError, match=r"file_error_rate: .* for example: file_error_rate = 0.2"):
        simulate(file_error_rate=2)


def test_a_link_to_a_simulator_on_all_addresses_leads_to_loopback() -> None:
    app = create_app(Scenario.model_validate(DONE))
    with (
        running(app, "0.0.0.0") as base_url,
        SimulatorClient(base_url.replace("0.0.0.0", "127.0.0.1")) as client,
    ):
        url = eventually(lambda: ask(client, made(client)).json()["data"]["url"])
        assert url.startswith(f"{client.base_url}/files/")
        assert HTTP.get(url).status_code == 200
