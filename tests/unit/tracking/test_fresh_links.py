"""Links over fake rows, a fake asker and fake file hosts."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import ID, NOON, URL, after, failed_poll, poll
from tests.fakes import FakeClock, FakeFigures
from tracker.domain.files.ports import Download
from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.status import Status
from tracker.errors import (
    AccountError,
    BrokenTransferError,
    FileTooLargeError,
    LinkEndedError,
    LinkRefusedError,
    NotFinishedError,
    NotFoundError,
    StoreError,
    TrackerError,
    TransientError,
    UnsafeLinkError,
)
from tracker.tracking.fresh_links import REMEMBERED, FreshLinks, Freshness

pytestmark = pytest.mark.anyio

VIDEO, AUDIO, CAPTIONS, SRT, VTT = LinkKind


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Files:
    """A file host that takes every link but those in `errors`."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.checked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def check(self, url: str) -> None:
        self.checked.append(url)
        if self.gate is not None:
            await self.gate.wait()
        if error := self.errors.get(url):
            raise error

    def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AbstractAsyncContextManager[Download]:
        raise AssertionError("whoever gives links downloads nothing")


@dataclass
class Stage:
    """One row, whose links HeyGen renews with another query and for `life`."""

    clock: FakeClock = field(default_factory=FakeClock)
    figures: FakeFigures = field(default_factory=FakeFigures)
    files: Files = field(default_factory=Files)
    freshness: Freshness = Freshness.ON_DEMAND
    life: timedelta = timedelta(days=7)
    error: Exception | None = None
    answer: Callable[["Stage"], Observation | None] | None = None
    asked: int = 0
    read: int = 0

    def __post_init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.row: dict[str, Any] = {
            "id": 1,
            "video_translate_id": ID,
            "callback_id": None,
            "status": "success",
            "message": None,
            "attention": None,
            "poll_count": 1,
            "claimed_until": None,
            "url_fetched_at": NOON,
            "created_at": NOON,
        }
        for kind in LinkKind:
            self.row |= {kind.column: None, kind.expiry_column: None}
        self.put(VIDEO, after(days=7))
        self.links = FreshLinks(self, self, self.files, self.figures, self.clock, self.freshness)

    def put(self, kind: LinkKind, end: datetime | None, url: str = URL) -> str:
        self.row |= {kind.column: url, kind.expiry_column: end}
        return url

    async def get(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        self.read += 1
        return [dict(self.row)] if self.row and list(ids) == [1] else []

    async def ask(self, translation_id: int, poll_count: int) -> Observation | None:
        assert translation_id == 1
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer(self)
        return self.renew()

    def renew(self) -> Observation:
        self.row["poll_count"] += 1
        for kind in (VIDEO, AUDIO):
            if self.row[kind.column] is not None:
                self.put(kind, self.clock() + self.life, f"{URL}?Signature={kind}{self.asked}")
        return poll(Status.SUCCESS)

    async def url(self, kind: LinkKind = VIDEO, **more: Any) -> str:
        return (await self.links.fresh(1, kind, **more)).url


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never comes")


# The stored link


async def test_a_link_that_lives_for_more_than_an_hour_is_given_as_it_is() -> None:
    stage = Stage()
    stage.clock.now = after(days=7, hours=-1, seconds=-1)
    link = await stage.links.fresh(1, VIDEO)
    assert (link.url, link.kind, link.expires_at, link.translation_id) == (URL, VIDEO, after(days=7), 1)
    assert stage.asked == 0
    assert URL not in repr(link)


async def test_each_kind_counts_by_its_own_end() -> None:
    stage = Stage()
    stage.put(AUDIO, after(60))
    assert await stage.url() == URL
    assert stage.asked == 0
    assert await stage.url(AUDIO) == f"{URL}?Signature=audio1"


async def test_what_an_earlier_release_stored_lasts_as_long_as_it_says() -> None:
    stage = Stage()
    stage.put(SRT, None)
    assert (await stage.links.fresh(1, SRT)).expires_at == after(days=7)
    stage.row["url_fetched_at"] = None
    stage.put(SRT, None, f"{URL}?X-Amz-Date=20261123T120000Z&X-Amz-Expires=7200")
    assert (await stage.links.fresh(1, SRT)).expires_at == after(hours=2)
    assert stage.asked == 0


@pytest.mark.parametrize("kind", LinkKind)
@pytest.mark.parametrize("status", ["pending", "running"])
async def test_there_is_no_link_before_the_end(status: str, kind: LinkKind) -> None:
    stage = Stage()
    stage.row["status"] = status
    with pytest.raises(NotFinishedError, match=f"{ID} is {status}: not finished yet"):
        await stage.url(kind)
    assert stage.asked == 0


async def test_a_failed_one_says_why_there_is_none() -> None:
    stage = Stage()
    stage.row |= {"status": "failed", "message": "no voice", "url": None}
    with pytest.raises(NotFoundError, match="has failed, so that there is no video: no voice"):
        await stage.url()


async def test_what_was_made_without_audio_has_none() -> None:
    stage = Stage()
    with pytest.raises(
        NotFoundError, match=r"has no audio: HeyGen has named none; there is: video$"
    ) as refused:
        await stage.url(AUDIO)
    assert not isinstance(refused.value, NotFinishedError)
    assert stage.asked == 0


async def test_a_url_that_is_still_awaited_is_not_there_yet() -> None:
    stage = Stage()
    stage.row |= {"url": None, "attention": "url_missing"}
    with pytest.raises(NotFinishedError, match="has not named its video yet"):
        await stage.url()


async def test_a_row_that_is_gone_says_so() -> None:
    stage = Stage()
    stage.row = {}
    with pytest.raises(NotFoundError, match="there is no translation 1 any more"):
        await stage.url()


# A new link


@pytest.mark.parametrize("left", [timedelta(hours=1), timedelta(0), timedelta(days=-30)])
async def test_a_link_that_ends_within_an_hour_or_has_ended_is_renewed(left: timedelta) -> None:
    stage = Stage()
    stage.put(VIDEO, NOON + left)
    link = await stage.links.fresh(1, VIDEO)
    assert (link.url, link.expires_at) == (f"{URL}?Signature=video1", after(days=7))
    assert (stage.asked, stage.figures.links) == (1, {("on_demand", True): 1})


async def test_however_many_ask_at_once_heygen_is_asked_once() -> None:
    stage = Stage()
    stage.put(VIDEO, NOON)
    stage.put(AUDIO, NOON)
    stage.gate = asyncio.Event()
    asking = [asyncio.create_task(stage.url(kind)) for kind in (VIDEO, AUDIO) * 50]
    await until(lambda: stage.read >= 100)
    stage.gate.set()
    assert set(await asyncio.gather(*asking)) == {f"{URL}?Signature=video1", f"{URL}?Signature=audio1"}
    assert stage.asked == 1


async def test_a_failure_is_told_to_all_who_ask_and_for_a_minute_nobody_asks_again() -> None:
    stage = Stage(error=TransientError("HTTP 502"))
    stage.put(VIDEO, NOON)
    told = await asyncio.gather(*(stage.url() for _ in range(20)), return_exceptions=True)
    assert {str(error) for error in told} == {"HTTP 502"}
    stage.clock.advance(59)
    with pytest.raises(TransientError):
        await stage.url()
    assert (stage.asked, stage.figures.links) == (1, {("on_demand", False): 1})

    stage.clock.advance(2)
    stage.error = None
    assert await stage.url() == f"{URL}?Signature=video2"


async def test_whoever_goes_away_takes_nothing_from_the_others() -> None:
    stage = Stage()
    stage.put(VIDEO, NOON)
    stage.gate = asyncio.Event()
    first, second = asyncio.create_task(stage.url()), asyncio.create_task(stage.url())
    await until(lambda: stage.asked > 0)
    first.cancel()
    stage.gate.set()
    assert await second == f"{URL}?Signature=video1"
    assert stage.asked == 1


async def test_a_link_with_less_than_an_hour_is_given_where_heygen_gives_no_other() -> None:
    """And for a minute it is not asked whether it has changed its mind."""
    stage = Stage(life=timedelta(minutes=30))
    stage.put(VIDEO, NOON)
    with capture_logs() as logs:
        assert [await stage.url(), await stage.url()] == [f"{URL}?Signature=video1"] * 2
    assert "link ends soon" in {one["event"] for one in logs}
    assert stage.asked == 1
    stage.clock.advance(61)
    assert await stage.url() == f"{URL}?Signature=video2"


@pytest.mark.parametrize(
    "error", [TransientError("HTTP 502"), AccountError("it rests"), NotFoundError("no such")]
)
async def test_a_link_that_still_lives_is_given_where_heygen_gives_none(error: TrackerError) -> None:
    stage = Stage(error=error)
    stage.put(VIDEO, after(minutes=10))
    with capture_logs() as logs:
        assert await stage.url() == URL
    assert [one["error"] for one in logs if one["event"] == "link not renewed"] == [str(error)]
    assert URL not in str(logs)


@pytest.mark.parametrize(
    "error", [TransientError("HTTP 502"), AccountError("it rests"), StoreError("is down")]
)
async def test_else_the_error_is(error: TrackerError) -> None:
    stage = Stage(error=error)
    stage.put(VIDEO, after(minutes=-10))
    with pytest.raises(type(error), match=str(error)):
        await stage.url()


@pytest.mark.parametrize("error", [AccountError("it rests"), StoreError("the database is away")])
async def test_what_costs_no_question_is_tried_again_at_once(error: TrackerError) -> None:
    stage = Stage(error=error)
    stage.put(VIDEO, NOON)
    for _ in range(3):
        with pytest.raises(type(error)):
            await stage.url()
    stage.error = None
    assert await stage.url() == f"{URL}?Signature=video4"


@pytest.mark.parametrize(
    ("kind", "raised", "text"),
    [
        (ProblemKind.NOT_FOUND, NotFoundError, f"HeyGen does not know {ID} any more: no such video"),
        (ProblemKind.INVALID_ID, NotFoundError, "any more: no such video"),
        (ProblemKind.UNREACHABLE, TransientError, "HeyGen gave no new link: no such video"),
    ],
)
async def test_an_answer_without_a_link_says_why(
    kind: ProblemKind, raised: type[TrackerError], text: str
) -> None:
    stage = Stage(answer=lambda _: failed_poll(kind, "no such video"))
    stage.put(VIDEO, NOON)
    with pytest.raises(raised, match=text):
        await stage.url()
    assert stage.figures.links == {("on_demand", False): 1}


async def test_an_answer_that_leaves_an_ended_link_as_it_was_is_no_link() -> None:
    stage = Stage(answer=lambda _: poll(Status.SUCCESS))
    stage.put(VIDEO, NOON)
    with pytest.raises(TransientError, match="HeyGen was asked, and gave no new link to the video"):
        await stage.url()


# Others who ask


async def test_whoever_finds_another_tracker_asking_waits_and_reads_its_answer() -> None:
    def somebody_else(stage: Stage) -> None:
        asyncio.get_running_loop().call_later(0.01, stage.renew)

    stage = Stage(answer=somebody_else)
    stage.put(VIDEO, NOON)
    stage.row["claimed_until"] = after(60)
    assert await stage.url() == f"{URL}?Signature=video1"
    assert (stage.asked, stage.figures.links) == (1, {})  # which that one counts


async def test_whoever_died_while_asking_is_followed_once_its_claim_has_lapsed() -> None:
    stage = Stage(answer=lambda _: None)
    stage.put(VIDEO, NOON)
    stage.row["claimed_until"] = after(60)
    asking = asyncio.create_task(stage.url())
    await until(lambda: stage.read >= 3)
    assert stage.asked == 1
    stage.answer = None
    stage.clock.advance(61)
    assert await asking == f"{URL}?Signature=video2"


async def test_nobody_waits_for_ever() -> None:
    stage = Stage(answer=lambda _: None)
    stage.put(VIDEO, NOON)
    stage.row["claimed_until"] = after(days=1)
    asking = asyncio.create_task(stage.url())
    await until(lambda: stage.read >= 3)
    stage.clock.advance(301)
    with pytest.raises(TransientError, match="too long"):
        await asking


# Refused links


async def test_a_refused_link_is_renewed_however_long_it_would_live() -> None:
    stage = Stage()
    assert await stage.url(refused=URL) == f"{URL}?Signature=video1"
    assert await stage.url(refused=URL) == f"{URL}?Signature=video1"  # the stored one is another by now
    assert stage.asked == 1


async def test_the_same_link_again_is_no_way_out() -> None:
    stage = Stage(answer=lambda _: poll(Status.SUCCESS))
    for _ in range(2):
        with pytest.raises(LinkRefusedError, match="gives the same link to the video again"):
            await stage.url(refused=URL)
    assert stage.asked == 1


async def test_a_refused_link_is_not_given_where_heygen_does_not_answer() -> None:
    stage = Stage(error=TransientError("HTTP 502"))
    with pytest.raises(TransientError):
        await stage.url(refused=URL)


# Off


async def test_off_gives_the_stored_link_while_it_lives_and_asks_nobody() -> None:
    stage = Stage(freshness=Freshness.OFF)
    stage.put(VIDEO, after(1))
    assert await stage.url() == URL
    stage.clock.advance(1)
    with pytest.raises(
        LinkEndedError, match=r"ended at 2026-11-23 12:00 UTC, and TRACKER_KEEP_LINKS_FRESH is off"
    ):
        await stage.url()
    with pytest.raises(LinkEndedError, match="is refused by the file host"):
        await stage.url(refused=URL)
    assert stage.asked == 0


# Checked before they are given


async def working(stage: Stage) -> str:
    return (await stage.links.working(1, VIDEO)).url


async def test_a_link_that_was_revoked_is_renewed_before_it_is_given() -> None:
    stage = Stage()
    stage.files.errors[URL] = LinkRefusedError("HTTP 403")
    assert await working(stage) == f"{URL}?Signature=video1"
    assert (stage.asked, stage.files.checked) == (1, [URL, f"{URL}?Signature=video1"])


async def test_it_is_renewed_once() -> None:
    stage = Stage()
    for url in (URL, f"{URL}?Signature=video1"):
        stage.files.errors[url] = LinkRefusedError("HTTP 403")
    with pytest.raises(LinkRefusedError, match="the file host refuses it, too"):
        await working(stage)
    assert stage.asked == 1


async def test_a_check_is_asked_once_a_minute_however_many_want_the_link() -> None:
    stage = Stage()
    stage.files.gate = asyncio.Event()
    asking = [asyncio.create_task(working(stage)) for _ in range(50)]
    await until(lambda: stage.read >= 50)
    stage.files.gate.set()
    assert set(await asyncio.gather(*asking)) == {URL}
    stage.clock.advance(59)
    await working(stage)
    assert len(stage.files.checked) == 1
    stage.clock.advance(1)
    await working(stage)
    assert len(stage.files.checked) == 2


async def test_no_more_than_so_many_checks_are_remembered() -> None:
    stage = Stage()
    for number in range(REMEMBERED + 1):
        stage.put(VIDEO, after(days=7), f"{URL}?{number}")
        await working(stage)
    stage.put(VIDEO, after(days=7), f"{URL}?{REMEMBERED}")
    await working(stage)
    assert len(stage.files.checked) == REMEMBERED + 1
    stage.put(VIDEO, after(days=7), f"{URL}?0")
    await working(stage)
    assert len(stage.files.checked) == REMEMBERED + 2


@pytest.mark.parametrize("error", [BrokenTransferError("the host is down"), FileTooLargeError("9 GB")])
async def test_a_host_that_does_not_say_keeps_no_link_back(error: TrackerError) -> None:
    stage = Stage()
    stage.files.errors[URL] = error
    assert await working(stage) == URL
    assert stage.asked == 0


async def test_a_host_that_is_silent_keeps_no_link_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.tracking.fresh_links.CHECK_SECONDS", 0.01)
    stage = Stage()
    stage.files.gate = asyncio.Event()
    with capture_logs() as logs:
        assert await working(stage) == URL
    assert [one["error"] for one in logs] == ["no answer within 0.01 s"]


async def test_an_unsafe_link_is_not_given() -> None:
    stage = Stage()
    stage.files.errors[URL] = UnsafeLinkError("evil.example is not in TRACKER_FILE_HOSTS")
    for _ in range(2):
        with pytest.raises(UnsafeLinkError, match="TRACKER_FILE_HOSTS"):
            await working(stage)
    assert (stage.asked, len(stage.files.checked)) == (0, 1)


async def test_without_file_hosts_nothing_is_checked() -> None:
    stage = Stage()
    links = FreshLinks(stage, stage, None, stage.figures, stage.clock, Freshness.ON_DEMAND)
    assert (await links.working(1, VIDEO)).url == URL
    assert stage.files.checked == []
