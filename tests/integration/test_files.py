"""The client for files against the look-alike, over real sockets: the bytes are right in the end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.builders import NOON
from tests.integration.look_alike import (  # noqa: F401 - fixtures
    DONE,
    Start,
    file_truth,
    link,
    made,
    receiver_fixture,
    start_fixture,
)
from tracker.domain.files.allowed_hosts import FileHosts
from tracker.errors import (
    BrokenTransferError,
    FileTooLargeError,
    LinkRefusedError,
    UnsafeLinkError,
)
from tracker.heygen.client import HeyGenClient
from tracker.outbound.file_client import FileClient
from tracker.outbound.stall_detection import Patience
from tracker.settings import Settings
from tracker.simulator.remote import SimulatorClient

pytestmark = pytest.mark.anyio

SIZE = 2_000_000
LARGE: dict[str, Any] = DONE | {"file_bytes": SIZE}


@pytest.fixture(autouse=True)
async def deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(30):
        yield


@asynccontextmanager
async def files_of(client: SimulatorClient, **given: Any) -> AsyncIterator[FileClient]:
    """As the core makes it, with the look-alike named in the settings."""
    settings = Settings.model_validate({"file_hosts_unsafe": [urlsplit(client.base_url).netloc]})
    hosts = FileHosts(settings.file_hosts, settings.file_hosts_unsafe)
    options: dict[str, Any] = {"max_bytes": settings.archive_max_bytes} | given
    async with FileClient(hosts, **options) as files:
        yield files


class Kept:
    """What has come so far, and what it can be resumed with; as an archive would keep it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.validator: str | None = None
        self.offsets: list[int] = []

    async def attempt(self, files: FileClient, url: str) -> None:
        async with files.open(url, offset=len(self.data), validator=self.validator) as download:
            self.offsets.append(download.offset)
            del self.data[download.offset :]
            self.validator = download.validator
            async for chunk in download.chunks:
                self.data += chunk

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


