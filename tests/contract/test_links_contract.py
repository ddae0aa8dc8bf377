"""Links over the real store: claimed once, asked for once, by one tracker or by several."""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert

from tests.builders import observation
from tests.contract.openers import NOON, Database
from tests.fakes import FakeClock, FakeFigures, FakeHeyGen
from tracker.domain.limits import PollLimits
from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.errors import NotFoundError
from tracker.polling.poller import Poller
from tracker.polling.renewals import Renewals
from tracker.store.repository import Repository
from tracker.store.tables import translations
from tracker.tracking.fresh_links import FreshLinks, Freshness
from tracker.tracking.recorder import Recorder

pytestmark = pytest.mark.anyio

URL = "https://resource2.heygen.ai/a.mp4"
LEASE = timedelta(seconds=30)
CADENCE = Schedule()


class Giver(FakeHeyGen):
    """HeyGen, which signs each link anew, for `life`."""

    life = timedelta(days=7)

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        seen = await super().fetch(video_translate_id, at)
        end = int((at + self.life).timestamp())
        links = {kind.column: f"{URL}?{kind}&Expires={end}&Signature={len(self.asked)}" for kind in LinkKind}
        return replace(seen, details=replace(seen.details, **links))  # type: ignore[arg-type]


@dataclass
class OneTracker:
    """A tracker with a store of its own on the database that it shares."""

    store: Repository
    heygen: FakeHeyGen
    clock: FakeClock
    name: str

    def __post_init__(self) -> None:
        figures = FakeFigures()
        self.tracker = Recorder(self.store, CADENCE, figures)
        limits = PollLimits(10, 15.0, 100.0, CADENCE)
        self.poller = Poller(
            self.store,
            self.tracker,
            self.tracker.facts,
            self.heygen,
            figures,
            self.clock,
            owner=self.name,
            limits=limits,
        )
        self.links = FreshLinks(self.store, self.poller, None, figures, self.clock, Freshness.ON_DEMAND)


async def ended(database: Database, name: str = "a", life: timedelta = timedelta(days=7)) -> int:
    """The number of a translation that has ended, and whose link lives for so long."""
    url = f"{URL}?Expires={int((NOON + life).timestamp())}"
    seen = observation(Source.LIST, Status.SUCCESS, video_translate_id=name, observed_at=NOON, url=url)
    [recorded] = await database.store.apply(
        [Record(observation=seen)], partial(determine_outcome, schedule=CADENCE)
    )
    assert recorded.translation_id is not None
    return recorded.translation_id


# Claims


async def test_an_ended_row_is_claimed_for_its_links_once(database: Database) -> None:
    number = await ended(database)
    claim = await database.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    assert (claim.translation_id, claim.video_translate_id, claim.owner) == (number, "a", "one")
    assert await database.store.claim_links(number, 0, NOON, "two", LEASE) is None
    assert await database.store.claim_links(number, 0, NOON + LEASE, "two", LEASE) is not None
    assert database.sql("SELECT next_poll_at FROM translations") == [(None,)]


async def test_nobody_claims_what_was_asked_about_since_or_is_open_or_has_no_id(database: Database) -> None:
    number = await ended(database)
    assert await database.store.claim_links(number, 1, NOON, "one", LEASE) is None
    database.sql("UPDATE translations SET status = 'running', next_poll_at = created_at")
    assert await database.store.claim_links(number, 0, NOON, "one", LEASE) is None
    database.sql("UPDATE translations SET status = 'success', callback_id = 'x', video_translate_id = NULL")
    assert await database.store.claim_links(number, 0, NOON, "one", LEASE) is None
    assert await database.store.claim_links(number + 1, 0, NOON, "one", LEASE) is None


async def test_a_claim_for_links_that_is_given_back_makes_nothing_due(database: Database) -> None:
    number = await ended(database)
    claim = await database.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    await database.store.release([claim], NOON)
    assert database.sql("SELECT next_poll_at, claimed_by FROM translations") == [(None, None)]

    database.sql("UPDATE translations SET next_poll_at = created_at")  # a question of its own is left to ask
    claim = await database.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    await database.store.release([claim], NOON + LEASE)
    assert await database.store.claim_due(NOON, 1, "one", LEASE) == []
    assert len(await database.store.claim_due(NOON + LEASE, 1, "one", LEASE)) == 1


