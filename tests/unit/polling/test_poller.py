"""The poller over a fake store and a fake HeyGen."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import ID, URL, after
from tests.fake_store import STORE_IS_DOWN, FakeStore
from tests.fakes import FakeClock, FakeFigures, FakeHeyGen
from tracker.domain.cadence import Cadence
from tracker.domain.status import Attention, Status
from tracker.errors import (
    AccountError,
    KeyRejectedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.polling.gate import Reason
from tracker.polling.pace import Pace
from tracker.polling.poller import TOLD_ONE_BY_ONE, Poller
from tracker.ports import PollerState
from tracker.tracking import Tracker

pytestmark = pytest.mark.anyio

IDS = [f"id-{number}" for number in range(20)]
CADENCE = Cadence()
REJECTED = KeyRejectedError("HTTP 401")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """A poller with everything around it."""

    store: FakeStore = field(default_factory=FakeStore)
    heygen: FakeHeyGen = field(default_factory=FakeHeyGen)
    clock: FakeClock = field(default_factory=FakeClock)
    figures: FakeFigures = field(default_factory=FakeFigures)
    concurrency: int = 3
    has_key: bool = True

    def __post_init__(self) -> None:
        self.poller = Poller(
            self.store,
            Tracker(self.store, CADENCE, self.figures),
            self.heygen if self.has_key else None,
            self.figures,
            self.clock,
            owner="tests",
            pace=Pace(self.concurrency, 15.0, 5.0, CADENCE),
        )

    def track(self, *video_translate_ids: str) -> "Stage":
        self.store.add(*video_translate_ids)
        return self

    async def run_once(self) -> dict[str, int]:
        return dict(await self.poller.run_once())

    async def begin(self) -> asyncio.Event:
        """Start polling what is due; HeyGen answers once the returned event is set."""
        self.heygen.gate, self.heygen.begun = asyncio.Event(), asyncio.Event()
        await self.poller.tick()
        await self.heygen.begun.wait()
        return self.heygen.gate


# What an answer does


async def test_what_is_due_is_polled_and_its_answer_stored() -> None:
    stage = Stage(heygen=FakeHeyGen(done=Status.SUCCESS)).track("done", "rendering")
    assert await stage.run_once() == {"success": 1, "running": 1}
    assert stage.store.row("done").status is Status.SUCCESS
    assert stage.store.row("rendering").status is Status.RUNNING
    assert stage.store.claims == {}
    assert stage.figures.polls == {"success": 1, "running": 1}


async def test_what_is_not_due_is_left_alone() -> None:
    stage = Stage().track(ID)
    stage.store.rows[1] = replace(stage.store.rows[1], next_poll_at=after(1))
    assert await stage.run_once() == {}
    stage.clock.advance(1)
    assert await stage.run_once() == {"running": 1}
    assert stage.heygen.asked == [ID]


async def test_the_time_of_an_answer_is_the_time_of_the_question() -> None:
    stage = Stage().track(ID)
    answer = await stage.begin()
    stage.clock.advance(10)
    answer.set()
    await stage.run_once()
    assert [record.observation and record.observation.observed_at for record in stage.store.records] == [
        after(0)
    ]


async def test_an_unknown_word_is_counted_as_such() -> None:
    stage = Stage().track(ID)
    stage.heygen.every = "upscaling"
    assert await stage.run_once() == {"unknown_word": 1}
    assert stage.store.row(ID).provider_status == "upscaling"


# Concurrency


async def test_never_more_polls_at_once_than_allowed_and_all_get_their_turn() -> None:
    stage = Stage(concurrency=3).track(*IDS)
    assert await stage.run_once() == {"running": len(IDS)}
    assert stage.heygen.most_in_flight == 3
    assert sorted(stage.heygen.asked) == sorted(IDS)


async def test_a_slow_answer_does_not_keep_the_others_waiting() -> None:
    stage = Stage(concurrency=2).track(*IDS)
    slow = stage.heygen.slow[IDS[0]] = asyncio.Event()
    polling = asyncio.create_task(stage.run_once())
    await stage.figures.until("running", times=len(IDS) - 1)
    assert stage.store.row(IDS[0]).status is Status.PENDING
    slow.set()
    assert await polling == {"running": len(IDS)}


async def test_two_pollers_never_poll_the_same() -> None:
    store = FakeStore()
    one = Stage(store=store).track(*IDS)
    two = Stage(store=store)
    await asyncio.gather(one.run_once(), two.run_once())
    assert sorted(one.heygen.asked + two.heygen.asked) == sorted(IDS)


# Trouble with one translation


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (NotFoundError("HTTP 404: not found"), "not_found", "not_found: HTTP 404: not found"),
        (TransientError("HTTP 502"), "unreachable", "unreachable: HTTP 502"),
        (ZeroDivisionError("poison"), "unreachable", "unreachable: unexpected: ZeroDivisionError"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
            "unreachable",
            "unreachable: unexpected: UnicodeDecodeError",
        ),
    ],
)
async def test_trouble_changes_no_status_and_pushes_the_due_time(
    error: Exception, kind: str, told: str
) -> None:
    stage = Stage().track(ID)
    stage.heygen.every = error
    with capture_logs():
        assert await stage.run_once() == {kind: 1}
        assert await stage.run_once() == {}
    row = stage.store.row(ID)
    assert (row.status, row.last_error, row.poll_failures) == (Status.PENDING, told, 1)
    assert row.next_poll_at is not None
    assert row.next_poll_at >= after(15)


async def test_a_poison_answer_keeps_nobody_else_from_being_polled() -> None:
    stage = Stage(heygen=FakeHeyGen(poison=RecursionError())).track("poison", *IDS)
    with capture_logs() as logs:
        assert await stage.run_once() == {"unreachable": 1, "running": len(IDS)}
    assert [line["id"] for line in logs if line["event"] == "poll failed"] == ["poison"]


async def test_not_found_is_flagged_after_some_polls_and_never_failed() -> None:
    stage = Stage().track(ID)
    stage.heygen.every = NotFoundError("HTTP 500: Video translate not found")
    for _ in range(4):
        await stage.run_once()
        stage.clock.advance(300)
    row = stage.store.row(ID)
    assert (row.status, row.attention) == (Status.PENDING, Attention.NOT_FOUND)
    stage.heygen.every = Status.RUNNING
    stage.clock.advance(600)
    await stage.run_once()
    assert (stage.store.row(ID).status, stage.store.row(ID).attention) == (Status.RUNNING, None)


@pytest.mark.parametrize("bad", ["a/b", "../../v3/webhooks", "a b", "é", "x" * 300, "a'b", "", "a\x00"])
async def test_an_id_that_is_none_is_never_asked_for(bad: str) -> None:
    stage = Stage().track(bad)
    assert await stage.run_once() == {"invalid_id": 1}
    assert stage.heygen.asked == []
    assert stage.store.rows[1].attention is Attention.INVALID_ID


# Trouble with the account


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (REJECTED, Reason.KEY_REJECTED),
        (RateLimitedError("HTTP 429"), Reason.RATE_LIMITED),
        (RateLimitedError("HTTP 429", quota=True), Reason.QUOTA_EXCEEDED),
    ],
)
async def test_trouble_with_the_account_shuts_the_gate_and_fails_nothing(
    error: Exception, reason: Reason
) -> None:
    stage = Stage().track(*IDS)
    stage.heygen.every = error
    with capture_logs() as logs:
        outcomes = await stage.run_once()
        assert await stage.run_once() == {}
    assert set(outcomes) == {reason}
    assert outcomes[reason] == len(stage.heygen.asked) <= stage.concurrency
    assert {(row.status, row.poll_failures, row.last_error) for row in stage.store.rows.values()} == {
        (Status.PENDING, 0, None)
    }
    assert stage.store.claims == {}
    assert [line["event"] for line in logs] == ["polling paused"]
    assert stage.poller.state == PollerState(after(0), reason, after(15))


async def test_one_probe_opens_it_again_and_everything_is_polled() -> None:
    stage = Stage().track(*IDS)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
    refused = len(stage.heygen.asked)
    stage.clock.advance(15)
    answer = await stage.begin()
    await stage.poller.tick()
    assert len(stage.heygen.asked) == refused + 1
    stage.heygen.every = Status.RUNNING
    answer.set()
    with capture_logs() as logs:
        await stage.run_once()
    assert {row.status for row in stage.store.rows.values()} == {Status.RUNNING}
    assert [(line["event"], line["after"]) for line in logs if line["log_level"] == "warning"] == [
        ("polling resumed", Reason.KEY_REJECTED)
    ]
    assert stage.poller.state.paused is None


async def test_a_probe_that_is_refused_keeps_it_shut_for_longer() -> None:
    stage = Stage().track(*IDS)
    stage.heygen.every = REJECTED
    with capture_logs() as logs:
        await stage.run_once()
        refused = len(stage.heygen.asked)
        stage.clock.advance(15)
        assert await stage.run_once() == {"key_rejected": 1}
        stage.clock.advance(29)
        assert await stage.run_once() == {}
    assert len(stage.heygen.asked) == refused + 1
    assert stage.poller.state.until == after(45)
    assert [line["event"] for line in logs] == ["polling paused"]


async def test_a_probe_that_learns_not_found_shows_that_the_account_works() -> None:
    stage = Stage().track(ID)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.every = NotFoundError("HTTP 404")
        assert await stage.run_once() == {"not_found": 1}
    assert stage.poller.state.paused is None


@pytest.mark.parametrize("trouble", [TransientError("HTTP 502"), ZeroDivisionError()])
async def test_a_probe_that_reaches_nobody_shows_nothing(trouble: Exception) -> None:
    stage = Stage().track(ID)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.every = trouble
        assert await stage.run_once() == {"unreachable": 1}
    assert stage.poller.state.paused is Reason.KEY_REJECTED


async def test_retry_after_is_obeyed_for_the_whole_account() -> None:
    stage = Stage(heygen=FakeHeyGen(first=RateLimitedError("HTTP 429", retry_after=90))).track("first")
    with capture_logs():
        await stage.run_once()
        stage.track(*IDS)
        stage.clock.advance(89)
        assert await stage.run_once() == {}
        stage.clock.advance(1)
        assert (await stage.run_once())["running"] == len(IDS)
    assert stage.heygen.asked_at[1] == after(90)


async def test_answers_to_questions_from_before_the_429_do_not_open_the_gate() -> None:
    stage = Stage(concurrency=2, heygen=FakeHeyGen(refused=RateLimitedError("HTTP 429", retry_after=90)))
    stage.track("refused", "slow", "waiting")
    slow = stage.heygen.slow["slow"] = asyncio.Event()
    with capture_logs():
        first = asyncio.create_task(stage.run_once())
        await stage.figures.until("rate_limited")
        slow.set()
        assert await first == {"rate_limited": 1, "running": 1}
        stage.clock.advance(89)
        assert await stage.run_once() == {}
    assert "waiting" not in stage.heygen.asked
    assert stage.poller.state.paused is Reason.RATE_LIMITED


async def test_without_a_key_nothing_is_asked() -> None:
    stage = Stage(has_key=False).track(ID)
    assert await stage.run_once() == {}
    assert (stage.poller.state.paused, stage.store.claims) == (Reason.NO_API_KEY, {})


# Trouble with the store


async def test_a_store_that_cannot_be_reached_is_told_and_later_works_again() -> None:
    stage = Stage().track(ID)
    stage.store.broken = STORE_IS_DOWN
    with pytest.raises(StoreError):
        await stage.poller.tick()
    assert stage.poller.state.last_tick is None
    stage.store.broken = None
    assert await stage.run_once() == {"running": 1}
    assert stage.poller.state.last_tick == after(0)


@pytest.mark.parametrize("trouble", [STORE_IS_DOWN, ZeroDivisionError("a bug")])
@pytest.mark.parametrize("answer", [Status.SUCCESS, REJECTED])
async def test_an_answer_that_cannot_be_stored_is_asked_for_again_once_its_claim_lapses(
    answer: Status | Exception, trouble: Exception
) -> None:
    stage = Stage().track(ID)
    stage.heygen.every = answer
    stage.heygen.before_answering = lambda _: setattr(stage.store, "broken", trouble)
    with capture_logs() as logs:
        (await stage.begin()).set()
        await stage.store.failed.wait()
    assert [line["event"] for line in logs if line["log_level"] == "error"][-1] == "poll not stored"
    assert stage.store.row(ID).status is Status.PENDING
    stage.store.broken = None
    stage.heygen.every, stage.heygen.before_answering = Status.SUCCESS, lambda _: None
    stage.clock.advance(Pace(stage.concurrency, 15.0, 5.0, CADENCE).lease.total_seconds() - 0.1)
    assert await stage.run_once() == {}
    stage.clock.advance(0.1)
    with capture_logs():
        assert await stage.run_once() == {"success": 1}


# Overdue


async def test_what_is_overdue_is_flagged_and_told() -> None:
    stage = Stage().track("a", "b")
    stage.clock.advance(CADENCE.overdue_after.total_seconds() + 1)
    with capture_logs() as logs:
        await stage.poller.flag_overdue()
    assert [(line["id"], line["attention"]) for line in logs] == [("a", "overdue"), ("b", "overdue")]


async def test_of_very_many_only_some_are_told_one_by_one() -> None:
    stage = Stage().track(*(f"id-{number}" for number in range(TOLD_ONE_BY_ONE + 1)))
    stage.clock.advance(CADENCE.overdue_after.total_seconds() + 1)
    with capture_logs() as logs:
        await stage.poller.flag_overdue()
    assert len(logs) == TOLD_ONE_BY_ONE + 1
    assert (logs[-1]["event"], logs[-1]["count"]) == ("more translations need attention", TOLD_ONE_BY_ONE + 1)


# The end


async def test_stop_waits_for_answers_that_come_in_time_and_stores_them() -> None:
    stage = Stage().track(ID)
    answer = await stage.begin()
    answer.set()
    await stage.poller.stop(patience=30)
    assert stage.store.row(ID).status is Status.RUNNING
    assert stage.store.released == []


async def test_stop_cancels_requests_that_take_longer_and_gives_their_claims_back() -> None:
    stage = Stage(concurrency=3).track("a", "b")
    await stage.begin()
    held = list(stage.store.claims.values())
    await stage.poller.stop(patience=0)
    assert [row.status for row in stage.store.rows.values()] == [Status.PENDING] * 2
    assert sorted(stage.store.released, key=str) == sorted(((claim, None) for claim in held), key=str)
    assert (stage.store.claims, stage.heygen.in_flight) == ({}, 0)


async def test_stop_cancels_requests_only_and_never_a_write() -> None:
    stage = Stage().track(ID)
    answer = await stage.begin()
    stage.store.hold, stage.store.waiting = asyncio.Event(), asyncio.Event()
    answer.set()
    await stage.store.waiting.wait()
    stopping = asyncio.create_task(stage.poller.stop(patience=0))
    await asyncio.wait([stopping], timeout=0.01)
    assert not stopping.done()
    stage.store.hold.set()
    await stopping
    assert stage.store.row(ID).status is Status.RUNNING


async def test_after_stop_nothing_is_claimed() -> None:
    stage = Stage().track(ID)
    await stage.poller.stop(patience=0)
    assert await stage.run_once() == {}
    assert (stage.store.claims, stage.heygen.asked) == ({}, [])


async def test_what_was_claimed_while_stopping_is_given_back() -> None:
    stage = Stage().track(ID)
    stage.store.hold = asyncio.Event()
    ticking = asyncio.create_task(stage.poller.tick())
    await stage.store.waiting.wait()
    await stage.poller.stop(patience=0)
    stage.store.hold.set()
    await ticking
    assert (stage.heygen.asked, stage.store.claims) == ([], {})
    assert [claim.video_translate_id for claim, _ in stage.store.released] == [ID]


def test_a_claim_outlives_its_request() -> None:
    assert Pace(10, 15.0, 0.1, CADENCE).lease > timedelta(seconds=15 + 10 / 0.1)


async def test_a_row_that_cannot_be_stored_is_put_off_and_does_not_come_again_at_once() -> None:
    stage = Stage().track(ID)
    stage.store.poison = TypeError("a row that nobody can read")
    with capture_logs():
        await stage.run_once()
    assert stage.store.row(ID).next_poll_at == stage.clock() + CADENCE.max_interval
    assert await stage.run_once() == {}


# Bulk questions


def in_bulk(*ids: str, **how: Any) -> Stage:
    """HeyGen answers about a hundred at once."""
    stage = Stage(**how).track(*ids)
    stage.heygen.batch_size = 100
    return stage


MANY = [f"id-{number:03}" for number in range(250)]


async def test_many_are_asked_about_in_few_questions() -> None:
    stage = in_bulk(*MANY)
    assert await stage.run_once() == {"running": 250}
    assert [len(asked) for asked in stage.heygen.asked_together] == [100, 100, 50]
    assert sorted(name for asked in stage.heygen.asked_together for name in asked) == MANY
    assert {row.status for row in stage.store.rows.values()} == {Status.RUNNING}
    assert stage.store.claims == {}
    assert stage.figures.polls == {"running": 250}


async def test_bulk_questions_are_bounded_like_any_other() -> None:
    stage = in_bulk(*MANY, concurrency=1)
    stage.heygen.batch_size = 10
    assert await stage.run_once() == {"running": 250}
    assert stage.heygen.most_in_flight == 1
    assert [len(asked) for asked in stage.heygen.asked_together] == [10] * 25


async def test_a_single_one_is_asked_about_with_its_urls() -> None:
    stage = in_bulk(ID)
    assert await stage.run_once() == {"running": 1}
    assert (stage.heygen.asked, stage.heygen.asked_together) == ([ID], [])
    [record] = stage.store.records
    assert record.observation is not None
    assert not record.observation.partial


async def test_an_end_told_in_bulk_is_asked_about_alone_at_once() -> None:
    stage = in_bulk("done", "rendering", heygen=FakeHeyGen(done=Status.SUCCESS))
    assert await stage.run_once() == {"success": 2, "running": 1}
    assert stage.heygen.asked_together == [["done", "rendering"]]
    assert stage.heygen.asked == ["done", "rendering", "done"]
    partial = [record.observation.partial for record in stage.store.records if record.observation]
    assert partial == [True, True, False]


async def test_what_is_due_soon_fills_a_question_only_of_the_ticking_daemon() -> None:
    stage = in_bulk("due", "soon", "later")
    for number, seconds in ((2, 7), (3, 8)):
        stage.store.rows[number] = replace(stage.store.rows[number], next_poll_at=after(seconds))
    assert await stage.run_once() == {"running": 1}
    await stage.poller.tick()
    assert stage.heygen.asked == ["due"]
    stage.store.rows[1] = replace(stage.store.rows[1], next_poll_at=after(0))
    await stage.poller.tick()
    await stage.poller.stop(patience=30)
    assert stage.heygen.asked_together == [["due", "soon"]]


async def test_invalid_ids_are_in_no_question_and_the_others_are_asked_about() -> None:
    stage = in_bulk("good-1", "../bad", "good-2", "")
    assert await stage.run_once() == {"running": 2, "invalid_id": 2}
    assert stage.heygen.asked_together == [["good-1", "good-2"]]
    assert [row.attention for row in stage.store.rows.values()] == [
        None,
        Attention.INVALID_ID,
        None,
        Attention.INVALID_ID,
    ]


async def test_nothing_is_asked_where_all_ids_are_invalid() -> None:
    stage = in_bulk("a/b", "c/d")
    assert await stage.run_once() == {"invalid_id": 2}
    assert (stage.heygen.asked, stage.heygen.asked_together) == ([], [])


async def test_what_a_bulk_answer_does_not_find_is_noted_on_it_alone() -> None:
    stage = in_bulk("lost", "found", heygen=FakeHeyGen(lost=NotFoundError("left out")))
    assert await stage.run_once() == {"not_found": 1, "running": 1}
    lost, found = stage.store.row("lost"), stage.store.row("found")
    assert (lost.status, lost.last_error, lost.attention) == (Status.PENDING, "not_found: left out", None)
    assert (found.status, found.last_error) == (Status.RUNNING, None)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (TransientError("HTTP 502"), "unreachable", "unreachable: HTTP 502"),
        (NotFoundError("HTTP 200: not found"), "not_found", "not_found: HTTP 200: not found"),
        (ZeroDivisionError("poison"), "unreachable", "unreachable: unexpected: ZeroDivisionError"),
    ],
)
async def test_a_bulk_question_that_fails_is_noted_on_each_and_none_is_asked_about_again_at_once(
    error: Exception, kind: str, told: str
) -> None:
    stage = in_bulk(*MANY[:40])
    stage.heygen.bulk_answer = error
    with capture_logs() as logs:
        assert await stage.run_once() == {kind: 40}
        assert await stage.run_once() == {}
    assert {(row.status, row.last_error, row.poll_failures) for row in stage.store.rows.values()} == {
        (Status.PENDING, told, 1)
    }
    assert stage.store.claims == {}
    learnt_nothing = [line for line in logs if line["event"] == "poll learnt nothing"]
    assert [(line["count"], line["problem"]) for line in learnt_nothing] == [(40, told)]


async def test_what_may_not_be_asked_in_bulk_is_given_back_as_it_was_and_asked_one_by_one() -> None:
    stage = in_bulk(*MANY[:30])
    stage.heygen.bulk_answer = RefusedError("HTTP 400")
    stage.heygen.before_refusing = lambda: setattr(stage.heygen, "batch_size", 1)
    assert await stage.run_once() == {"running": 30}
    assert len(stage.heygen.asked_together) == 1
    assert sorted(stage.heygen.asked) == MANY[:30]
    assert [due for _, due in stage.store.released] == [None] * 30
    assert {row.poll_failures for row in stage.store.rows.values()} == {0}
    assert stage.heygen.most_in_flight <= stage.concurrency


async def test_with_room_for_one_question_at_a_time_they_take_turns() -> None:
    stage = in_bulk(*MANY, concurrency=1)
    stage.heygen.batch_size = 50
    await stage.run_once()
    turns = [due.alone_first for due in stage.store.wanted]
    assert turns == [number % 2 == 0 for number in range(len(turns))]
    assert len(turns) >= 5


async def test_questions_keep_the_size_that_they_were_claimed_for() -> None:
    """Another answer may say meanwhile that they must be asked one by one."""
    stage = in_bulk(*MANY)
    stage.store.hold = asyncio.Event()
    ticking = asyncio.create_task(stage.poller.tick())
    await stage.store.waiting.wait()
    stage.heygen.batch_size = 1
    stage.store.hold.set()
    await ticking
    await stage.poller.stop(patience=30)
    assert [len(asked) for asked in stage.heygen.asked_together] == [100, 100, 50]
    assert stage.heygen.most_in_flight <= stage.concurrency


@pytest.mark.parametrize("error", [REJECTED, RateLimitedError("HTTP 429", retry_after=90)])
async def test_trouble_with_the_account_puts_every_one_of_a_bulk_question_off(error: Exception) -> None:
    stage = in_bulk(*MANY, concurrency=1)
    stage.heygen.bulk_answer = error
    with capture_logs() as logs:
        outcomes = await stage.run_once()
    until = stage.poller.state.until
    assert sum(outcomes.values()) == 1
    assert [line["event"] for line in logs] == ["polling paused"]
    assert [due for _, due in stage.store.released] == [until] * 100
    assert stage.store.claims == {}
    assert {(row.status, row.poll_failures) for row in stage.store.rows.values()} == {(Status.PENDING, 0)}


async def test_a_bulk_question_is_the_probe_that_opens_the_gate() -> None:
    stage = in_bulk(*MANY[:2])
    stage.heygen.bulk_answer = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.bulk_answer = None
        assert await stage.run_once() == {"running": 2}
    assert stage.poller.state.paused is None


async def test_stop_in_the_middle_of_a_bulk_question_gives_every_claim_back() -> None:
    stage = in_bulk(*MANY, concurrency=2)
    await stage.begin()
    assert len(stage.store.claims) == 200
    await stage.poller.stop(patience=0)
    assert (stage.store.claims, stage.heygen.in_flight, stage.store.records) == ({}, 0, [])
    assert [due for _, due in stage.store.released] == [None] * 200


async def test_a_bulk_answer_that_cannot_be_stored_puts_every_one_off() -> None:
    stage = in_bulk(*MANY[:3])
    stage.store.poison = TypeError("a row that nobody can read")
    with capture_logs() as logs:
        await stage.run_once()
    assert [line["count"] for line in logs if line["event"] == "poll not stored"] == [3]
    assert {row.next_poll_at for row in stage.store.rows.values()} == {stage.clock() + CADENCE.max_interval}


# Whether the key is of the right account


async def test_that_heygen_knows_nothing_is_told_once_and_that_it_does_again_too() -> None:
    stage = in_bulk(*MANY[:50])
    stage.heygen.every = NotFoundError("HTTP 404")
    told = []
    for every in (stage.heygen.every, stage.heygen.every, Status.RUNNING, Status.RUNNING):
        stage.heygen.every = every
        with capture_logs() as logs:
            await stage.run_once()
        stage.clock.advance(900)
        told.append([line["event"] for line in logs if line["log_level"] in ("error", "warning")])
        told[-1] += [str(stage.poller.state.knows_translations)]
    raised = [one for one in told[1] if one != "translation needs attention"]
    assert told[0] == ["HeyGen knows none of the translations", "False"]
    assert raised == ["False"]
    assert told[2:] == [["HeyGen knows translations again", "True"], ["True"]]


async def test_lost_ones_among_known_ones_raise_no_doubt() -> None:
    lost = {name: NotFoundError("left out") for name in MANY[:20]}
    stage = in_bulk(*MANY[:30], heygen=FakeHeyGen(**lost))
    with capture_logs() as logs:
        assert await stage.run_once() == {"not_found": 20, "running": 10}
    assert {line["event"] for line in logs} == {"status changed", "poll learnt nothing"}
    assert stage.poller.state.knows_translations


# Out of turn


def ended(stage: Stage, name: str = "done") -> Stage:
    """With a translation that has ended, and is due no more."""
    stage.track(name)
    row = stage.store.row(name)
    over = replace(row, status=Status.SUCCESS, finished_at=after(), next_poll_at=None)
    stage.store.rows[row.id] = replace(over, details=replace(row.details, url=URL))
    return stage


async def test_an_ended_translation_is_asked_about_though_it_is_not_due() -> None:
    stage = ended(Stage(heygen=FakeHeyGen(done=Status.SUCCESS)))
    seen = await stage.poller.ask(1, 0)
    assert seen is not None
    assert (seen.video_translate_id, seen.status) == ("done", Status.SUCCESS)
    assert (stage.store.row("done").poll_count, stage.store.row("done").next_poll_at) == (1, None)
    assert (stage.store.claims, stage.figures.polls) == ({}, {"success": 1})


async def test_nobody_asks_where_somebody_else_does_or_has_done_so() -> None:
    stage = ended(Stage(concurrency=4))
    stage.heygen.gate = asyncio.Event()
    first = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    assert await stage.poller.ask(1, 0) is None
    stage.heygen.gate.set()
    await first
    assert await stage.poller.ask(1, 0) is None
    assert stage.heygen.asked == ["done"]


async def test_an_account_that_rests_is_not_asked() -> None:
    stage = ended(Stage(heygen=FakeHeyGen(done=RateLimitedError("HTTP 429", retry_after=60.0))))
    with pytest.raises(RateLimitedError):
        await stage.poller.ask(1, 0)
    with pytest.raises(
        AccountError, match="not asked until 12:01:00 UTC, for this account rests: rate_limited"
    ):
        await stage.poller.ask(1, 0)
    assert stage.heygen.asked == ["done"]
    assert (stage.store.claims, stage.store.row("done").next_poll_at) == ({}, None)

    stage.clock.advance(61)  # then such a question may be the probe
    stage.heygen.answers.clear()
    assert await stage.poller.ask(1, 0) is not None
    assert stage.poller.state.paused is None


async def test_without_a_key_the_text_names_the_setting() -> None:
    stage = ended(Stage(has_key=False))
    with pytest.raises(AccountError, match="without TRACKER_HEYGEN_API_KEY"):
        await stage.poller.ask(1, 0)


async def test_a_poller_that_stops_asks_nothing_more_and_cuts_a_question_short() -> None:
    stage = ended(Stage())
    stage.heygen.gate = asyncio.Event()
    asking = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    await stage.poller.stop(patience=0.0)
    with pytest.raises(TransientError, match="cut short"):
        await asking
    with pytest.raises(TransientError, match="being stopped"):
        await stage.poller.ask(1, 0)
    assert (stage.heygen.asked, stage.store.claims) == (["done"], {})


async def test_an_answer_that_cannot_be_stored_is_an_error_and_makes_nothing_due() -> None:
    stage = ended(Stage())
    stage.store.poison = STORE_IS_DOWN
    with pytest.raises(StoreError):
        await stage.poller.ask(1, 0)
    stage.store.claims.clear()
    stage.store.poison = ValueError("a bug")
    with pytest.raises(TransientError, match="cut short"):
        await stage.poller.ask(1, 0)
    assert stage.store.row("done").next_poll_at is None


async def test_whoever_goes_away_cancels_nothing() -> None:
    stage = ended(Stage(heygen=FakeHeyGen(done=Status.SUCCESS)))
    stage.heygen.gate = asyncio.Event()
    asking = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    asking.cancel()
    stage.heygen.gate.set()
    await stage.figures.until("success")
    assert stage.store.row("done").poll_count == 1


async def test_a_crowd_that_asks_for_links_takes_no_place_of_a_poll() -> None:
    stage = Stage(concurrency=4)
    for number in range(9):
        ended(stage, f"done-{number}")
    stage.track(*IDS[:3])
    stage.heygen.gate = asyncio.Event()
    crowd = [asyncio.create_task(stage.poller.ask(number, 0)) for number in range(1, 10)]
    await stage.heygen.begun.wait()

    await stage.poller.tick()
    for _ in range(100):
        await asyncio.sleep(0)

    assert sorted(stage.heygen.asked) == ["done-0", "done-1", *IDS[:3]]
    assert len(stage.store.claims) == 5  # whoever waits holds no claim that could lapse
    stage.heygen.gate.set()
    assert all(await asyncio.gather(*crowd))
    assert {stage.store.row(f"done-{number}").poll_count for number in range(9)} == {1}


# Renewals


async def test_the_links_that_are_due_first_are_renewed_first_and_none_before_its_time() -> None:
    stage = Stage(heygen=FakeHeyGen(a=Status.SUCCESS, b=Status.SUCCESS, c=Status.SUCCESS))
    for name, hours in (("a", 2), ("b", 1), ("c", 3)):
        ended(stage, name)
        row = stage.store.row(name)
        stage.store.rows[row.id] = replace(
            row, url_expires_at=after(hours=hours), renew_links_at=after(hours=hours)
        )
    assert await stage.poller.renew() is None
    stage.clock.now = after(hours=2)
    names = [seen.video_translate_id for _ in range(2) if (seen := await stage.poller.renew())]
    assert names == ["b", "a"]
    assert await stage.poller.renew() is None
    assert {row.next_poll_at for row in stage.store.rows.values()} == {None}


async def test_a_renewal_leaves_a_place_to_polls() -> None:
    """Of three places, one poll leaves one to a renewal and one to the next poll; two polls do not."""
    for polls, renewed in ((0, True), (1, True), (2, False), (3, False)):
        stage = ended(Stage())
        row = stage.store.row("done")
        stage.store.rows[row.id] = replace(row, url_expires_at=after(), renew_links_at=after())
        stage.track(*IDS[:polls])
        for name in IDS:
            stage.heygen.slow[name] = asyncio.Event()
        await stage.poller.tick()
        assert (await stage.poller.renew() is not None) == renewed
        for event in stage.heygen.slow.values():
            event.set()
        await stage.poller.stop(patience=5.0)


async def test_no_renewal_is_begun_while_the_account_rests_or_the_poller_stops() -> None:
    stage = ended(Stage())
    row = stage.store.row("done")
    stage.store.rows[row.id] = replace(row, url_expires_at=after(), renew_links_at=after())
    stage.poller.gate.shut(Reason.RATE_LIMITED, stage.clock.now, 60.0)
    assert await stage.poller.renew() is None
    stage.clock.advance(3600)  # the probe is for polls and for people
    assert await stage.poller.renew() is None
    stage.poller.gate.open(stage.clock.now)
    await stage.poller.stop(patience=0.0)
    assert await stage.poller.renew() is None
    assert stage.heygen.asked == []
