"""Poller and sweeps that are given another pace while they run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import after
from tests.contract.openers import Database
from tests.fakes import FakeFigures, FakeHeyGen
from tests.unit.polling.listed import House, listed, open_house, page
from tracker.domain.adoption import Adoption
from tracker.domain.limits import PollLimits
from tracker.domain.record import Record, RecordResult
from tracker.domain.schedule import Schedule
from tracker.domain.status import Status
from tracker.errors import KeyRejectedError, RateLimitedError, StoreError, TransientError
from tracker.polling.discovery import Discovery, Sweeps
from tracker.polling.gate import Reason
from tracker.polling.poller import Poller
from tracker.tracking.recorder import Recorder

pytestmark = pytest.mark.anyio

CADENCE = Schedule()
PACE = PollLimits(1, 15.0, 5.0, CADENCE)
HOURS = 3600


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Stage:
    """A poller that asks one question at a time, with everything around it."""

    def __init__(self, database: Database, *, has_key: bool = True) -> None:
        self.heygen, self.clock = FakeHeyGen(), database.clock
        figures = FakeFigures()
        tracker = Recorder(database.store, CADENCE, figures)
        asked = self.heygen if has_key else None
        self.poller = Poller(
            database.store, tracker, tracker.facts, asked, figures, self.clock, owner="tests", limits=PACE
        )

    async def run_once(self) -> dict[str, int]:
        return dict(await self.poller.run_once())


async def test_more_questions_at_once_are_asked_from_the_next_tick_on(database: Database) -> None:
    stage = Stage(database)
    database.track(*(f"id-{number}" for number in range(9)))
    await stage.run_once()
    assert stage.heygen.most_in_flight == 1

    stage.poller.set_limits(replace(PACE, concurrency=4))
    stage.clock.advance(HOURS)
    assert await stage.run_once() == {"running": 9}
    assert stage.heygen.most_in_flight == 4


async def test_a_claim_is_held_as_long_as_the_new_pace_needs(database: Database) -> None:
    stage = Stage(database)
    database.track("a")
    stage.poller.set_limits(replace(PACE, concurrency=10, request_timeout=100.0, rate_limit=0.1))
    held: list[float] = []
    stage.heygen.before_answering = lambda _id: held.extend(
        (row["claimed_until"] - stage.clock()).total_seconds() for row in database.rows()
    )
    await stage.run_once()
    assert held == [100 + 150 + 60]


async def test_polling_rests_as_long_as_the_new_cadence_says(database: Database) -> None:
    stage = Stage(database)
    database.track("a")
    stage.heygen.every = KeyRejectedError("HTTP 401")
    stage.poller.set_limits(replace(PACE, schedule=Schedule(min_interval=timedelta(seconds=40))))
    await stage.run_once()
    assert stage.poller.gate.until == after(40)


async def test_another_key_is_tried_at_once(database: Database) -> None:
    stage = Stage(database)
    database.track("refused", "due")
    stage.heygen.every = KeyRejectedError("HTTP 401")
    await stage.run_once()
    stage.heygen.every = Status.RUNNING
    stage.clock.advance(1)
    assert await stage.run_once() == {}

    stage.poller.try_account()
    stage.clock.advance(1)
    assert (await stage.run_once(), stage.poller.gate.reason) == ({"running": 1}, None)


async def test_another_key_does_not_end_a_rest_that_heygen_asked_for(database: Database) -> None:
    stage = Stage(database)
    database.track("a")
    stage.heygen.every = RateLimitedError("HTTP 429", retry_after=60)
    await stage.run_once()
    stage.poller.try_account()
    stage.clock.advance(1)
    assert await stage.run_once() == {}
    assert stage.poller.gate.reason == Reason.RATE_LIMITED


async def test_polling_has_begun_once_the_store_was_asked(database: Database) -> None:
    stage = Stage(database)
    assert not stage.poller.began.is_set()
    await stage.poller.tick()
    assert stage.poller.began.is_set()


async def test_it_has_begun_also_where_the_store_did_not_answer(database: Database) -> None:
    stage = Stage(database)
    with database.faults.failing(), pytest.raises(StoreError):
        await stage.poller.tick()
    assert stage.poller.began.is_set()


async def test_it_has_begun_also_where_there_is_nobody_to_ask(database: Database) -> None:
    stage = Stage(database, has_key=False)
    await stage.poller.tick()
    assert stage.poller.began.is_set()


# Sweeps


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        house.listing.of(page(listed("a")))
        yield house


def sweeps_in(house: House, hours: float | None) -> Sweeps:
    discovery = Discovery(house.tracker, house.listing, house.store, house.clock, Adoption())
    return Sweeps(discovery, _hours(hours), house.clock)


def _hours(count: float | None) -> timedelta | None:
    return None if count is None else timedelta(hours=count)


async def test_without_an_interval_nothing_is_swept(house: House) -> None:
    sweeps = sweeps_in(house, None)
    await sweeps.tick()
    assert (house.listing.asked, sweeps.last) == ([], None)


@pytest.mark.parametrize(
    ("hours", "passed", "sweeps_done"), [(2, 1, 1), (2, 2, 2), (12, 6, 1), (12, 12, 2), (None, 99, 1)]
)
async def test_another_interval_counts_from_the_last_sweep(
    house: House, hours: float | None, passed: float, sweeps_done: int
) -> None:
    sweeps = sweeps_in(house, 6)
    await sweeps.tick()
    sweeps.set_interval(_hours(hours))
    house.clock.advance(passed * HOURS)
    await sweeps.tick()
    assert house.listing.asked == [None] * sweeps_done


async def test_an_interval_that_comes_later_begins_with_a_sweep(house: House) -> None:
    sweeps = sweeps_in(house, None)
    await sweeps.tick()
    sweeps.set_interval(_hours(6))
    await sweeps.tick()
    assert sweeps.last is not None


async def test_a_sweep_that_was_interrupted_is_tried_again_at_another_interval(house: House) -> None:
    house.listing.of(TransientError("HTTP 503"))
    sweeps = sweeps_in(house, 6)
    await sweeps.tick()
    house.listing.of(page(listed("a")))
    sweeps.set_interval(_hours(12))
    await sweeps.tick()
    assert sweeps.last is not None
    assert sweeps.last.not_reached is None


async def test_an_interval_that_comes_during_a_sweep_counts_from_its_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps, record = sweeps_in(house, 24), house.tracker.record

    async def record_and_change(records: Sequence[Record]) -> list[RecordResult]:
        sweeps.set_interval(_hours(1))
        return await record(records)

    monkeypatch.setattr(house.tracker, "record", record_and_change)
    await sweeps.tick()
    for _ in range(2):
        house.clock.advance(HOURS)
        await sweeps.tick()
    assert house.listing.asked == [None] * 3
