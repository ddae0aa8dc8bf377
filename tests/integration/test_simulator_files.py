"""The look-alike's files over real sockets: bytes, ranges, links that expire, and faults."""

import hashlib

import httpx
import pytest

from tests.integration.look_alike import (  # noqa: F401 - fixtures
    DONE,
    HTTP,
    KEY,
    Receiver,
    Start,
    link,
    made,
    receiver_fixture,
    start_fixture,
    translation,
)


def test_every_link_leads_to_a_file_that_the_truth_describes(start: Start, receiver: Receiver) -> None:
    client = start(**DONE)
    video_id = made(client, caption=True)
    data = translation(client, video_id)
    urls = {
        "original.mp4": data["video_url"],
        "audio.mp3": data["audio_url"],
        "caption.srt": data["srt_caption_url"],
        "caption.vtt": data["vtt_caption_url"],
        "caption.ass": link(client, video_id, "caption_url"),
    }
    files = client.truth().of(video_id).files
    assert files.keys() == urls.keys()
    for name, url in urls.items():
        answer, head = HTTP.get(url), HTTP.head(url)
        assert (answer.status_code, head.status_code, head.content) == (200, 200, b"")
        assert files[name].size == len(answer.content) == int(answer.headers["Content-Length"])
        assert files[name].sha256 == hashlib.sha256(answer.content).hexdigest()
        assert files[name].content_type == answer.headers["Content-Type"]
        assert head.headers["ETag"] == answer.headers["ETag"]
    assert client.truth().requests.file_bytes == sum(each.size for each in files.values())
    assert HTTP.get(receiver.next().event["event_data"]["url"]).status_code == 200


def test_what_has_failed_or_was_not_ordered_has_no_file(start: Start) -> None:
    client = start(**DONE, fates=[{}, {"outcome": "failed"}])
    good, failed = made(client), made(client)
    assert set(client.truth().of(good).files) == {"original.mp4", "audio.mp3"}
    assert client.truth().of(failed).files == {}
    query = link(client, good).partition("?")[2]
    for path in (f"{good}/caption.ass", f"{failed}/original.mp4", "unknown/original.mp4"):
        assert HTTP.get(f"{client.base_url}/files/{path}?{query}").status_code == 404
    assert client.truth().requests.answers_by_route["files.get"] == {"not_found": 3}


def test_a_range_is_a_piece_of_the_file(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    whole = HTTP.get(url)
    size, etag = len(whole.content), whole.headers["ETag"]
    answer = HTTP.get(url, headers={"Range": "bytes=9-70000", "If-Range": etag})
    assert (answer.status_code, answer.content) == (206, whole.content[9:70_001])
    assert answer.headers["Content-Range"] == f"bytes 9-70000/{size}"
    assert HTTP.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416
    assert HTTP.get(url, headers={"Range": "bytes=9-", "If-Range": '"another"'}).status_code == 200


@pytest.mark.parametrize("shape", ["Expires", "Policy", "Amz", "none"])
def test_a_link_expires_or_is_revoked_and_a_fresh_link_works(start: Start, shape: str) -> None:
    client = start(**DONE, link_expiry=shape, link_life_seconds=3600)
    mine, other = made(client), made(client)
    first, others = link(client, mine), link(client, other)
    assert HTTP.get(first).status_code == 200
    assert HTTP.get(first.partition("?")[0]).status_code == 403
    client.revoke_links(mine)
    assert (HTTP.get(first).status_code, HTTP.get(others).status_code) == (403, 200)
    second = link(client, mine)
    client.advance(3601)
    assert (HTTP.get(second).status_code, HTTP.get(others).status_code) == (403, 403)
    assert HTTP.get(link(client, mine)).status_code == 200
    answers = client.truth().requests.answers_by_route["files.get"]
    assert answers == {"ok": 3, "revoked": 1, "expired": 2, "unsigned": 1}
    assert HTTP.head(link(client, mine)).status_code == (403 if shape == "Amz" else 200)


def test_chance_breaks_files_too(start: Start) -> None:
    client = start(**DONE, file_error_rate=1, file_bytes=5000)
    url = link(client, made(client))
    for _ in range(40):
        try:
            HTTP.get(url)
        except httpx.RemoteProtocolError:
            continue
    answers = client.truth().requests.answers_by_route["files.get"]
    assert answers.keys() == {"500", "429", "refused", "redirect", "broken", "short"}


def test_requests_for_files_that_carry_a_secret_are_counted(start: Start) -> None:
    client = start(**DONE)
    url = link(client, made(client))
    for headers in ({}, KEY, {"Authorization": "Bearer x"}, {"Cookie": "a=b"}):
        HTTP.get(url, headers=headers)
    assert client.truth().requests.files_with_secrets == 3
