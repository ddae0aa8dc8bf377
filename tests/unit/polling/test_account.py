"""What all trackers of one account share: here two or three of them, on one store."""

from datetime import timedelta

import pytest

from tests.builders import NOON, after
from tests.contract.openers import Database
from tracker.domain.schedule import Schedule
from tracker.polling.account import HEARTBEAT, HOLD, MEMORY, PROBE, SILENT, Account
from tracker.polling.gate import Gate, Reason

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)
NOTHING = timedelta(0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Member(Account):
    """Notes what it tells the client."""

    def __init__(self, database: Database, name: str, reason: Reason | None = None) -> None:
        super().__init__(database.store, Gate(Schedule(), reason), name)
        self.shares: list[tuple[int, timedelta]] = []
        self.silences: list[timedelta] = []
        self.share = lambda count, hold: self.shares.append((count, hold))
        self.silence = self.silences.append


async def both(database: Database) -> tuple[Member, Member]:
    """Two that have met."""
    one, other = Member(database, "one"), Member(database, "other")
    for member in (one, other, one):
        await member.tick(NOON)
    return one, other


# How many they are


async def test_one_that_is_alone_has_all_at_once(database: Database) -> None:
    one = Member(database, "one")
    await one.tick(NOON)
    assert one.shares == [(1, NOTHING)]


async def test_a_newcomer_waits_until_the_others_have_made_room(database: Database) -> None:
    one, other = Member(database, "one"), Member(database, "other")
    await one.tick(NOON)
    await other.tick(after(1))
    await one.tick(after(4.9))
    assert (one.shares, other.shares) == ([(1, NOTHING)], [(2, HOLD)])

    await one.tick(after(5))

    assert one.shares == [(1, NOTHING), (2, NOTHING)]
    assert HOLD > HEARTBEAT + SECOND


async def test_who_leaves_makes_room_at_the_others_next_heartbeat(database: Database) -> None:
    one, other = await both(database)
    await one.leave()
    await other.tick(NOON + HEARTBEAT)
    assert other.shares[-1] == (1, NOTHING)


async def test_who_is_killed_is_missed_after_a_while(database: Database) -> None:
    _, other = await both(database)
    now = NOON
    while now < NOON + SILENT:
        now += HEARTBEAT
        await other.tick(now)
        assert other.instances == 2
    await other.tick(now + HEARTBEAT)
    assert other.instances == 1


async def test_who_was_never_there_has_nothing_to_leave(database: Database) -> None:
    await database.store.meet("one", NOON, NOON)
    await Member(database, "one").leave()
    assert await database.store.meet("other", NOON, NOON) == 2


# When it rests


async def test_one_that_is_told_to_wait_lets_the_others_wait_too(database: Database) -> None:
    one, other = await both(database)

    assert await one.shut(Reason.RATE_LIMITED, NOON, retry_after=90) == after(90)
    await other.tick(after(1))

    assert (other.gate.reason, other.gate.until) == (Reason.RATE_LIMITED, after(90))
    assert other.silences == [timedelta(seconds=89)]
    assert await other.room(after(89), 10) == 0


async def test_one_alone_probes_and_all_go_on_once_it_is_answered(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.KEY_REJECTED, NOON, None)
    for member in (one, other):
        await member.tick(after(15))

    assert [await one.room(after(15), 10), await other.room(after(15), 10)] == [1, 0]
    await other.tick(after(16))
    assert await other.room(after(16), 10) == 0

    assert await one.open(after(15)) is Reason.KEY_REJECTED
    await other.tick(after(17))
    assert (other.gate.reason, await other.room(after(17), 10)) == (None, 10)


async def test_a_probe_that_fails_makes_all_wait_longer(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.KEY_REJECTED, NOON, None)
    assert await one.room(after(15), 1) == 1
    await one.shut(Reason.KEY_REJECTED, after(15), None)

    await other.tick(after(16))

    assert other.gate.until == after(45)
    assert await other.room(after(45), 1) == 1


async def test_a_probe_that_is_lost_with_its_tracker_is_made_by_another(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.KEY_REJECTED, NOON, None)
    assert await one.room(after(15), 1) == 1

    later = after(15) + PROBE
    await other.tick(later)

    assert await other.room(later, 10) == 1


async def test_of_two_pauses_at_once_a_shorter_one_replaces_no_longer_one(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.RATE_LIMITED, NOON, retry_after=90)
    await other.shut(Reason.RATE_LIMITED, NOON, retry_after=30)
    assert other.gate.until == after(90)


async def test_of_two_pauses_at_once_a_longer_one_replaces_a_shorter(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.RATE_LIMITED, NOON, retry_after=30)
    await other.shut(Reason.RATE_LIMITED, NOON, retry_after=90)
    await one.tick(after(1))
    assert one.gate.until == after(90)


async def test_an_answer_from_before_somebody_shut_it_opens_nothing(database: Database) -> None:
    one, other = await both(database)
    await one.shut(Reason.RATE_LIMITED, NOON, retry_after=10)
    await other.tick(after(10))
    await one.tick(after(10))
    await one.shut(Reason.RATE_LIMITED, after(10), retry_after=60)

    await other.open(after(10))  # it knew the first pause alone

    assert (other.gate.reason, other.gate.until) == (Reason.RATE_LIMITED, after(70))


async def test_what_another_part_was_told_holds_for_all(database: Database) -> None:
    one, other = await both(database)
    one.owe_silence(40)
    await one.tick(after(1))
    await other.tick(after(2))
    assert (other.gate.reason, other.gate.until) == (Reason.RATE_LIMITED, after(41))


async def test_a_restart_remembers_a_delay(database: Database) -> None:
    await Member(database, "before").shut(Reason.RATE_LIMITED, NOON, retry_after=90)
    restarted = Member(database, "after")
    await restarted.tick(after(1))
    assert await restarted.room(after(1), 10) == 0


async def test_a_restart_tries_a_rejected_key_at_once(database: Database) -> None:
    await Member(database, "before").shut(Reason.KEY_REJECTED, NOON, None)
    restarted = Member(database, "after")
    await restarted.tick(after(1))
    assert await restarted.room(after(1), 10) == 1


async def test_a_new_key_is_tried_at_once(database: Database) -> None:
    one, _ = await both(database)
    await one.shut(Reason.KEY_REJECTED, NOON, None)
    one.take_new_key()
    await one.tick(after(1))
    assert await one.room(after(1), 10) == 1


async def test_without_an_api_key_of_its_own_it_rests_whatever_the_others_do(database: Database) -> None:
    keyless = Member(database, "keyless", Reason.NO_API_KEY)
    await keyless.tick(NOON)
    assert keyless.gate.reason is Reason.NO_API_KEY
    assert await database.store.recall(MEMORY) is None