async def test_a_file_comes_whole(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    async with files_of(client) as files:
        await kept.attempt(files, link(client, video))
    truth = file_truth(client, video)
    assert (len(kept.data), kept.sha256) == (truth.size, truth.sha256) == (SIZE, truth.sha256)


async def test_a_transfer_that_breaks_again_and_again_goes_on_where_it_stopped(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    url = link(client, video)
    async with files_of(client) as files:
        for times in range(3):
            client.set_file_faults("broken", times=1, after_bytes=500_000)
            with pytest.raises(BrokenTransferError, match=r"the connection failed \(ClientPayloadError\)"):
                await kept.attempt(files, url)
            assert len(kept.data) == 500_000 * (times + 1)
        await kept.attempt(files, url)
    assert kept.offsets == [0, 500_000, 1_000_000, 1_500_000]
    truth = client.truth()
    assert kept.sha256 == truth.of(video).files["original.mp4"].sha256
    assert truth.requests.file_bytes == SIZE  # no byte was sent twice


async def test_what_breaks_off_where_all_has_come_has_all(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    async with files_of(client) as files:
        client.set_file_faults("short", times=1)
        with pytest.raises(BrokenTransferError):
            await kept.attempt(files, link(client, video))
        await kept.attempt(files, link(client, video))  # 416: there is no more
    assert kept.offsets == [0, SIZE]
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_file_that_is_another_one_by_now_begins_anew(start: Start) -> None:
    client = start(**LARGE)
    kept = Kept()
    kept.data += b"of another file"
    kept.validator = '"another"'
    video = made(client)
    async with files_of(client) as files:
        await kept.attempt(files, link(client, video))
    assert kept.offsets == [0]
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_host_without_ranges_sends_all_of_it_again(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    async with files_of(client) as files:
        client.set_file_faults("broken", times=1)
        with pytest.raises(BrokenTransferError):
            await kept.attempt(files, link(client, video))
        client.set_file_faults("no_range")
        await kept.attempt(files, link(client, video))
    assert kept.offsets == [0, 0]
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_file_whose_length_nobody_tells(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    client.set_file_faults("chunked")
    async with files_of(client) as files:
        await kept.attempt(files, link(client, video))
    assert kept.sha256 == file_truth(client, video).sha256


@pytest.mark.parametrize("shape", ["Expires", "Policy", "Amz", "none"])
async def test_a_link_that_expired_is_told_from_one_that_works(start: Start, shape: str) -> None:
    client = start(**LARGE, link_expiry=shape, link_life_seconds=60)
    video = made(client)
    url = link(client, video)
    async with files_of(client) as files:
        await files.check(url)
        client.advance(61)
        with pytest.raises(LinkRefusedError):
            await files.check(url)
        with pytest.raises(LinkRefusedError, match=rf"/files/{video}/original.mp4: .*\(HTTP 403\)"):
            await Kept().attempt(files, url)
        await files.check(link(client, video))


async def test_a_transfer_goes_on_with_a_fresh_link_after_the_first_was_revoked(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    url = link(client, video)
    async with files_of(client) as files:
        client.set_file_faults("broken", times=1, after_bytes=600_000)
        with pytest.raises(BrokenTransferError):
            await kept.attempt(files, url)
        client.revoke_links(video)
        with pytest.raises(LinkRefusedError):
            await kept.attempt(files, url)
        await kept.attempt(files, link(client, video))
    assert kept.offsets == [0, 600_000]
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_host_that_refuses_head_is_asked_for_a_byte(start: Start) -> None:
    client = start(**LARGE)
    url = link(client, made(client))
    client.set_file_faults("no_head")
    async with files_of(client) as files:
        await files.check(url)
        client.set_file_faults("refused")
        with pytest.raises(LinkRefusedError):
            await files.check(url)


@pytest.mark.parametrize("fault", ["500", "429", "encoded", "hang"])
async def test_trouble_that_passes(start: Start, fault: Any) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    url = link(client, video)
    async with files_of(client, patience=Patience(head=0.5)) as files:
        client.set_file_faults(fault, times=1)
        with pytest.raises(BrokenTransferError):
            await kept.attempt(files, url)
        await kept.attempt(files, url)
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_redirect_to_the_file_is_followed_and_none_to_elsewhere(start: Start) -> None:
    client = start(**LARGE)
    video, kept = made(client), Kept()
    url = link(client, video)
    async with files_of(client) as files:
        client.set_file_faults("redirect", times=1)
        await kept.attempt(files, url)
        for location in (
            "http://169.254.169.254/latest/meta-data",
            "https://evil.example/",
            url.replace("/files", "\\"),
        ):
            client.set_file_faults("redirect", location=location)
            with pytest.raises(UnsafeLinkError):
                await Kept().attempt(files, url)
            with pytest.raises(UnsafeLinkError):
                await files.check(url)
        client.set_file_faults("redirect", location=url)
        with pytest.raises(UnsafeLinkError, match="leads on more than 5 times"):
            await Kept().attempt(files, url)
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_body_may_be_slow_and_not_too_slow(start: Start) -> None:
    client = start(**DONE, file_bytes=30_000)
    video, kept = made(client), Kept()
    url = link(client, video)
    async with files_of(client, patience=Patience(least=10_000, window=0.3)) as files:
        client.set_file_faults("slow", times=1, bytes_per_second=60_000)
        await kept.attempt(files, url)
        client.set_file_faults("slow", times=1, bytes_per_second=2_000)
        with pytest.raises(BrokenTransferError, match="slower than 10000 bytes a second"):
            await Kept().attempt(files, url)
        client.set_file_faults("slow", times=1, bytes_per_second=1)
    async with files_of(client, patience=Patience(read=0.2)) as files:
        with pytest.raises(BrokenTransferError, match="no answer in time"):
            await Kept().attempt(files, url)
    assert kept.sha256 == file_truth(client, video).sha256


async def test_a_file_that_is_too_large_is_not_downloaded(start: Start) -> None:
    client = start(**LARGE)
    url = link(client, made(client))
    async with files_of(client, max_bytes=SIZE - 1) as files:
        with pytest.raises(FileTooLargeError):
            await Kept().attempt(files, url)
        client.set_file_faults("chunked")
        kept = Kept()
        with pytest.raises(FileTooLargeError):
            await kept.attempt(files, url)
        assert len(kept.data) < SIZE
    async with files_of(client, max_bytes=SIZE) as files:
        await Kept().attempt(files, url)


async def test_without_the_setting_nobody_goes_to_the_look_alike(start: Start) -> None:
    client = start(**LARGE)
    url = link(client, made(client))
    async with FileClient(FileHosts(Settings().file_hosts), max_bytes=SIZE) as files:
        with pytest.raises(
            UnsafeLinkError, match=r"is not https; TRACKER_FILE_HOSTS_UNSAFE may name 127\.0\.0\.1:"
        ):
            await files.check(url)
    assert client.truth().requests.by_route.keys() == {"v2.create", "v2.status"}


async def test_the_key_goes_to_the_api_and_never_to_the_files(start: Start) -> None:
    """Both are the same host here, which is as near as the key can come."""
    client = start(**LARGE)
    video = made(client)
    url = link(client, video)
    async with (
        HeyGenClient("simulator-key", client.base_url, rate_limit=100, concurrency=2) as heygen,
        files_of(client) as files,
    ):
        answer = await heygen.ask("status", f"/v2/video_translate/{video}", NOON)
        assert answer.data()["status"] == "success"
        client.set_file_faults("redirect", times=1)
        await Kept().attempt(files, url)
        await files.check(url)
    requests = client.truth().requests
    assert requests.by_route["files.get"] == 2
    assert requests.by_route["files.head"] == 1
    assert requests.files_with_secrets == 0


async def test_many_at_once_come_whole(start: Start) -> None:
    client = start(**DONE, file_bytes=300_000)
    videos = [made(client) for _ in range(12)]
    urls = [link(client, video) for video in videos]
    kept = [Kept() for _ in videos]
    async with files_of(client) as files:
        await asyncio.gather(*(one.attempt(files, url) for one, url in zip(kept, urls, strict=True)))
    truth = client.truth()
    assert [one.sha256 for one in kept] == [truth.of(video).files["original.mp4"].sha256 for video in videos]


async def test_whatever_goes_wrong_by_chance_each_file_is_whole_in_the_end(start: Start) -> None:
    client = start(**DONE, file_bytes=50_000, file_error_rate=0.6)
    videos = [made(client) for _ in range(30)]
    async with files_of(client) as files:
        kept = {video: await _until_whole(client, files, video) for video in videos}
    truth = client.truth()
    assert {video: one.sha256 for video, one in kept.items()} == {
        video: truth.of(video).files["original.mp4"].sha256 for video in videos
    }
    answers = truth.requests.answers_by_route["files.get"]
    assert answers.keys() == {"ok", "500", "429", "refused", "redirect", "broken", "short"}


async def _until_whole(client: SimulatorClient, files: FileClient, video: str) -> Kept:
    kept = Kept()
    for _ in range(50):
        try:
            await kept.attempt(files, link(client, video))
        except (BrokenTransferError, LinkRefusedError):
            continue
        return kept
    raise AssertionError("it never came")
