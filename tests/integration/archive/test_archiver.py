"""From a finished translation to a file in the folder: what goes well, and everything that does not."""

import asyncio
import errno
import hashlib
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.archive.conftest import DEADLINE, FILM, HOUR, Stage
from tests.integration.archive.hosts import Fault
from tracker.archive import disk_space, lease, pause
from tracker.archive.archiver import ArchiveLimits, Archiver
from tracker.archive.storage.folder import Complete, FolderStorage
from tracker.domain.files.records import FileClaim
from tracker.domain.files.states import ATTEMPTS
from tracker.domain.links import LinkKind
from tracker.errors import (
    BrokenTransferError,
    FileTooLargeError,
    KeyRejectedError,
    NotFoundError,
    RateLimitedError,
    TransientError,
    UnsafeLinkError,
)

pytestmark = pytest.mark.anyio

NAME = "2026/11/Talk-unknown-7544/video.mp4"
SHA256 = hashlib.sha256(FILM).hexdigest()
BROKEN = Fault(error=BrokenTransferError("the connection broke"))


async def begun(stage: Stage, archiver: Archiver) -> asyncio.Event:
    """Let it begin a file and stop in the middle; returns what lets it go on."""
    gate = asyncio.Event()
    stage.files.faults.append(Fault(gate=gate))
    await archiver.tick()
    async with asyncio.timeout(DEADLINE):
        await stage.files.begun.wait()
    return gate


# What goes well


async def test_a_file_is_under_its_name_complete_and_in_sql(stage: Stage, archiver: Archiver) -> None:
    await stage.end()

    with capture_logs() as logs:
        await stage.work(archiver)

    assert stage.names == [NAME]
    assert (stage.root / NAME).read_bytes() == FILM
    assert stage.rows("state, location, bytes, sha256, content_type, attempts, error, claimed_by") == [
        ("archived", str(stage.root / NAME), len(FILM), SHA256, "video/mp4", 0, None, None)
    ]
    assert stage.parts == []
    assert stage.counted.files == [("video", len(FILM))]
    assert [one["event"] for one in logs] == ["file archived"]
    assert "Signature" not in str(logs)


async def test_each_kind_is_a_file_of_its_own(stage: Stage, archiver: Archiver) -> None:
    await stage.end(srt_url="https://files.example/v.srt")

    await stage.work(archiver)

    assert stage.names == [NAME.replace("video.mp4", "srt.srt"), NAME]
    assert stage.rows() == [("srt", "archived"), ("video", "archived")]


async def test_a_host_that_does_not_say_how_long_a_file_is_is_believed(
    stage: Stage, archiver: Archiver
) -> None:
    stage.files.knows_size = False
    await stage.end()

    await stage.work(archiver)

    assert (stage.root / NAME).read_bytes() == FILM


async def test_an_empty_file_is_a_file(stage: Stage, archiver: Archiver) -> None:
    stage.files.every = b""
    await stage.end()

    await stage.work(archiver)

    assert stage.rows("state, bytes") == [("archived", 0)]
    assert (stage.root / NAME).read_bytes() == b""


async def test_no_more_are_under_way_than_allowed(stage: Stage, archiver: Archiver) -> None:
    for number in range(7):
        await stage.end(f"id-{number}")

    await stage.work(archiver)

    assert stage.files.most_in_flight == 2
    assert len(stage.names) == 7


async def test_limits_can_change_while_it_runs(stage: Stage, archiver: Archiver) -> None:
    archiver.set_limits(ArchiveLimits(5, None, 0))
    for number in range(10):
        await stage.end(f"id-{number}")

    await stage.work(archiver)

    assert stage.files.most_in_flight == 5


async def test_two_trackers_never_bring_the_same_file(stage: Stage, archiver: Archiver) -> None:
    for number in range(6):
        await stage.end(f"id-{number}")
    other = stage.archiver(owner="host:2")

    await asyncio.gather(stage.work(archiver), stage.work(other))

    assert sorted(url for url, _ in stage.files.asked) == sorted({url for url, _ in stage.files.asked})
    assert len(stage.names) == 6


# What breaks off


