"""The planner over a real store and a fake HeyGen."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import URL, after, observation
from tests.contract.openers import Database
from tests.fakes import FakeFigures, FakeHeyGen
from tracker.domain.capacity import CapacityPlan, plan_capacity
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule, Tempo
from tracker.domain.status import Source, Status
from tracker.errors import StoreError
from tracker.polling.planner import PLAN_SECONDS, Mode, Planner
from tracker.tracking.recorder import Recorder

pytestmark = pytest.mark.anyio

CADENCE = Schedule()
HOUR = timedelta(hours=1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """A planner with everything around it, for an account of one request a second."""

    database: Database
    heygen: FakeHeyGen = field(default_factory=FakeHeyGen)

    def __post_init__(self) -> None:
        self.store, self.clock = self.database.store, self.database.clock
        self.tracker = Recorder(self.store, CADENCE, FakeFigures())
        self.planner = Planner(
            self.store,
            self.tracker,
            self.tracker.facts,
            self.heygen,
            self.clock,
            schedule=CADENCE,
            rate_limit=1.0,
        )

    def track(self, young: int, old: int = 0) -> "Stage":
        """So many open ones, and nothing else."""
        self.database.sql("DELETE FROM translations")
        self.database.track(*(f"young-{number}" for number in range(young)))
        if old:
            self.database.track(*(f"old-{number}" for number in range(old)), created_at=after(-86_400))
        return self

    def wait_long(self, name: str = "young-0") -> None:
        """The next poll of this translation is due in an hour."""
        self.database.change(name, next_poll_at=self.clock() + HOUR)

    def was_hastened(self, name: str = "young-0") -> bool:
        """Whether the poll is due sooner than that by now; from now on it is due in an hour."""
        due: datetime = self.database.row(name)["next_poll_at"]
        self.wait_long(name)
        return due < self.clock() + HOUR - timedelta(minutes=1)

    async def plan(self) -> list[Any]:
        """What is logged while it plans anew."""
        self.clock.advance(PLAN_SECONDS)
        with capture_logs() as logs:
            await self.planner.tick()
        return [(line["event"], line["log_level"]) for line in logs]

    async def end(self, *sources: Source) -> None:
        """One translation after another ends, first reported by these."""
        for source in sources:
            name = f"ended-{len(self.database.rows())}"
            seen = observation(source, Status.SUCCESS, video_translate_id=name, url=URL)
            await self.tracker.record([Record(observation=seen)])


BROKEN = ("max_staleness cannot be kept", "error")
KEPT = ("max_staleness can be kept", "warning")


async def test_the_plan_is_made_of_what_is_open_and_what_may_be_asked(database: Database) -> None:
    stage = Stage(database).track(young=27, old=108)
    assert await stage.plan() == []
    assert stage.tracker.facts.plan == plan_capacity(CADENCE, 27, 108, 0.9)
    assert stage.tracker.tempo == Tempo(1.0, timedelta(seconds=54), timedelta(seconds=270))


async def test_bulk_questions_ask_about_many_and_leave_half_for_the_ends(database: Database) -> None:
    stage = Stage(database).track(young=1000, old=100)
    stage.heygen.batch_size = 100
    assert await stage.plan() == []
    assert stage.tracker.facts.plan == plan_capacity(CADENCE, 1000, 100, 50.0)


async def test_it_plans_anew_every_ten_seconds_and_not_in_between(database: Database) -> None:
    stage = Stage(database).track(young=1)
    await stage.planner.tick()
    first = stage.tracker.facts.plan
    stage.track(young=40)
    stage.clock.advance(PLAN_SECONDS - 0.1)
    await stage.planner.tick()
    assert stage.tracker.facts.plan is first
    stage.clock.advance(0.1)
    await stage.planner.tick()
    assert stage.tracker.facts.plan == plan_capacity(CADENCE, 40, 0, 0.9)


# What is told


async def test_that_the_promise_cannot_be_kept_is_told_once_with_by_how_much(database: Database) -> None:
    stage = Stage(database).track(young=90, old=18)
    with capture_logs() as logs:
        await stage.planner.tick()
    assert logs == [
        {
            "event": "max_staleness cannot be kept",
            "log_level": "error",
            "promised": 60.0,
            "possible": 120.0,
            "short_by": 60.0,
            "young": 90,
            "older": 18,
            "rate_limit": 1.0,
            "advice": "raise TRACKER_RATE_LIMIT or TRACKER_MAX_STALENESS",
        }
    ]
    assert await stage.plan() == []


async def test_so_is_that_it_is_kept_again_and_that_it_breaks_anew(database: Database) -> None:
    stage = Stage(database)
    told = []
    for young in (1, 90, 100, 1, 2, 90):
        told.append(await stage.track(young).plan())
    assert told == [[], [BROKEN], [], [KEPT], [], [BROKEN]]


async def test_bulk_questions_keep_what_single_ones_cannot(database: Database) -> None:
    stage = Stage(database).track(young=1000)
    assert await stage.plan() == [BROKEN]
    stage.heygen.batch_size = 100
    assert await stage.plan() == [KEPT]


# The mode


async def test_before_anything_is_planned_the_mode_is_what_webhooks_have_proven(database: Database) -> None:
    stage = Stage(database)
    assert stage.planner.mode is Mode.EAGER
    await stage.end(*[Source.WEBHOOK] * 5)
    assert str(stage.planner.mode) == "relaxed"


async def test_a_broken_promise_is_the_mode_whatever_webhooks_have_proven(database: Database) -> None:
    stage = Stage(database).track(young=90)
    await stage.end(*[Source.WEBHOOK] * 5)
    await stage.plan()
    assert stage.planner.mode is Mode.SATURATED
    await stage.track(young=1).plan()
    assert str(stage.planner.mode) == "relaxed"


# Trust that is lost


@pytest.mark.parametrize(("batch", "soon"), [(1, 54), (100, 0)])
async def test_where_trust_is_lost_what_is_open_is_asked_about_at_once(
    batch: int, soon: int, database: Database
) -> None:
    stage = Stage(database).track(young=1)
    stage.heygen.batch_size = batch
    database.change("young-0", next_poll_at=after(500))
    await stage.end(*[Source.WEBHOOK] * 10)
    assert await stage.plan() == []
    await stage.end(Source.POLL)
    with capture_logs() as logs:
        await stage.planner.tick()
        assert database.row("young-0")["next_poll_at"] == stage.clock() + timedelta(seconds=soon)
        stage.wait_long()
        await stage.planner.tick()
    assert [(line["event"], line["stretch_before"], line["stretch"]) for line in logs] == [
        ("webhooks no longer reliable", 4.0, 1.0)
    ]
    assert not stage.was_hastened()


async def test_trust_that_grows_hastens_nothing(database: Database) -> None:
    stage = Stage(database).track(young=1)
    stage.wait_long()
    for _ in range(12):
        await stage.end(Source.WEBHOOK)
        assert await stage.plan() == []
        assert not stage.was_hastened()


async def test_trust_that_is_remembered_from_the_last_run_can_be_lost(database: Database) -> None:
    stage = Stage(database)
    database.end(*[Source.WEBHOOK] * 20)
    await stage.tracker.remember_evidence()
    assert await stage.plan() == []
    await stage.end(Source.POLL)
    assert await stage.plan() == [("webhooks no longer reliable", "warning")]


async def test_what_the_store_could_not_do_is_done_at_the_next_tick(database: Database) -> None:
    stage = Stage(database).track(young=1)
    stage.wait_long()
    await stage.end(*[Source.WEBHOOK] * 5)
    await stage.plan()
    await stage.end(Source.POLL)
    for _ in range(2):
        with capture_logs() as logs, database.faults.failing(), pytest.raises(StoreError):
            await stage.planner.tick()
        assert logs == []
    assert not stage.was_hastened()
    assert await stage.plan() == [("webhooks no longer reliable", "warning")]
    assert stage.was_hastened()


async def test_without_a_catch_up_the_first_tick_brings_the_polls_forward(
    database: Database,
) -> None:
    stage = Stage(database).track(young=1)
    stage.wait_long()
    hasty = Planner(
        stage.store,
        stage.tracker,
        stage.tracker.facts,
        stage.heygen,
        stage.clock,
        schedule=Schedule(),
        rate_limit=5,
        hasten_at_start=True,
    )
    hastened = []
    for planner in (hasty, hasty, hasty, stage.planner):
        await planner.tick()
        hastened.append(stage.was_hastened())
    assert hastened == [True, False, False, False]


async def test_nothing_open_keeps_every_promise(database: Database) -> None:
    stage = Stage(database)
    await stage.plan()
    assert stage.tracker.facts.plan == CapacityPlan(
        timedelta(0), timedelta(0), timedelta(seconds=54), is_kept=True
    )


async def test_another_rate_limit_is_planned_with_at_once(database: Database) -> None:
    stage = Stage(database).track(young=27, old=108)
    await stage.plan()
    stage.wait_long()
    stage.planner.set_limits(CADENCE, 2.0)
    await stage.planner.tick()
    assert stage.tracker.facts.plan == plan_capacity(CADENCE, 27, 108, 1.8)
    assert not stage.was_hastened()


@pytest.mark.parametrize(
    ("seconds", "hastens"),
    [
        ({"min_interval": 14}, True),
        ({"max_interval": 599}, True),
        ({"max_staleness": 59}, True),
        ({"min_interval": 14, "max_interval": 900}, True),
        ({"min_interval": 16, "max_interval": 601, "max_staleness": 61}, False),
        ({}, False),
    ],
)
async def test_where_polls_may_come_sooner_now_they_do_at_once(
    database: Database, seconds: dict[str, float], *, hastens: bool
) -> None:
    stage = Stage(database).track(young=1)
    await stage.plan()
    schedule = replace(CADENCE, **{name: timedelta(seconds=count) for name, count in seconds.items()})
    stage.planner.set_limits(schedule, 1.0)
    stage.planner.set_limits(schedule, 1.0)  # a second reload forgets nothing
    stage.wait_long()
    hastened = []
    for _ in range(2):
        await stage.planner.tick()
        hastened.append(stage.was_hastened())
    assert hastened == [hastens, False]
    assert stage.tracker.facts.plan == plan_capacity(schedule, 1, 0, 0.9)