# One question


async def test_trackers_that_ask_at_once_ask_heygen_once(database: Database) -> None:
    number = await ended(database, life=timedelta(minutes=5))
    heygen, clock = Giver(a=Status.SUCCESS), FakeClock()
    heygen.gate = asyncio.Event()
    with database.second() as other:
        trackers = [OneTracker(database.store, heygen, clock, "one"), OneTracker(other, heygen, clock, "two")]
        asking = [asyncio.create_task(one.links.fresh(number, LinkKind.VIDEO)) for one in trackers * 5]
        async with asyncio.timeout(10):
            await heygen.begun.wait()
            heygen.gate.set()
            links = await asyncio.gather(*asking)
    assert heygen.asked == ["a"]
    assert len({link.url for link in links}) == 1
    assert links[0].expires_at == NOON + timedelta(days=7)
    [row] = database.sql("SELECT status, url, poll_count, next_poll_at, claimed_by FROM translations")
    assert row == ("success", links[0].url, 1, None, None)


async def test_whoever_read_the_row_before_another_asked_does_not_ask_again(database: Database) -> None:
    number = await ended(database, life=timedelta(minutes=5))
    heygen, clock = Giver(a=Status.SUCCESS), FakeClock()
    with database.second() as other:
        late = OneTracker(other, heygen, clock, "two")
        await OneTracker(database.store, heygen, clock, "one").links.fresh(number, LinkKind.VIDEO)
        assert await late.poller.ask(number, 0) is None
    assert heygen.asked == ["a"]


# Renewals

DAY = timedelta(days=1)


async def renewal(database: Database, at: datetime = NOON) -> str | None:
    claim = await database.store.claim_renewal(at, "one", LEASE)
    return claim.video_translate_id if claim else None


async def test_links_are_claimed_for_renewal_a_day_before_they_end_the_first_first(
    database: Database,
) -> None:
    for name, days in (("b", 5), ("a", 4), ("c", 6)):
        await ended(database, name, timedelta(days=days))
    assert await renewal(database, NOON + 3 * DAY - timedelta(seconds=1)) is None
    assert await renewal(database, NOON + 3 * DAY) == "a"
    assert [await renewal(database, NOON + 7 * DAY) for _ in range(4)] == ["a", "b", "c", None]
    assert database.sql("SELECT DISTINCT next_poll_at FROM translations") == [(None,)]


async def test_a_renewal_whose_answer_was_lost_holds_up_no_other_and_comes_again_in_an_hour(
    database: Database,
) -> None:
    for name in "ab":
        await ended(database, name, timedelta(days=2))
    later = NOON + 2 * DAY
    assert [await renewal(database, later) for _ in range(3)] == ["a", "b", None]
    assert await renewal(database, later + timedelta(minutes=59)) is None
    assert await renewal(database, later + timedelta(hours=1)) == "a"


async def test_what_an_earlier_release_has_stored_is_renewed_a_day_before_its_videos_link_ends(
    database: Database,
) -> None:
    for name, days in (("a", 3), ("b", 2), ("c", 4)):
        await ended(database, name, timedelta(days=days))
    database.sql("UPDATE translations SET renew_links_at = NULL WHERE video_translate_id <> 'c'")
    assert await renewal(database, NOON + DAY - timedelta(seconds=1)) is None
    assert await renewal(database, NOON + DAY) == "b"
    assert await renewal(database, NOON + DAY) is None
    assert [await renewal(database, NOON + 3 * DAY) for _ in range(4)] == ["b", "c", "a", None]


async def test_nothing_else_is_renewed(database: Database) -> None:
    changes = (
        "status = 'failed'",
        "status = 'running', next_poll_at = created_at",
        "video_translate_id = NULL, callback_id = 'x'",
        "next_poll_at = renew_links_at",  # a poll is due, and brings links
        "claimed_until = '2027-01-01 00:00:00'",
        "url_expires_at = NULL, renew_links_at = NULL",
    )
    for place, change in enumerate(changes):
        planned, unplanned = [await ended(database, f"{kind}-{place}") for kind in ("planned", "unplanned")]
        database.sql(f"UPDATE translations SET {change} WHERE id IN ({planned}, {unplanned})")
        database.sql(f"UPDATE translations SET renew_links_at = NULL WHERE id = {unplanned}")
    assert await renewal(database, NOON + 7 * DAY) is None


