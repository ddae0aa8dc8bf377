"""Retention over a store that counts: what it deletes, in which order, and when it stops."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.builders import after
from tests.fakes import STORE_IS_DOWN, FakeClock
from tracker.domain.retention import Keep, Kind
from tracker.errors import StoreError
from tracker.tracking.retention import BATCH, PAGES, Retention

pytestmark = pytest.mark.anyio

KEEP = Keep(timedelta(days=7), timedelta(days=90), timedelta(days=365))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class FakePruner:
    """So many old rows of each kind, and so many free pages; each batch takes `seconds`.

    `meanwhile` is called in each batch.
    """

    clock: FakeClock
    old: dict[Kind, int] = field(default_factory=dict)
    pages: int = 0
    seconds: float = 0
    meanwhile: Callable[[], object] = lambda: None
    asked: list[tuple[Kind, datetime]] = field(default_factory=list)
    broken: Exception | None = None

    async def prune(self, kind: Kind, before: datetime, limit: int) -> int:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        self.asked.append((kind, before))
        self.clock.advance(self.seconds)
        self.meanwhile()
        count = min(limit, self.old.get(kind, 0))
        self.old[kind] = self.old.get(kind, 0) - count
        return count

    async def count_old(self, kind: Kind, before: datetime, limit: int) -> int:
        return min(limit, self.old.get(kind, 0))

    async def give_back(self, limit: int) -> int:
        count = min(limit, self.pages)
        self.pages -= count
        return count


@dataclass
class House:
    clock: FakeClock = field(default_factory=FakeClock)
    counted: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = FakePruner(self.clock)
        self.retention = Retention(self.store, KEEP, self.clock, lambda *batch: self.counted.append(batch))


@pytest.fixture
def house() -> House:
    return House()


async def test_it_goes_on_batch_by_batch_until_nothing_is_too_old(house: House) -> None:
    house.store.old = {Kind.DELIVERY_BODIES: 2 * BATCH + 1, Kind.TRANSLATIONS: 3}

    await house.retention.tick()

    bodies = str(Kind.DELIVERY_BODIES)
    assert house.counted == [(bodies, BATCH), (bodies, BATCH), (bodies, 1), (str(Kind.TRANSLATIONS), 3)]
    assert sum(house.store.old.values()) == 0


async def test_what_grows_too_old_meanwhile_waits_for_the_next_time(house: House) -> None:
    house.store.old, house.store.seconds = {Kind.DELIVERIES: 5 * BATCH}, 60

    await house.retention.tick()

    assert {before for kind, before in house.store.asked if kind is Kind.DELIVERIES} == {after(days=-90)}


async def test_other_settings_hold_from_the_next_batch_on(house: House) -> None:
    def set_anew() -> None:
        house.retention.keep = Keep(deliveries=timedelta(days=100))

    house.store.old, house.store.meanwhile = {Kind.DELIVERIES: 5 * BATCH, Kind.TRANSLATIONS: 1}, set_anew

    await house.retention.tick()

    assert [before for kind, before in house.store.asked if kind is Kind.DELIVERIES][-1] == after(days=-100)
    assert house.store.old[Kind.TRANSLATIONS] == 1


async def test_what_is_kept_for_ever_is_not_asked_for(house: House) -> None:
    house.retention.keep = Keep()

    await house.retention.tick()

    assert house.store.asked == []
    assert await house.retention.backlog() == {}


async def test_free_pages_are_given_back_at_the_end(house: House) -> None:
    house.store.pages = 3 * PAGES + 1

    await house.retention.tick()

    assert house.store.pages == 0


async def test_it_tells_aloud_only_of_deleted_translations(house: House) -> None:
    with capture_logs() as logs:
        await house.retention.tick()
        house.store.old = {Kind.DELIVERIES: 1}
        await house.retention.tick()
        house.store.old = {Kind.TRANSLATIONS: 2}
        await house.retention.tick()

    assert logs == [
        {"event": "pruned", "log_level": "debug", "delivery_bodies": 0, "deliveries": 1, "translations": 0},
        {"event": "pruned", "log_level": "info", "delivery_bodies": 0, "deliveries": 0, "translations": 2},
    ]


async def test_a_store_that_is_away_ends_the_tick_and_the_next_goes_on(house: House) -> None:
    house.store.old, house.store.broken = {Kind.DELIVERIES: 1}, STORE_IS_DOWN
    with pytest.raises(StoreError):
        await house.retention.tick()
    house.store.broken = None

    await house.retention.tick()

    assert house.counted == [("deliveries", 1)]


async def test_it_can_be_cancelled_between_two_batches(house: House) -> None:
    house.store.old = {Kind.DELIVERIES: 1000 * BATCH}
    tick = asyncio.create_task(house.retention.tick())
    house.store.meanwhile = tick.cancel

    with pytest.raises(asyncio.CancelledError):
        await tick
    assert house.store.old[Kind.DELIVERIES] > 0


async def test_the_backlog_is_what_is_too_old_now(house: House) -> None:
    house.store.old = {Kind.DELIVERIES: 20_000}

    assert await house.retention.backlog() == {"delivery_bodies": 0, "deliveries": 10_000, "translations": 0}
