"""Discovery over a real store and a list that obeys; and the walk through listings."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import NOON, after
from tests.unit.polling.listed import FakeListing, House, listed, logged, open_house, page, times
from tracker.domain.adoption import Adoption
from tracker.domain.page import Page
from tracker.domain.retention import Keep
from tracker.domain.status import Status
from tracker.errors import (
    KeyRejectedError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.polling import pagination
from tracker.polling.discovery import Discovery, Report, Sweeps
from tracker.polling.pagination import Horizon, Walk, as_moment

pytestmark = pytest.mark.anyio

DOWN = TransientError("HTTP 503")
ALL, NONE = Adoption("all"), Adoption()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


def discovery(house: House, adopt: Adoption = ALL, **more: Any) -> Discovery:
    return Discovery(house.tracker, house.listing, house.store, house.clock, adopt, **more)


# Sweeps


async def test_a_sweep_changes_binds_and_adopts(house: House) -> None:
    await house.track("known")
    await house.track("", callback_id="order-1")
    house.listing.of(
        page(listed("known", Status.SUCCESS), listed("named", callback_id="order-1")),
        page(listed("stranger", Status.FAILED, callback_id="order-9")),
    )
    told: list[int] = []
    report = await discovery(house, on_page=lambda so_far: told.append(so_far.listed)).sweep()
    assert report == Report(listed=3, new=1, bound=1, changed=3, pages=2)
    assert told == [2, 3]
    assert house.statuses() == {"known": "success", "named": "running", "stranger": "failed"}
    assert house.sql("SELECT DISTINCT source FROM changes") == [("list",)]
    again = await discovery(house).sweep()
    assert again == Report(listed=3, pages=2)
    assert house.sql("SELECT count(*) FROM changes") == [(3,)]


async def test_what_would_be_deleted_again_is_not_adopted_and_what_is_known_is_brought_up_to_date(
    house: House,
) -> None:
    long_ago = timedelta(days=31).total_seconds()
    await house.track("known")
    house.listing.of(
        page(
            listed("recent", Status.SUCCESS),
            listed("still-open", age=long_ago),
            listed("known", Status.SUCCESS, age=long_ago),
            listed("past", Status.SUCCESS, age=long_ago),
        )
    )

    report = await discovery(house, keep=lambda: Keep(finished=timedelta(days=30))).sweep()

    assert (report.listed, report.new, report.changed) == (4, 2, 3)
    assert house.statuses() == {"known": "success", "recent": "success", "still-open": "running"}


@pytest.mark.parametrize(("policy", "there"), [("none", []), ("prefix:order-", ["mine"])])
async def test_nobody_else_is_adopted(house: House, policy: str, there: list[str]) -> None:
    house.listing.of(
        page(listed("mine", callback_id="order-1"), listed("other", callback_id="x"), listed("bare"))
    )
    report = await discovery(house, Adoption(policy)).sweep()
    assert report == Report(listed=3, new=len(there), changed=len(there), pages=1)
    assert list(house.statuses()) == there


async def test_the_languages_of_a_request_find_their_rows(house: House) -> None:
    await house.track("", callback_id="order")
    house.sql("INSERT INTO translations (callback_id, output_language) VALUES ('order', 'French')")
    house.sql("INSERT INTO translations (callback_id, output_language) VALUES ('order', 'German')")
    rows = [
        listed(name, callback_id="order", output_language=name) for name in ("German", "Spanish", "Italian")
    ]
    house.listing.of(page(*rows))
    report = await discovery(house, NONE).sweep()
    assert (report.bound, report.new) == (3, 0)
    # their own language first, then a row that names none, then whichever waits
    assert house.sql("SELECT video_translate_id FROM translations ORDER BY id") == [
        ("Spanish",),
        ("Italian",),
        ("German",),
    ]


async def test_a_row_that_a_hint_had_made_is_bound_too(house: House) -> None:
    await house.track("", callback_id="order")
    house.listing.of(page(listed("named", callback_id="order")))
    house.sql(
        "INSERT INTO translations (video_translate_id, created_at) "
        "SELECT 'named', created_at FROM translations"
    )
    house.sql(
        "INSERT INTO deliveries (body_sha256, video_translate_id, outcome, received_at) "
        "SELECT 'x', 'named', 'hint', created_at FROM translations LIMIT 1"
    )
    assert (await discovery(house, NONE).sweep()).bound == 1
    assert house.sql("SELECT video_translate_id, callback_id FROM translations") == [("named", "order")]


async def test_an_empty_list_is_a_whole_one(house: House) -> None:
    house.listing.of(Page([]))
    assert await discovery(house).sweep() == Report(pages=1)
    assert await discovery(house).completed_at() == NOON


async def test_what_cannot_be_read_or_stored_does_not_sink_its_page(house: House) -> None:
    house.poison("bad")
    house.listing.of(page(listed("a"), listed("bad"), listed("b"), unreadable=2), page(listed("bad")))
    with capture_logs() as told:
        report = await discovery(house).sweep()
    assert report == Report(listed=6, new=2, changed=2, failed=4, pages=2)
    assert list(house.statuses()) == ["a", "b"]
    assert [(one["event"], one["id"]) for one in told if one["log_level"] == "error"] == [
        ("not stored", "bad")
    ] * 2


async def test_a_database_that_is_away_ends_the_sweep(house: House) -> None:
    house.listing.of(page(listed("a")), page(listed("b")))
    with ExitStack() as outage:
        house.listing.before = lambda _token: outage.enter_context(house.database.faults.failing())
        with pytest.raises(StoreError, match="disk I/O error"):
            await discovery(house).sweep()
    assert house.listing.asked == [None]


# Interruptions


@pytest.mark.parametrize("trouble", [DOWN, KeyRejectedError("HTTP 401"), RateLimitedError("HTTP 429")])
async def test_an_interrupted_sweep_says_what_is_missing_and_goes_on_there(
    house: House, trouble: Exception
) -> None:
    first, last = page(listed("a"), listed("b", age=3600)), page(listed("d", age=9000))
    house.listing.of(first, page(listed("c", age=7200)), trouble, last)
    report = await discovery(house).sweep()
    assert (report.listed, report.new, report.pages) == (3, 3, 2)
    assert report.not_reached == (
        f"what is listed after page 2, which reached back to 2026-11-23 10:00 UTC: {trouble}"
    )
    assert await discovery(house).completed_at() is None

    house.clock.advance(3600)
    house.listing.asked.clear()
    house.listing.of(
        page(listed("new", age=-60), listed("a")),
        page(listed("b", age=3600), listed("b2", age=3700)),
        page(listed("c2", age=7300)),
        last,
    )
    report = await discovery(house).sweep()
    assert report.not_reached is None
    assert house.listing.asked == [None, "t1", "t2", "t3"]  # the front, to where all was there; then on
    assert list(house.statuses()) == ["a", "b", "c", "new", "b2", "c2", "d"]
    assert await discovery(house).completed_at() == after(3600)


async def test_a_front_that_is_the_whole_list_is_the_sweep(house: House) -> None:
    house.listing.of(page(listed("a")), DOWN)
    await discovery(house).sweep()
    house.listing.asked.clear()
    house.listing.of(page(listed("a")))
    assert (await discovery(house).sweep()).not_reached is None
    assert house.listing.asked == [None]
    assert await discovery(house).completed_at() == NOON


async def test_a_list_in_no_order_is_read_from_where_it_was_left(house: House) -> None:
    house.listing.of(page(listed("a", age=9000)), DOWN, page(listed("c")))
    await discovery(house).sweep()
    house.listing.asked.clear()
    house.listing.of(page(listed("a", age=9000), listed("b", age=10)), page(listed("c")), page(listed("d")))
    assert (await discovery(house).sweep()).not_reached is None
    assert house.listing.asked == [None, "t1", "t2"]


async def test_a_front_without_an_end_does_not_keep_the_rest_from_being_read(house: House) -> None:
    house.listing.of(page(listed("a")), DOWN)
    await discovery(house).sweep()
    house.listing.of(page(listed("a"), cut="nobody knows"), page(listed("b", age=1)))
    house.listing.pages["t1"] = page(listed("b", age=1))
    assert (await discovery(house).sweep()).not_reached is None
    assert list(house.statuses()) == ["a", "b"]


async def test_a_token_that_heygen_no_longer_takes_makes_it_begin_again(house: House) -> None:
    refused = RefusedError("HTTP 400: the token is not valid")
    house.listing.of(page(listed("a"), listed("b", age=3600)), DOWN)
    await discovery(house).sweep()
    house.listing.pages = {
        None: page(listed("new", age=-9000), listed("n2", age=-8000), next_token="fresh"),
        "fresh": page(listed("c", age=3000), listed("d", age=3600)),
        "t1": refused,
    }
    house.listing.asked.clear()
    house.clock.advance(9600)
    with capture_logs() as told:
        report = await discovery(house).sweep()
    assert report.not_reached is None
    assert house.listing.asked == [None, "fresh", "t1", None, "fresh"]
    assert [one["because"] for one in told if one["event"] == "discovery restarted"] == [str(refused)]


async def test_a_token_refused_later_on_is_a_trouble_like_any_other(house: House) -> None:
    house.listing.of(page(listed("a", age=9000)), DOWN)
    await discovery(house).sweep()
    house.listing.asked.clear()
    house.listing.pages = {
        None: page(listed("x"), listed("y", age=9000), next_token="u1"),
        "u1": page(listed("z", age=9000), next_token="u2"),
        "t1": page(listed("c"), next_token="t2"),
        "t2": RefusedError("HTTP 400"),
    }
    report = await discovery(house).sweep()
    assert house.listing.asked == [None, "u1", "t1", "t2"]
    assert report.not_reached is not None
    assert report.not_reached.endswith(": HTTP 400")


async def test_restart_forgets_where_it_was(house: House) -> None:
    house.listing.of(page(listed("a")), DOWN)
    await discovery(house).sweep()
    house.listing.asked.clear()
    house.listing.of(page(listed("a")), page(listed("b", age=5)))
    assert await discovery(house).sweep(restart=True) == Report(listed=2, new=1, changed=1, pages=2)
    assert house.listing.asked == [None, "t1"]


@pytest.mark.parametrize(
    ("before", "after_it", "there"),
    [
        (NONE, ALL, ["a", "b", "c"]),
        (Adoption("prefix:order-"), ALL, ["a", "b", "c"]),
        (Adoption("prefix:order-"), Adoption("prefix:o"), ["a"]),
    ],
)
async def test_what_was_read_for_another_policy_is_read_again(
    house: House, before: Adoption, after_it: Adoption, there: list[str]
) -> None:
    first = page(listed("a", callback_id="order-1"), listed("b", age=3600))
    house.listing.of(first, DOWN)
    assert (await discovery(house, before).sweep()).not_reached is not None
    house.listing.asked.clear()
    house.listing.of(first, page(listed("c", age=7200)))
    with capture_logs() as told:
        assert (await discovery(house, after_it).sweep()).not_reached is None
    assert house.listing.asked == [None, "t1"]
    assert list(house.statuses()) == there
    assert [one["adopt"] for one in told if one["event"] == "discovery ended"] == [str(after_it)]


async def test_of_two_that_adopt_otherwise_neither_goes_on_with_the_others_sweep(house: House) -> None:
    first, last = page(listed("a"), listed("b", age=3600)), page(listed("c", age=7200))
    house.listing.of(first, DOWN)
    for policy in (ALL, NONE):
        await discovery(house, policy).sweep()
    house.listing.of(first, last)
    await discovery(house, ALL).sweep()
    assert list(house.statuses()) == ["a", "b", "c"]


async def test_a_sweep_that_was_remembered_without_its_policy_begins_again(house: House) -> None:
    await house.store.remember("discovery", {"token": "t1", "began_at": NOON.isoformat()})
    house.listing.of(page(listed("a"), listed("b", age=3600)), page(listed("c", age=7200)))
    assert (await discovery(house).sweep()).new == 3


async def test_a_sweep_that_is_cancelled_goes_on_where_it_stopped(house: House) -> None:
    class Slow(FakeListing):
        async def page(self, token: str | None, at: Any) -> Page:
            if token == "t1":
                begun.set()
                await asyncio.Event().wait()
            return await super().page(token, at)

    begun, told = asyncio.Event(), house.listing
    house.listing = Slow()
    pages_told = page(listed("a"), listed("b", age=3600)), page(listed("c", age=7200))
    house.listing.of(*pages_told)
    left = asyncio.create_task(discovery(house).sweep())
    await begun.wait()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    house.listing = told
    told.of(*pages_told)
    assert (await discovery(house).sweep()).not_reached is None
    assert list(house.statuses()) == ["a", "b", "c"]


async def test_an_account_without_a_list_says_so(house: House) -> None:
    house.listing.of(RefusedError("HeyGen has no /v3/video-translations for this account: HTTP 404"))
    report = await discovery(house).sweep()
    assert report == Report(
        not_reached="the list: HeyGen has no /v3/video-translations for this account: HTTP 404"
    )


@pytest.mark.parametrize("nonsense", [None, 5, [], {"token": 5}, {"token": "t1", "began_at": "yesterday"}])
async def test_a_memory_that_cannot_be_read_is_none(house: House, nonsense: object) -> None:
    await house.store.remember("discovery", nonsense)
    house.listing.of(page(listed("a")))
    assert await discovery(house).sweep() == Report(listed=1, new=1, changed=1, pages=1)


async def test_a_list_that_promises_more_for_ever_is_left(house: House) -> None:
    class Endless(FakeListing):
        async def page(self, token: str | None, at: Any) -> Page:
            self.asked.append(token)
            return page(listed("a"), listed("b", age=5), next_token=f"fresh{len(self.asked)}")

    house.listing = Endless()
    report = await discovery(house).sweep()
    assert (report.new, report.pages) == (2, 1 + pagination.STALE_PAGES)
    assert report.not_reached is not None
    assert "had nothing new" in report.not_reached
    house.listing.asked.clear()
    await discovery(house).sweep()
    assert house.listing.asked[0] is None  # where it goes on is not known


# Sweeps now and then


async def test_sweeps_come_at_their_interval_and_sooner_after_an_interruption(house: House) -> None:
    house.listing.of(page(listed("a")), DOWN)
    sweeps = Sweeps(discovery(house), timedelta(hours=6), house.clock)
    with capture_logs() as told:
        for seconds in (0, 1, 598, 1):
            house.clock.advance(seconds)
            await sweeps.tick()
    assert house.listing.asked.count("t1") == 2
    assert [one["event"] for one in told if one["log_level"] == "warning"] == ["discovery interrupted"]
    house.listing.of(page(listed("a")))
    house.clock.advance(600)
    await sweeps.tick()
    assert sweeps.last is not None
    assert sweeps.last.not_reached is None
    house.listing.asked.clear()
    another = Sweeps(discovery(house), timedelta(hours=6), house.clock)  # the next process
    for seconds, asked in ((0, []), (6 * 3600 - 1, []), (1, [None])):
        house.clock.advance(seconds)
        await another.tick()
        assert house.listing.asked == asked


async def test_trouble_with_the_store_comes_out_of_the_tick(house: House) -> None:
    house.listing.of(page(listed("a")))
    sweeps = Sweeps(discovery(house), timedelta(hours=6), house.clock)
    with house.database.faults.failing(), pytest.raises(StoreError):
        await sweeps.tick()
    house.clock.advance(600)
    await sweeps.tick()
    assert sweeps.last is not None


# The walk


async def walk(*told: Page) -> tuple[int, str | None]:
    listing = FakeListing()
    listing.of(*told)
    walking = Walk(listing, lambda: NOON)
    async for _page in walking:
        pass
    return walking.pages, walking.cut


async def test_a_walk_ends_where_heygen_says_so() -> None:
    assert await walk(page(listed("a")), page(listed("b"))) == (2, None)


async def test_a_repeated_token_ends_it() -> None:
    read, cut = await walk(page(listed("a")), page(listed("b"), next_token="t1"))
    assert (read, cut) == (2, "HeyGen repeats the token of an earlier page")


async def test_more_without_a_token_ends_it() -> None:
    assert await walk(page(listed("a"), cut="more, and not where")) == (1, "more, and not where")


async def test_a_few_pages_without_news_are_no_end() -> None:
    stale = [page(listed("a")) for _ in range(pagination.STALE_PAGES - 1)]
    assert (await walk(page(listed("a")), *stale, page(listed("b"))))[1] is None


async def test_pages_of_other_products_are_news_as_long_as_their_times_are() -> None:
    others = [Page([], ignored=1, times=times(number)) for number in range(20)]
    assert await walk(*others) == (20, None)
    same = [Page([], ignored=1, times=times(1)) for _ in range(20)]
    read, cut = await walk(*same)
    assert read == 1 + pagination.STALE_PAGES
    assert cut is not None


async def test_there_is_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MOST_PAGES", 5)
    read, cut = await walk(*(page(listed(str(number))) for number in range(9)))
    assert (read, cut) == (5, "HeyGen promises more after 5 pages")


# The horizon


@pytest.mark.parametrize(
    ("ages", "passed", "in_order"),
    [
        ([(0, 10), (3500, 3700), (3700, 3800)], [False, False, True], True),
        ([(3700, 3800)], [True], True),
        ([(3700, 3700), (3700, 3701)], [False, True], True),  # of one moment: no order to be seen
        ([(3700,), (3800,)], [False, True], True),
        ([(9000, 8000), (7000, 3000)], [False, False], False),  # oldest first
        ([(9000, 8999), (8998, 8997)], [False, False], False),  # the same within minutes
        ([(0, 3700), (10, 9000)], [False, False], False),
        ([(0, 3700), (3200, 9000), (9000, 9001)], [False, False, True], True),  # out of order by minutes
    ],
)
def test_how_far_back_a_listing_was_read(
    ages: list[tuple[float, ...]], passed: list[bool], in_order: bool
) -> None:
    horizon = Horizon(after(-3600))
    assert [horizon.is_passed(Page([], times=times(*page))) for page in ages] == passed
    assert horizon.in_order is in_order


def test_what_has_no_times_has_no_order() -> None:
    horizon = Horizon(after(-3600))
    assert not horizon.is_passed(Page([]))
    assert horizon.in_order
    assert not horizon.is_passed(Page([logged("a", None)]))
    assert not horizon.is_passed(Page([], times=times(3700, 3800)))
    assert not horizon.in_order


def test_times_that_were_remembered() -> None:
    assert as_moment(NOON.isoformat()) == NOON
    assert [as_moment(one) for one in (None, 5, "noon", "2026-11-23T12:00:00")] == [None] * 4
