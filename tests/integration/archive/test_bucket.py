"""The bucket, on a real S3 server: whole objects or none, whatever goes wrong."""

import asyncio
import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.archive.conftest import DEADLINE, FILM, HOUR, Stage
from tests.integration.archive.seaweed import SECRET, Seaweed
from tracker.archive.storage import s3 as module
from tracker.archive.storage.folder import Complete
from tracker.archive.storage.s3 import S3Storage
from tracker.errors import KeyTakenError, StorageError, UnwantedError

pytestmark = pytest.mark.anyio

LARGE = random.Random(8).randbytes(20_000_000)  # three pieces
KEY = "2026/11/Über-German-7544/video.mp4"


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.close()


@pytest.fixture
def name(seaweed: Seaweed, request: pytest.FixtureRequest) -> str:
    """A bucket of its own for each test."""
    name = f"films-{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    seaweed.make(name)
    return name


def complete(folder: Path, data: bytes = FILM, **more: Any) -> Complete:
    path = folder / f"{hashlib.sha256(data).hexdigest()[:8]}.part"
    path.write_bytes(data)
    given: dict[str, Any] = {
        "path": path,
        "key": KEY,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content_type": "video/mp4",
        "of": "video of 7544-日本",
        "known": None,
        "stopped": lambda: False,
    }
    return Complete(**given | more)


@pytest.mark.parametrize("data", [b"", FILM, LARGE], ids=["empty", "one piece", "three pieces"])
def test_what_comes_back_is_what_was_sent(seaweed: Seaweed, name: str, tmp_path: Path, data: bytes) -> None:
    location = S3Storage(seaweed.settings(name), tmp_path).publish(complete(tmp_path, data))

    assert location == f"s3://{name}/heygen/{KEY}"
    assert seaweed.keys(name) == [f"heygen/{KEY}"]
    assert seaweed.read(name, f"heygen/{KEY}") == data
    assert seaweed.uploads(name) == 0


def test_without_a_prefix_the_key_stands_alone(seaweed: Seaweed, name: str, tmp_path: Path) -> None:
    S3Storage(seaweed.settings(name, prefix=""), tmp_path).publish(complete(tmp_path))

    assert seaweed.keys(name) == [KEY]


