"""The look-alike's files over real sockets: bytes, ranges and faults."""

import hashlib
from typing import get_args

import httpx
import pytest

from tests.integration.look_alike import DONE, HTTP, KEY, Receiver, Start, link, made
from tracker.simulator.file_faults import FileFault

BROKEN = httpx.RemoteProtocolError
FAULTS: dict[FileFault, int | type[Exception]] = {
    "500": 500, "429": 429, "refused": 403, "redirect": 302, "hang": 504, "no_head": 405,
    "chunked": 200, "slow": 200, "no_range": 200,
    "broken": BROKEN, "short": BROKEN, "encoded": httpx.DecodingError,
}  # fmt: skip


def test_every_link_leads_to_the_file_that_the_truth_describes(start: Start, receiver: Receiver) -> None:
    client = start(**DONE)
    video_id = made(client, caption=True)
    data = client.translation(video_id)
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
    assert HTTP.get(urls["audio.mp3"], headers=KEY).status_code == 200
    assert client.truth().requests.files_with_secrets == 1
    for wrong, status in (("audio.mp3?", 403), ("unknown.mp4?", 404)):
        assert HTTP.get(data["video_url"].replace("original.mp4?", wrong)).status_code == status


@pytest.mark.parametrize("fault", get_args(FileFault))
def test_a_forced_file_fault_affects_one_answer(start: Start, fault: FileFault) -> None:
    client = start(**DONE, file_bytes=5000, hang_seconds=0)
    url = link(client, made(client))
    outcome = FAULTS[fault]
    whole, piece = HTTP.get(url).content, {"Range": "bytes=9-"}
    client.set_file_faults(fault, times=1, bytes_per_second=100_000)
    if isinstance(outcome, int):
        method, headers = "HEAD" if fault == "no_head" else "GET", piece if fault == "no_range" else {}
        answer = HTTP.request(method, url, headers=headers)
        assert (answer.status_code, answer.content) == (outcome, whole if outcome == 200 else answer.content)
        assert fault != "chunked" or "content-length" not in answer.headers
    else:
        with pytest.raises(outcome):
            HTTP.get(url)
    answer = HTTP.get(url, headers=piece)
    assert (answer.status_code, answer.content) == (206, whole[9:])