async def test_a_broken_connection_is_gone_on_with_where_it_broke(stage: Stage, archiver: Archiver) -> None:
    stage.files.faults = [Fault(break_after=400_000), Fault(break_after=500_000)]
    await stage.end()

    for wait, offset in ((0, 0), (10, 400_000), (10, 900_000)):
        stage.clock.advance(timedelta(seconds=wait))
        await stage.work(archiver)
        assert stage.files.asked[-1][1] == offset

    assert (stage.root / NAME).read_bytes() == FILM
    assert stage.rows("state, sha256") == [("archived", SHA256)]


async def test_before_it_is_complete_nothing_stands_under_its_name(stage: Stage, archiver: Archiver) -> None:
    stage.files.faults = [Fault(break_after=1_400_000)]
    await stage.end()

    await stage.work(archiver)

    assert stage.names == []
    assert stage.rows("state, attempts, error") == [
        ("waiting", 1, "the connection broke after 1400000 bytes")
    ]
    assert stage.parts == [".json", ".part"]


async def test_where_nothing_comes_the_waits_grow_and_where_something_does_they_begin_anew(
    stage: Stage, archiver: Archiver
) -> None:
    stage.files.faults = [BROKEN, BROKEN, BROKEN, Fault(break_after=100), BROKEN]
    await stage.end()

    attempts = []
    for _ in range(5):
        await stage.work(archiver)
        attempts += stage.rows("attempts")
        stage.clock.advance(HOUR)

    assert attempts == [(1,), (2,), (3,), (1,), (2,)]


async def test_a_file_that_is_another_one_meanwhile_is_begun_anew(stage: Stage, archiver: Archiver) -> None:
    stage.files.faults = [Fault(break_after=400_000)]
    await stage.end()
    await stage.work(archiver)
    stage.files.every, stage.files.validator = FILM[::-1], '"2"'
    stage.clock.advance(HOUR)

    await stage.work(archiver)

    assert (stage.root / NAME).read_bytes() == FILM[::-1]


async def test_without_a_validator_nothing_is_gone_on_with(stage: Stage, archiver: Archiver) -> None:
    stage.files.validator = None
    stage.files.faults = [Fault(break_after=400_000)]
    await stage.end()
    await stage.work(archiver)
    stage.clock.advance(HOUR)

    await stage.work(archiver)

    assert [offset for _, offset in stage.files.asked] == [0, 0]
    assert (stage.root / NAME).read_bytes() == FILM


@pytest.mark.parametrize("lie", [-1, 1, 1000])
async def test_a_file_of_another_length_than_promised_is_none(
    stage: Stage, archiver: Archiver, lie: int
) -> None:
    stage.files.faults = [Fault(lies_about_size=lie)]
    await stage.end()

    await stage.work(archiver)

    assert stage.names == []
    [(state, error)] = stage.rows("state, error")
    assert (state, f"{len(FILM)} bytes came, and {len(FILM) + lie} were promised") == ("waiting", error)


async def test_a_stop_gives_the_file_back_with_what_has_come(stage: Stage, archiver: Archiver) -> None:
    await stage.end()
    await begun(stage, archiver)

    await archiver.stop(DEADLINE)

    assert stage.rows("state, attempts, claimed_by") == [("waiting", 0, None)]
    assert stage.names == []
    await stage.work(stage.archiver())
    assert stage.files.asked[-1][1] > 0
    assert (stage.root / NAME).read_bytes() == FILM


async def test_after_a_stop_nothing_begins(stage: Stage, archiver: Archiver) -> None:
    await archiver.stop(DEADLINE)
    await stage.end()

    await archiver.tick()

    assert archiver.under_way == {}


# Links


async def test_a_refused_link_is_replaced_at_once(stage: Stage, archiver: Archiver) -> None:
    number = await stage.end()
    old = "https://files.example/1/video.mp4?Signature=0"
    stage.files.refused.add(old)

    await stage.work(archiver)

    assert [refused for _, _, refused in stage.links.asked] == [None, old]
    assert stage.rows("translation_id, state, attempts") == [(number, "archived", 0)]