def test_once_more_sends_nothing(
    seaweed: Seaweed, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, file = S3Storage(seaweed.settings(name), tmp_path), complete(tmp_path)
    location = bucket.publish(file)

    monkeypatch.setattr(bucket, "_upload", None)
    assert bucket.publish(file) == location


def test_another_s_object_stays(seaweed: Seaweed, name: str, tmp_path: Path) -> None:
    seaweed.put(name, f"heygen/{KEY}", b"somebody's own")

    with pytest.raises(KeyTakenError, match="move it away"):
        S3Storage(seaweed.settings(name), tmp_path).publish(complete(tmp_path))

    assert seaweed.read(name, f"heygen/{KEY}") == b"somebody's own"


def test_an_older_version_of_the_same_file_gives_way(seaweed: Seaweed, name: str, tmp_path: Path) -> None:
    bucket = S3Storage(seaweed.settings(name), tmp_path)
    bucket.publish(complete(tmp_path, b"the first version"))

    bucket.publish(complete(tmp_path))

    assert seaweed.read(name, f"heygen/{KEY}") == FILM


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secret_key": "hunter2"}, "refuses the keys (SignatureDoesNotMatch|403)"),
        ({"access_key": "nobody"}, "refuses the keys (InvalidAccessKeyId|403)"),
        ({"bucket": "no-such-bucket"}, r"there is no bucket no-such-bucket \(NoSuchBucket\); make it"),
        ({"endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
@pytest.mark.parametrize("data", [FILM, LARGE], ids=["one piece", "three pieces"])
def test_what_is_wrong_is_told_in_one_line_without_secrets(
    seaweed: Seaweed, name: str, tmp_path: Path, wrong: dict[str, str], said: str, data: bytes
) -> None:
    bucket = S3Storage(seaweed.settings(**{"bucket": name} | wrong), tmp_path)

    with pytest.raises(StorageError, match=said.replace(" (S", r" \((S").replace(" (I", r" \((I")) as refused:
        bucket.publish(complete(tmp_path, data))

    told = str(refused.value)
    assert len(told.splitlines()) == 1
    assert not [word for word in ("hunter2", SECRET, "Signature=", "http://") if word in told]
    assert seaweed.keys(name) == []


def test_an_upload_that_is_stopped_leaves_nothing(seaweed: Seaweed, name: str, tmp_path: Path) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(UnwantedError):
        S3Storage(seaweed.settings(name), tmp_path).publish(complete(tmp_path, LARGE, stopped=stopped))

    assert seaweed.keys(name) == []


def test_an_object_of_another_size_is_not_believed(seaweed: Seaweed, name: str, tmp_path: Path) -> None:
    file = replace(complete(tmp_path), size=len(FILM) + 1)

    with pytest.raises(StorageError, match=f"{len(FILM)} bytes in the bucket, and {len(FILM) + 1} were sent"):
        S3Storage(seaweed.settings(name), tmp_path).publish(file)


# With the archiver


async def test_a_file_goes_into_the_bucket_and_into_sql(
    stage: Stage, seaweed: Seaweed, name: str, tmp_path: Path
) -> None:
    await stage.end(title="Über", output_language="German")

    await stage.work(stage.archiver(S3Storage(seaweed.settings(name), tmp_path / "spool")))

    assert stage.rows("state, location, bytes") == [("archived", f"s3://{name}/heygen/{KEY}", len(FILM))]
    assert seaweed.read(name, f"heygen/{KEY}") == FILM
    assert list((tmp_path / "spool").iterdir()) == []


async def test_wrong_keys_pause_the_archive_and_nothing_is_lost(
    stage: Stage, seaweed: Seaweed, name: str, tmp_path: Path
) -> None:
    await stage.end()
    with capture_logs() as logs:
        wrong = S3Storage(seaweed.settings(name, secret_key="wrong"), tmp_path / "spool")
        await stage.work(stage.archiver(wrong))

    assert stage.rows("state, attempts") == [("waiting", 0)]
    assert [one["event"] for one in logs] == ["archive paused"]
    stage.clock.advance(HOUR)
    await stage.work(stage.archiver(S3Storage(seaweed.settings(name), tmp_path / "spool")))
    assert stage.rows("state, attempts") == [("archived", 0)]
    assert len(stage.files.asked) == 1


async def test_a_server_that_goes_in_the_middle_of_an_upload_leaves_no_object_and_it_is_sent_again(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server").mkdir()
    server = Seaweed(tmp_path / "server")
    server.make("films")
    stage.files.every = LARGE
    real, sent = module._pieces, 0

    def pieces_then_gone(file: Complete) -> Iterator[bytes]:
        nonlocal sent
        for piece in real(file):
            sent += 1
            if sent == 2:
                server.kill()
            yield piece

    try:
        await stage.end(title="Über", output_language="German")
        archiver = stage.archiver(S3Storage(server.settings("films"), tmp_path / "spool"))
        monkeypatch.setattr(module, "_pieces", pieces_then_gone)
        await stage.work(archiver)
        assert stage.rows("state, attempts") == [("waiting", 0)]

        server.start()
        assert server.keys("films") == []
        stage.clock.advance(HOUR)
        await stage.work(archiver)

        assert stage.rows("state") == [("archived",)]
        assert server.read("films", f"heygen/{KEY}") == LARGE
        assert len(stage.files.asked) == 1
    finally:
        server.close()


async def test_a_stop_in_the_middle_of_an_upload_is_soon_over(
    stage: Stage, seaweed: Seaweed, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.files.every = LARGE
    archiver = stage.archiver(S3Storage(seaweed.settings(name), tmp_path / "spool"))
    loop, begun, real = asyncio.get_running_loop(), asyncio.Event(), module._pieces

    def pieces_while_stopping(file: Complete) -> Iterator[bytes]:
        for number, piece in enumerate(real(file)):
            if number == 1:
                loop.call_soon_threadsafe(begun.set)
                while not file.stopped():
                    pass
            yield piece

    monkeypatch.setattr(module, "_pieces", pieces_while_stopping)
    await stage.end()
    await archiver.tick()
    async with asyncio.timeout(DEADLINE):
        await begun.wait()
        await archiver.stop(DEADLINE)

    assert stage.rows("state, attempts, claimed_by") == [("waiting", 0, None)]
    assert seaweed.keys(name) == []
