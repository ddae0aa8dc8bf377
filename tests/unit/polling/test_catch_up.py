"""Catching up from a log that obeys, over a real store."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import NOON, after, observation
from tests.unit.polling.listed import FakeListing, House, logged, open_house, page, times
from tracker.domain.observation import Observation
from tracker.domain.page import Page
from tracker.domain.status import Source, Status
from tracker.errors import KeyRejectedError, RateLimitedError, RefusedError, StoreError, TransientError
from tracker.polling.catch_up import CatchUp, CatchUpReport

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        house.listing.of(Page([]))
        yield house


@dataclass
class Statuses:
    """Only how many can be asked about at once matters here."""

    batch_size: int = 100
    api: str = "v3"
    asked: list[str] = field(default_factory=list)

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        raise AssertionError

    async def fetch_many(self, video_translate_ids: Any, at: datetime) -> list[Observation]:
        raise AssertionError


def catch_up(house: House, statuses: Statuses | None = None, **more: Any) -> CatchUp:
    return CatchUp(
        house.tracker,
        house.tracker.facts,
        house.store,
        house.listing,
        house.store,
        house.clock,
        statuses or Statuses(),
        **more,
    )


async def mark(house: House, age: float = 0) -> None:
    """An earlier run has read the log up to so long before noon."""
    await house.store.remember("catch_up", {"created_at": after(-age).isoformat(), "known": []})


# One run


async def test_what_was_missed_is_recorded_once(house: House) -> None:
    await house.track("a", "b", "c", age=2 * HOUR)
    house.listing.of(
        page(logged("b", 60, Status.FAILED), logged("a", 3000), ignored=3, unreadable=1),
        page(logged("old", 9 * HOUR), logged("older", 10 * HOUR)),
        page(logged("oldest", 20 * HOUR)),
    )
    report = await catch_up(house).run()
    assert report == CatchUpReport(events=2, changed=2, ignored=3, unreadable=1, pages=2, reached=True)
    assert house.statuses() == {"a": "success", "b": "failed", "c": "pending"}
    assert house.sql("SELECT DISTINCT source FROM changes") == [("event_log",)]
    assert house.sql("SELECT finished_at FROM translations WHERE status = 'failed'") == [
        (f"{after(-60):%Y-%m-%d %H:%M:%S.%f}",)
    ]
    house.listing.asked.clear()
    again = await catch_up(house).run()
    assert again == replace(report, events=0, changed=0)
    assert house.sql("SELECT count(*) FROM changes") == [(2,)]


async def test_events_are_tracked_as_webhooks_would_have_had_them_since_the_bookmark_alone(
    house: House,
) -> None:
    house.listing.of(page(logged("stranger", 60)))
    await house.track("a", age=HOUR)
    assert (await catch_up(house).run()).events == 1
    assert list(house.statuses()) == ["a"]  # what was missed before is not known
    house.listing.of(page(logged("news", -60), logged("undated", None), logged("stranger", 60)))
    house.clock.advance(60)
    assert (await catch_up(house).run()).events == 2
    assert list(house.statuses()) == ["a", "news"]


async def test_with_nothing_open_only_the_bookmark_is_set(house: House) -> None:
    house.listing.of(page(logged("a", HOUR), logged("b", 2 * HOUR)), page(logged("c", 3 * HOUR)))
    assert await catch_up(house).run() == CatchUpReport(pages=1, reached=True)
    assert house.listing.asked == [None]
    remembered = await house.store.recall("catch_up")
    assert (remembered["created_at"], len(remembered["known"])) == (after(-HOUR).isoformat(), 1)


async def test_an_empty_log_is_known_up_to_now(house: House) -> None:
    assert await catch_up(house).run() == CatchUpReport(pages=1, reached=True)
    assert await house.store.recall("catch_up") == {"created_at": NOON.isoformat(), "known": []}


async def test_an_event_that_comes_to_the_log_late_is_still_read(house: House) -> None:
    await house.track("a", "b", age=HOUR)
    house.listing.of(page(logged("a", 60)))
    await catch_up(house).run()
    house.listing.of(page(logged("a", 60), logged("b", 60 + 500)))
    assert (await catch_up(house).run()).events == 1
    assert house.statuses()["b"] == "success"


async def test_a_time_that_is_yet_to_come_hides_nothing(house: House) -> None:
    await house.track("a", "b", age=HOUR)
    house.listing.of(page(logged("a", -10 * HOUR)))
    await catch_up(house).run()
    house.clock.advance(HOUR)
    house.listing.of(page(logged("a", -10 * HOUR), logged("b", -HOUR)))
    await catch_up(house).run()
    assert house.statuses() == {"a": "success", "b": "success"}


async def test_a_bookmark_from_the_future_is_none(house: House) -> None:
    """It was set while the clock was ahead."""
    await mark(house, age=-9 * HOUR)
    await house.track("a", age=HOUR)
    house.listing.of(page(logged("a", 60), logged("stranger", 70)), page(logged("old", 9 * HOUR)))
    assert (await catch_up(house).run()).changed == 1
    assert house.statuses() == {"a": "success"}
    assert (await house.store.recall("catch_up"))["created_at"] == after(-60).isoformat()


async def test_a_bookmark_of_this_moment_counts(house: House) -> None:
    await mark(house)
    house.listing.of(page(logged("news", 0)))
    assert (await catch_up(house).run()).changed == 1


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_of_a_long_log_only_what_may_come_again_is_kept(house: House, *, oldest_first: bool) -> None:
    await mark(house, age=HOUR)
    ages = sorted((300.0 * number for number in range(12)), reverse=oldest_first)
    house.listing.of(*(page(logged(f"{age:g}", age), logged(f"{age:g}+", age)) for age in ages))
    assert (await catch_up(house).run()).events == 24
    remembered = await house.store.recall("catch_up")
    assert (remembered["created_at"], len(remembered["known"])) == (NOON.isoformat(), 6)
    assert (await catch_up(house).run()).events == 0


@pytest.mark.parametrize(
    "order",
    [
        [(9 * HOUR, 8 * HOUR), (7 * HOUR, 6 * HOUR), (60, 30)],  # oldest first
        [(9 * HOUR, 9 * HOUR), (9 * HOUR, 9 * HOUR), (30, 60)],  # many at one moment first
        [(60, 9 * HOUR), (30, 10 * HOUR), (9 * HOUR, 50)],
    ],
)
async def test_a_log_in_another_order_is_read_to_its_end(
    house: House, order: list[tuple[float, float]]
) -> None:
    await mark(house, age=HOUR)
    names = [[f"{number}-{place}" for place in range(2)] for number in range(3)]
    house.listing.of(
        *(
            page(*(logged(name, age) for name, age in zip(pair, ages, strict=True)))
            for pair, ages in zip(names, order, strict=True)
        )
    )
    report = await catch_up(house).run()
    assert (report.pages, report.reached) == (3, True)
    assert report.events == sum(age <= HOUR for ages in order for age in ages) == len(house.statuses())


async def test_a_log_without_times_is_read_to_its_end_each_time_and_changes_nothing_twice(
    house: House,
) -> None:
    await house.track("a", "b")
    house.listing.of(page(logged("a", None)), page(logged("b", None)), page(logged("stranger", None)))
    assert (await catch_up(house).run()).changed == 2
    assert await catch_up(house).run() == CatchUpReport(events=3, pages=3, reached=True)
    assert house.statuses() == {"a": "success", "b": "success"}


async def test_other_products_show_how_far_back_a_page_goes(house: House) -> None:
    await mark(house, age=HOUR)
    others = [Page([], ignored=2, times=times(age, age + 1)) for age in (0, 2 * HOUR, 3 * HOUR)]
    house.listing.of(*others)
    assert await catch_up(house).run() == CatchUpReport(ignored=4, pages=2, reached=True)


async def test_a_log_that_promises_more_for_ever_moves_no_bookmark(house: House) -> None:
    class Endless(FakeListing):
        async def page(self, token: str | None, at: datetime) -> Page:
            self.asked.append(token)
            return page(logged("a", 60), next_token=f"fresh{len(self.asked)}")

    await mark(house, age=HOUR)
    house.listing = Endless()
    report = await catch_up(house).run()
    assert (report.changed, report.reached) == (1, False)
    assert report.cut is not None
    assert "had nothing new" in report.cut
    assert (await house.store.recall("catch_up"))["created_at"] == after(-HOUR).isoformat()


async def test_a_run_that_breaks_off_loses_nothing_and_is_read_again(house: House) -> None:
    await mark(house, age=9 * HOUR)
    await house.track("a", "b", age=9 * HOUR)
    house.listing.of(page(logged("b", 60)), TransientError("HTTP 503"))
    with pytest.raises(TransientError):
        await catch_up(house).run()
    assert house.statuses() == {"a": "pending", "b": "success"}
    house.listing.of(page(logged("b", 60)), page(logged("a", HOUR)))
    assert (await catch_up(house).run()).changed == 1
    assert house.statuses() == {"a": "success", "b": "success"}


async def test_what_the_store_refuses_sinks_nothing_else(house: House) -> None:
    await mark(house, age=HOUR)
    house.poison("bad")
    house.listing.of(page(logged("a", 60), logged("bad", 70), logged("b", 80)))
    report = await catch_up(house).run()
    assert (report.events, report.changed, report.failed, report.reached) == (3, 2, 1, True)
    assert list(house.statuses()) == ["a", "b"]


@pytest.mark.parametrize("nonsense", [None, 5, {"created_at": 5}, {"created_at": "noon", "known": "all"}])
async def test_a_memory_that_cannot_be_read_is_none(house: House, nonsense: object) -> None:
    await house.store.remember("catch_up", nonsense)
    await house.track("a", age=HOUR)
    house.listing.of(page(logged("a", 60), logged("stranger", 70)))
    assert (await catch_up(house).run()).changed == 1
    assert list(house.statuses()) == ["a"]


# What a person has undone


async def reopen(house: House, name: str, at: datetime) -> None:
    await house.record(observation(Source.MANUAL, Status.PENDING, video_translate_id=name, observed_at=at))


async def test_an_event_from_before_a_reopening_does_not_end_it_again(house: House) -> None:
    await house.track("a", "b", age=HOUR)
    house.listing.of(page(logged("a", 600), logged("b", 700)))
    await mark(house, age=2 * HOUR)
    await catch_up(house).run()
    await reopen(house, "a", after(-500))
    await mark(house, age=2 * HOUR)  # as where the memory was lost
    house.listing.of(page(logged("a", 600), logged("a", None), logged("a", 500), logged("b", 700)))
    assert (await catch_up(house).run()).changed == 0
    assert house.statuses() == {"a": "pending", "b": "success"}
    house.listing.of(page(logged("a", 499), logged("a", 600)))
    assert (await catch_up(house).run()).changed == 1
    assert house.statuses()["a"] == "success"
    assert house.sql("SELECT new_status, source FROM changes WHERE translation_id = 1") == [
        ("success", "event_log"),
        ("pending", "manual"),
        ("success", "event_log"),
    ]


async def test_a_settled_conflict_is_not_raised_again(house: House) -> None:
    await mark(house, age=HOUR)
    await house.track("a", age=HOUR)
    house.listing.of(page(logged("a", 30, Status.FAILED), logged("a", 60)))
    await catch_up(house).run()
    assert house.sql("SELECT attention FROM translations") == [("conflict",)]
    house.clock.advance(1)
    await house.record(
        observation(
            Source.POLL, Status.SUCCESS, video_translate_id="a", url="https://x/y", observed_at=after(1)
        )
    )
    assert house.sql("SELECT attention FROM translations") == [(None,)]
    assert (await catch_up(house).run()).events == 0
    assert house.sql("SELECT attention FROM translations") == [(None,)]


# When


async def polls(house: House) -> list[datetime]:
    rows = await house.store.list_translations()
    return [row["next_poll_at"] for row in rows]


async def test_the_start_reads_the_log_and_polls_what_is_open(house: House) -> None:
    await house.track("a", age=HOUR)
    house.sql(f"UPDATE translations SET next_poll_at = '{after(9000):%Y-%m-%d %H:%M:%S.%f}'")
    catching = catch_up(house)
    with capture_logs() as told:
        await catching.tick()
        await catching.tick()
    assert house.listing.asked == [None]
    assert await polls(house) == [NOON]
    assert [(one["event"], one.get("cause")) for one in told] == [
        ("caught up", "start"),
        ("polls brought forward", None),
    ]
    assert catching.last == CatchUpReport(pages=1, reached=True)


async def test_the_log_of_what_may_be_another_account_is_not_read(house: House) -> None:
    trusted = False
    await mark(house, age=HOUR)
    house.listing.of(page(logged("stranger", 60)))
    catching = catch_up(house, trusted=lambda: trusted)
    await catching.tick()
    assert (house.listing.asked, house.statuses()) == ([], {})
    trusted = True
    with capture_logs() as told:
        await catching.tick()
    assert told[0].get("source") == "event_log"
    assert [one["cause"] for one in told if one["event"] == "caught up"] == ["start"]


async def test_one_by_one_they_are_polled_within_the_promise(house: House) -> None:
    await house.track("a", age=HOUR)
    house.sql(f"UPDATE translations SET next_poll_at = '{after(9000):%Y-%m-%d %H:%M:%S.%f}'")
    await catch_up(house, Statuses(batch_size=1)).tick()
    assert await polls(house) == [after(60)]


async def test_the_hourly_run_leaves_the_polls_alone(house: House) -> None:
    catching = catch_up(house)
    await catching.tick()
    await house.track("a", age=HOUR)
    house.sql(f"UPDATE translations SET next_poll_at = '{after(9000):%Y-%m-%d %H:%M:%S.%f}'")
    for seconds, asked in ((HOUR - 1, 1), (1, 2), (HOUR - 1, 2), (1, 3)):
        house.clock.advance(seconds)
        await catching.tick()
        assert len(house.listing.asked) == asked
    assert await polls(house) == [after(9000)]


async def test_unreported_ends_make_it_run_ever_more_rarely_while_nothing_is_found(house: House) -> None:
    catching = catch_up(house)
    await catching.tick()
    ran = []
    for second in range(1, 2000):
        house.clock.advance(1)
        house.tracker.facts.unreported_ends += 1
        before = len(house.listing.asked)
        await catching.tick()
        if len(house.listing.asked) > before:
            ran.append(second)
    assert ran == [60, 180, 420, 900, 1860]
    await house.track("a")
    house.listing.of(page(logged("a", -1900)))
    house.tracker.facts.unreported_ends += 1
    house.clock.advance(HOUR)
    await catching.tick()  # finds something: back to a minute
    assert house.statuses() == {"a": "success"}
    asked = len(house.listing.asked)
    house.tracker.facts.unreported_ends += 1
    for seconds, more in ((59, 0), (1, 1)):
        house.clock.advance(seconds)
        await catching.tick()
        assert len(house.listing.asked) - asked == more


async def test_an_end_found_while_the_log_is_read_is_a_cause_again(house: House) -> None:
    catching = catch_up(house)
    await catching.tick()
    house.tracker.facts.unreported_ends += 1
    house.listing.before = lambda _token: setattr(
        house.tracker.facts,
        "unreported_ends",
        house.tracker.facts.unreported_ends + (len(house.listing.asked) == 2),
    )
    for _ in range(2):
        house.clock.advance(120)
        await catching.tick()
    assert len(house.listing.asked) == 3


async def test_an_account_without_a_log_is_told_once_and_asked_hourly(house: House) -> None:
    house.listing.of(RefusedError("HeyGen has no /v3/webhooks/events for this account: HTTP 404"))
    await house.track("a", age=HOUR)
    house.sql(f"UPDATE translations SET next_poll_at = '{after(9000):%Y-%m-%d %H:%M:%S.%f}'")
    catching = catch_up(house)
    with capture_logs() as told:
        await catching.tick()
        assert await polls(house) == [NOON]
        for seconds, asked in ((HOUR - 1, 1), (1, 2), (HOUR, 3)):
            house.clock.advance(seconds)
            await catching.tick()
            assert len(house.listing.asked) == asked
        house.listing.of(Page([]))
        house.clock.advance(HOUR)
        await catching.tick()
    assert [one["event"] for one in told if one["log_level"] == "warning"] == [
        "event log not read",
        "event log readable again",
    ]
    assert told[0]["again_in"] == HOUR


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (KeyRejectedError("HTTP 401"), 60),
        (RateLimitedError("HTTP 429", retry_after=300), 300),
        (RateLimitedError("HTTP 429"), 60),
        (TransientError("HTTP 503"), 60),
    ],
)
async def test_trouble_is_told_once_and_respected(house: House, error: Exception, wait: float) -> None:
    house.listing.of(error)
    await house.track("a", age=HOUR)
    late = f"UPDATE translations SET next_poll_at = '{after(90000):%Y-%m-%d %H:%M:%S.%f}'"
    house.sql(late)
    catching = catch_up(house)
    with capture_logs() as told:
        await catching.tick()
        assert await polls(house) == [NOON]  # once, for the log may be away for long
        house.sql(late)
        for seconds, asked in ((wait - 1, 1), (1, 2)):
            house.clock.advance(seconds)
            await catching.tick()
            assert len(house.listing.asked) == asked
        assert await polls(house) == [after(90000)]
    assert [one["event"] for one in told].count("event log not read") == 1
    house.listing.of(page(logged("a", 60)))
    house.clock.advance(wait)
    await catching.tick()
    assert house.statuses() == {"a": "success"}


async def test_a_log_that_was_not_read_back_is_told(house: House) -> None:
    house.listing.of(page(logged("a", 60), cut="more, and not where"))
    with capture_logs() as told:
        await catch_up(house).tick()
    assert (told[0]["event"], told[0]["log_level"], told[0]["cut"]) == (
        "not caught up",
        "warning",
        "more, and not where",
    )


async def test_trouble_with_the_store_comes_out_of_the_tick_and_the_start_is_still_owed(house: House) -> None:
    catching = catch_up(house)
    with house.database.faults.failing():
        with pytest.raises(StoreError):
            await catching.tick()
        await catching.tick()  # not each second
    house.clock.advance(60)
    with capture_logs() as told:
        await catching.tick()
    assert told[0]["cause"] == "start"


async def test_a_run_that_is_left_is_made_good_after_the_next_start(house: House) -> None:
    class Slow(FakeListing):
        async def page(self, token: str | None, at: datetime) -> Page:
            self.asked.append(token)
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    begun, told = asyncio.Event(), house.listing
    house.listing = Slow()
    left = asyncio.create_task(catch_up(house).tick())
    await begun.wait()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    house.listing = told
    told.of(page())
    again = catch_up(house)
    await again.tick()
    assert again.last is not None
    assert again.last.reached