async def test_a_link_that_expires_in_the_middle_is_replaced_and_the_file_gone_on_with(
    stage: Stage, archiver: Archiver
) -> None:
    stage.files.faults = [Fault(break_after=400_000)]
    await stage.end()
    await stage.work(archiver)
    stage.files.refused.add("https://files.example/1/video.mp4?Signature=0")
    stage.clock.advance(HOUR)

    await stage.work(archiver)

    assert stage.files.asked[-1] == ("https://files.example/1/video.mp4?Signature=1", 400_000)
    assert (stage.root / NAME).read_bytes() == FILM


async def test_two_refused_links_in_a_row_can_wait(stage: Stage, archiver: Archiver) -> None:
    stage.files.refused |= {f"https://files.example/1/video.mp4?Signature={number}" for number in range(9)}
    await stage.end()

    await stage.work(archiver)

    assert len(stage.links.asked) == 2
    assert stage.rows("state, attempts, error") == [("waiting", 1, "the host refuses the link (HTTP 403)")]


@pytest.mark.parametrize("error", [TransientError("HeyGen: HTTP 502"), NotFoundError("no such file")])
async def test_where_there_is_no_link_it_is_tried_again(
    stage: Stage, archiver: Archiver, error: Exception
) -> None:
    stage.links.errors = [error]
    await stage.end()

    await stage.work(archiver)

    assert stage.rows("state, attempts, error") == [("waiting", 1, str(error))]


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (KeyRejectedError("HeyGen refuses the API key"), timedelta(minutes=5)),
        (RateLimitedError("HeyGen asks for silence", retry_after=90), timedelta(seconds=90)),
    ],
)
async def test_trouble_of_the_account_is_no_file_s_fault(
    stage: Stage, archiver: Archiver, error: Exception, wait: timedelta
) -> None:
    stage.links.errors = [error]
    await stage.end()
    await stage.work(archiver)
    assert stage.rows("state, attempts, error") == [("waiting", 0, None)]

    stage.clock.advance(wait - timedelta(seconds=1))
    await stage.work(archiver)
    assert stage.names == []
    stage.clock.advance(timedelta(seconds=1))
    await stage.work(archiver)
    assert stage.names == [NAME]


# What is given up


@pytest.mark.parametrize(
    "error", [UnsafeLinkError("leads to 10.0.0.1"), FileTooLargeError("is larger than 5 bytes")]
)
async def test_what_will_never_work_is_not_tried_again(
    stage: Stage, archiver: Archiver, error: Exception
) -> None:
    stage.files.faults = [Fault(error=error)]
    await stage.end()

    with capture_logs() as logs:
        await stage.work(archiver)

    assert stage.rows("state, error, next_attempt_at") == [("failed", str(error), None)]
    assert [(one["event"], one["log_level"]) for one in logs] == [("file not archived; gave up", "error")]
    stage.clock.advance(100 * HOUR)
    await stage.work(archiver)
    assert len(stage.files.asked) == 1


async def test_what_brought_nothing_for_a_week_is_given_up(stage: Stage, archiver: Archiver) -> None:
    await stage.end()
    stage.sql(f"UPDATE archived_files SET attempts = {ATTEMPTS - 1}")
    stage.files.faults = [BROKEN]

    await stage.work(archiver)

    assert stage.rows("state, attempts") == [("failed", ATTEMPTS)]


async def test_another_s_file_stays_and_the_row_says_so(stage: Stage, archiver: Archiver) -> None:
    (stage.root / NAME).parent.mkdir(parents=True)
    (stage.root / NAME).write_bytes(b"somebody's own")
    await stage.end()

    await stage.work(archiver)

    [(state, error)] = stage.rows("state, error")
    assert state == "failed"
    assert "move it away" in error
    assert (stage.root / NAME).read_bytes() == b"somebody's own"


async def test_asked_for_again_it_replaces_its_own_older_version(stage: Stage, archiver: Archiver) -> None:
    number = await stage.end()
    await stage.work(archiver)
    stage.files.every = FILM[::-1]

    await stage.store.files.want([number], stage.store.archive, again=True)
    await stage.work(archiver)

    assert (stage.root / NAME).read_bytes() == FILM[::-1]
    assert stage.names == [NAME]


# Crashes