async def test_always_keeps_every_link_alive_for_a_fortnight_with_one_question_in_six_days(
    database: Database,
) -> None:
    """Of translations that ended in the course of a day; one is unknown to HeyGen from the fifth day on."""
    count, heygen, clock = 24, Giver(), FakeClock()
    heygen.every = Status.SUCCESS
    one = OneTracker(database.store, heygen, clock, "one")
    numbers = [await ended(database, f"t{hour}", timedelta(days=7, hours=hour)) for hour in range(count)]
    renewals = Renewals(one.poller.renew, lambda: True, lambda _: None, lambda _: None, is_on=True)

    for hour in range(14 * 24):
        clock.advance(3600)
        if hour == 5 * 24:
            heygen.answers["t0"] = NotFoundError("Video translate not found")
        await one.poller.tick()
        await renewals.tick()
        if hour % 6 == 0:
            rows = await database.store.get(numbers[1:])
            assert all(row["url_expires_at"] > clock() + timedelta(hours=22) for row in rows)
            assert {(row["status"], row["next_poll_at"], row["attention"]) for row in rows} == {
                ("success", None, None)
            }

    asked = Counter(heygen.asked)
    assert {asked[f"t{hour}"] for hour in range(1, count)} <= {2, 3}
    assert asked["t0"] <= 25
    [gone] = await database.store.get(numbers[:1])
    assert (gone["status"], gone["attention"], gone["next_poll_at"]) == ("success", None, None)
    assert gone["renew_links_at"] > clock() + timedelta(days=1)


async def test_renewals_delay_no_poll_of_what_is_open(database: Database) -> None:
    """Fifty links are due for renewal; each poll is begun at the tick at which it is due."""
    heygen, clock = Giver(), FakeClock()
    heygen.every = Status.SUCCESS
    one = OneTracker(database.store, heygen, clock, "one")
    for number in range(50):
        await ended(database, f"old-{number}", timedelta(minutes=1))
    clock.advance(3600)
    names = [f"open-{number}" for number in range(30)]
    added = [observation(Source.MANUAL, video_translate_id=name, observed_at=clock()) for name in names]
    await one.tracker.register(added)
    heygen.slow = {name: asyncio.Event() for name in names}
    renewals = Renewals(one.poller.renew, lambda: True, lambda _: None, lambda _: None, is_on=True)

    ticking = asyncio.create_task(one.poller.tick())
    async with asyncio.timeout(60):
        await heygen.until_asked(10)  # as many as may be out at once
        await renewals.tick()
        assert set(heygen.asked) <= set(names)

        for name in names:
            heygen.slow[name].set()
        await ticking
        await one.poller.run_once()
    order = heygen.asked.copy()
    assert set(order) == set(names)

    await renewals.tick()
    assert len(heygen.asked) == len(order) + 50


async def test_whoever_asks_for_renewals_reads_no_whole_table(database: Database) -> None:
    for number in range(5):
        await ended(database, f"t{number}", timedelta(days=7))
    with database.engines.writer.begin() as connection:
        rows = [
            {"video_translate_id": f"x{number}", "status": "success", "next_poll_at": None}
            | {"url_expires_at": NOON + DAY * 7, "renew_links_at": NOON + DAY * 6}
            for number in range(3000)
        ]
        connection.execute(insert(translations), rows)
    database.sql("ANALYZE")
    seen: list[tuple[str, Any]] = []
    event.listen(
        database.engines.writer, "before_cursor_execute", lambda *told: seen.append((told[2], told[3]))
    )
    assert await renewal(database) is None

    is_sqlite = database.engines.writer.dialect.name == "sqlite"
    asked = [(text, values) for text, values in seen if text.startswith("UPDATE translations")]
    assert len(asked) == 2
    with database.engines.writer.connect() as connection:
        for (statement, values), index in zip(asked, ("renew_links_at", "unplanned_links"), strict=True):
            plan = connection.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement}", values
            ).all()
            lines = " ".join(str(row[-1]) for row in plan)
            assert f"ix_translations_{index}" in lines
            assert not re.search(r"SCAN translations(?! USING)|Seq Scan on translations", lines)
