"""Links over the real store: claimed once, asked for once, by one tracker or by several."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.builders import observation
from tests.contract.openers import NOON, Opened
from tests.fakes import FakeClock, FakeFigures, FakeHeyGen
from tracker.domain.cadence import Cadence
from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation
from tracker.domain.status import Source, Status
from tracker.domain.verdict import judge
from tracker.links import FreshLinks, Freshness
from tracker.polling.pace import Pace
from tracker.polling.poller import Poller
from tracker.ports import Record
from tracker.store.repository import Repository
from tracker.tracking import Tracker

pytestmark = pytest.mark.anyio

URL = "https://resource2.heygen.ai/a.mp4"
LEASE = timedelta(seconds=30)
CADENCE = Cadence()


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
        tracker = Tracker(self.store, CADENCE, figures)
        pace = Pace(10, 15.0, 100.0, CADENCE)
        self.poller = Poller(
            self.store, tracker, self.heygen, figures, self.clock, owner=self.name, pace=pace
        )
        self.links = FreshLinks(self.store, self.poller, None, figures, self.clock, Freshness.ON_DEMAND)


@contextmanager
def second(opened: Opened) -> Iterator[Repository]:
    store = Repository(opened.engines, lambda: NOON)
    store.open()
    try:
        yield store
    finally:
        store._writer.close()
        store._readers.shutdown()


async def ended(opened: Opened, name: str = "a", life: timedelta = timedelta(days=7)) -> int:
    """The number of a translation that has ended, and whose link lives for so long."""
    url = f"{URL}?Expires={int((NOON + life).timestamp())}"
    seen = observation(Source.LIST, Status.SUCCESS, video_translate_id=name, observed_at=NOON, url=url)
    [recorded] = await opened.store.apply([Record(observation=seen)], partial(judge, cadence=CADENCE))
    assert recorded.translation_id is not None
    return recorded.translation_id


# Claims


async def test_an_ended_row_is_claimed_for_its_links_once(opened: Opened) -> None:
    number = await ended(opened)
    claim = await opened.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    assert (claim.translation_id, claim.video_translate_id, claim.owner) == (number, "a", "one")
    assert await opened.store.claim_links(number, 0, NOON, "two", LEASE) is None
    assert await opened.store.claim_links(number, 0, NOON + LEASE, "two", LEASE) is not None
    assert opened.sql("SELECT next_poll_at FROM translations") == [(None,)]


async def test_nobody_claims_what_was_asked_about_since_or_is_open_or_has_no_id(opened: Opened) -> None:
    number = await ended(opened)
    assert await opened.store.claim_links(number, 1, NOON, "one", LEASE) is None
    opened.sql("UPDATE translations SET status = 'running', next_poll_at = created_at")
    assert await opened.store.claim_links(number, 0, NOON, "one", LEASE) is None
    opened.sql("UPDATE translations SET status = 'success', callback_id = 'x', video_translate_id = NULL")
    assert await opened.store.claim_links(number, 0, NOON, "one", LEASE) is None
    assert await opened.store.claim_links(number + 1, 0, NOON, "one", LEASE) is None


async def test_a_claim_for_links_that_is_given_back_makes_nothing_due(opened: Opened) -> None:
    number = await ended(opened)
    claim = await opened.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    await opened.store.release([claim], NOON)
    assert opened.sql("SELECT next_poll_at, claimed_by FROM translations") == [(None, None)]

    opened.sql("UPDATE translations SET next_poll_at = created_at")  # a question of its own is left to ask
    claim = await opened.store.claim_links(number, 0, NOON, "one", LEASE)
    assert claim is not None
    await opened.store.release([claim], NOON + LEASE)
    assert await opened.store.claim_due(NOON, 1, "one", LEASE) == []
    assert len(await opened.store.claim_due(NOON + LEASE, 1, "one", LEASE)) == 1


# One question


async def test_trackers_that_ask_at_once_ask_heygen_once(opened: Opened) -> None:
    number = await ended(opened, life=timedelta(minutes=5))
    heygen, clock = Giver(a=Status.SUCCESS), FakeClock()
    heygen.gate = asyncio.Event()
    with second(opened) as other:
        trackers = [OneTracker(opened.store, heygen, clock, "one"), OneTracker(other, heygen, clock, "two")]
        asking = [asyncio.create_task(one.links.fresh(number, LinkKind.VIDEO)) for one in trackers * 5]
        async with asyncio.timeout(10):
            await heygen.begun.wait()
            heygen.gate.set()
            links = await asyncio.gather(*asking)
    assert heygen.asked == ["a"]
    assert len({link.url for link in links}) == 1
    assert links[0].expires_at == NOON + timedelta(days=7)
    [row] = opened.sql("SELECT status, url, poll_count, next_poll_at, claimed_by FROM translations")
    assert row == ("success", links[0].url, 1, None, None)


async def test_whoever_read_the_row_before_another_asked_does_not_ask_again(opened: Opened) -> None:
    number = await ended(opened, life=timedelta(minutes=5))
    heygen, clock = Giver(a=Status.SUCCESS), FakeClock()
    with second(opened) as other:
        late = OneTracker(other, heygen, clock, "two")
        await OneTracker(opened.store, heygen, clock, "one").links.fresh(number, LinkKind.VIDEO)
        assert await late.poller.ask(number, 0) is None
    assert heygen.asked == ["a"]