async def test_what_stood_under_its_name_before_a_crash_is_not_brought_again(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash came between the file's name and the row."""
    await stage.end()

    async def crash(*_: object) -> bool:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(stage.store.files, "keep", crash)
        await archiver.tick()
        while archiver._tasks:
            await archiver.idle(DEADLINE)
    assert stage.names == [NAME]
    assert stage.rows() == [("video", "waiting")]

    await stage.work(archiver)

    assert len(stage.files.asked) == 1
    assert stage.rows("state, sha256") == [("archived", SHA256)]
    assert stage.parts == []


async def test_whoever_has_lost_its_claim_stops_and_writes_nothing(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "FILE_LEASE_RENEWED", timedelta(milliseconds=20))
    await stage.end()
    await begun(stage, archiver)
    stage.sql("UPDATE archived_files SET claimed_by = 'host:2', claimed_until = '2026-11-23 13:00:00.000000'")

    async with asyncio.timeout(DEADLINE):
        while archiver._tasks:
            await archiver.idle(DEADLINE)

    assert stage.rows("state, claimed_by") == [("downloading", "host:2")]
    assert stage.names == []


async def test_a_long_download_keeps_its_claim(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "FILE_LEASE_RENEWED", timedelta(milliseconds=20))
    await stage.end()
    gate = await begun(stage, archiver)
    [first] = stage.rows("claimed_until")
    stage.clock.advance(HOUR)

    async with asyncio.timeout(DEADLINE):
        while stage.rows("claimed_until") == [first]:
            await archiver.idle(0.01)
    gate.set()
    await stage.work(archiver)

    assert stage.rows() == [("video", "archived")]


async def test_a_part_that_another_process_writes_is_left_to_it(stage: Stage, archiver: Archiver) -> None:
    await stage.end()
    gate = await begun(stage, archiver)
    await stage.store.free_claims()  # as a daemon does that starts beside a verb

    other = stage.archiver(owner="host:2")
    await stage.work(other)

    assert stage.rows("state, claimed_by, attempts") == [("waiting", None, 0)]
    gate.set()
    async with asyncio.timeout(DEADLINE):
        while archiver._tasks:
            await archiver.idle(DEADLINE)
    stage.clock.advance(HOUR)
    await stage.work(other)
    assert stage.rows() == [("video", "archived")]
    assert (stage.root / NAME).read_bytes() == FILM


# The place


async def test_a_folder_that_is_away_pauses_everything_and_it_goes_on_by_itself(
    stage: Stage, archiver: Archiver
) -> None:
    gone = stage.root.rename(stage.root.with_name("unmounted"))
    for number in range(3):
        await stage.end(f"id-{number}")

    with capture_logs() as logs:
        for _ in range(3):
            await stage.work(archiver)
            stage.clock.advance(HOUR)
        assert not stage.root.exists()
        gone.rename(stage.root)
        await stage.work(archiver)

    assert [one["event"] for one in logs if one["event"] != "file archived"] == [
        "archive paused",
        "archive resumed",
    ]
    assert "make it, or mount its disk" in logs[0]["reason"]
    assert stage.rows("state, attempts") == [("archived", 0)] * 3


async def test_while_it_is_paused_nothing_is_begun(stage: Stage, archiver: Archiver) -> None:
    stage.root.rename(stage.root.with_name("unmounted"))
    await stage.end()
    await stage.work(archiver)

    await archiver.tick()

    assert archiver.under_way == {}
    assert stage.rows("state, attempts") == [("waiting", 0)]


async def test_a_full_disk_pauses_all_and_it_goes_on_once_there_is_room(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10**9]
    for known in (disk_space, pause):
        monkeypatch.setattr(known, "free_bytes", lambda _folder: free[0])
    archiver.set_limits(ArchiveLimits(2, None, 10**6))
    for number in range(3):
        await stage.end(f"id-{number}")

    def fill_up() -> None:
        free[0] -= 100_000

    stage.files.before_chunk = fill_up
    free[0] = 10**6 + len(FILM)
    with capture_logs() as logs:
        await stage.work(archiver)
        stage.clock.advance(HOUR)
        await stage.work(archiver)
        assert stage.rows() == [("video", "waiting")] * 3
        assert stage.names == []
        free[0] = 10**9
        stage.clock.advance(HOUR)
        await stage.work(archiver)

    assert [one["event"] for one in logs if one["event"] != "file archived"] == [
        "archive paused",
        "archive resumed",
    ]
    assert "TRACKER_ARCHIVE_MIN_FREE" in logs[0]["reason"]
    assert stage.rows("state, attempts") == [("archived", 0)] * 3


async def test_a_quota_that_is_used_up_is_tried_ever_more_seldom(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk itself has room enough."""
    for number in range(9):
        await stage.end(f"id-{number}")

    def refuse(*_: object) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", refuse)
        for _ in range(60):
            await stage.work(archiver)
            stage.clock.advance(timedelta(seconds=1))
    assert len(stage.files.asked) <= 5

    stage.clock.advance(HOUR)
    await stage.work(archiver)
    assert stage.rows("state, attempts") == [("archived", 0)] * 9


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EINVAL])
async def test_one_file_that_cannot_be_kept_holds_up_the_others_for_seconds_only(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Picky(FolderStorage):
        def publish(self, complete: Complete) -> str:
            if "bad" in complete.key:
                with disk_space.in_words(stage.root):
                    raise OSError(number, os.strerror(number))
            return super().publish(complete)

    names = ["good-1", "good-2", "bad-1", "bad-2"]
    for name in names:
        await stage.end(name)
        stage.clock.advance(timedelta(seconds=1))  # what came due last goes first
    archiver = stage.archiver(Picky(stage.root))

    for _ in range(60):
        await stage.work(archiver)
        stage.clock.advance(timedelta(seconds=1))

    assert stage.rows("state, attempts") == [("archived", 0)] * 2 + [("waiting", 0)] * 2
    await archiver.stop(DEADLINE)


async def test_a_film_that_does_not_fit_holds_up_the_others_for_seconds_only(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in (disk_space, pause):
        monkeypatch.setattr(known, "free_bytes", lambda _folder: 2 * len(FILM))
    archiver.set_limits(ArchiveLimits(1, None, len(FILM)))
    await stage.end("small")
    stage.clock.advance(timedelta(seconds=1))
    large = await stage.end("large")
    stage.files.data[stage.links.url(large, LinkKind.VIDEO)] = FILM + b"."

    for _ in range(30):
        await stage.work(archiver)
        stage.clock.advance(timedelta(seconds=1))

    assert stage.rows("state, attempts") == [("archived", 0), ("waiting", 0)]


async def test_what_is_too_large_leaves_nothing_on_the_disk(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.files.faults = [
        Fault(break_after=400_000),
        Fault(error=FileTooLargeError("is larger than 5 bytes")),
    ]
    await stage.end()
    for _ in range(2):
        await stage.work(archiver)
        stage.clock.advance(HOUR)

    assert stage.rows() == [("video", "failed")]
    assert stage.parts == []


async def test_what_is_claimed_while_it_stops_is_given_back(
    stage: Stage, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.end()
    claim = stage.store.files.claim

    async def slow(*given: Any) -> list[FileClaim]:
        claims = await claim(*given)
        await archiver.stop(0)
        return claims

    monkeypatch.setattr(stage.store.files, "claim", slow)
    await archiver.tick()

    assert archiver.under_way == {}
    assert stage.rows("state, claimed_by") == [("waiting", None)]


async def test_a_place_that_is_slow_holds_up_nobody(stage: Stage) -> None:
    """It works in the file's thread; the loop goes on meanwhile."""
    loop_went_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(FolderStorage):
        def publish(self, complete: Complete) -> str:
            future = asyncio.run_coroutine_threadsafe(_set(loop_went_on), loop)
            future.result(DEADLINE)
            return super().publish(complete)

    await stage.end()
    await stage.work(stage.archiver(Slow(stage.root)))

    assert loop_went_on.is_set()
    assert stage.names == [NAME]


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_names_of_titles_stay_inside_the_folder(stage: Stage, archiver: Archiver) -> None:
    await stage.end(title="../../../etc/passwd", output_language="/")

    await stage.work(archiver)

    [name] = stage.names
    assert ".." not in Path(name).parts
    assert (stage.root / name).read_bytes() == FILM
