"""The poller over a real store and a fake HeyGen."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import ID, URL, after
from tests.contract.openers import DISK_ERROR, Database
from tests.contract.records import shown
from tests.fakes import FakeFigures, FakeHeyGen
from tracker.domain.limits import PollLimits
from tracker.domain.schedule import Schedule
from tracker.domain.status import Status
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
from tracker.polling.poller import LOGGED_SINGLY, Poller
from tracker.tracking.recorder import Recorder

pytestmark = pytest.mark.anyio

IDS = [f"id-{number}" for number in range(20)]
CADENCE = Schedule()
DEADLINE = 10.0
REJECTED = KeyRejectedError("HTTP 401")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """A poller with everything around it."""

    database: Database
    heygen: FakeHeyGen = field(default_factory=FakeHeyGen)
    figures: FakeFigures = field(default_factory=FakeFigures)
    concurrency: int = 3
    has_key: bool = True

    def __post_init__(self) -> None:
        store, self.clock = self.database.store, self.database.clock
        self.tracker = Recorder(store, CADENCE, self.figures)
        self.poller = Poller(
            store,
            self.tracker,
            self.tracker.facts,
            self.heygen if self.has_key else None,
            self.figures,
            self.clock,
            owner="tests",
            limits=PollLimits(self.concurrency, 15.0, 5.0, CADENCE),
        )

    def track(self, *video_translate_ids: str) -> "Stage":
        if video_translate_ids:
            self.database.track(*video_translate_ids)
        return self

    def break_rules(self) -> None:
        """No answer can be judged, as a bug would have it: the plan that the rules look at is none."""
        self.tracker.facts.plan = object()  # type: ignore[assignment]

    async def finish(self) -> None:
        """Wait until every question is answered, and the answer stored or given up."""
        polls = [task for task in asyncio.all_tasks() if task.get_name().startswith("poll ")]
        await asyncio.wait(polls, timeout=DEADLINE)

    async def run_once(self) -> dict[str, int]:
        return dict(await self.poller.run_once())

    async def begin(self) -> asyncio.Event:
        """Start polling what is due; HeyGen answers once the returned event is set."""
        self.heygen.gate, self.heygen.begun = asyncio.Event(), asyncio.Event()
        await self.poller.tick()
        await self.heygen.begun.wait()
        return self.heygen.gate


# What an answer does


async def test_what_is_due_is_polled_and_its_answer_stored(database: Database) -> None:
    stage = Stage(database, heygen=FakeHeyGen(done=Status.SUCCESS)).track("done", "rendering")
    assert await stage.run_once() == {"success": 1, "running": 1}
    assert database.row("done")["status"] == "success"
    assert database.row("rendering")["status"] == "running"
    assert database.claimed() == []
    assert stage.figures.polls == {"success": 1, "running": 1}


async def test_what_is_not_due_is_left_alone(database: Database) -> None:
    stage = Stage(database).track(ID)
    database.change(ID, next_poll_at=after(1))
    assert await stage.run_once() == {}
    stage.clock.advance(1)
    assert await stage.run_once() == {"running": 1}
    assert stage.heygen.asked == [ID]


async def test_the_time_of_an_answer_is_the_time_of_the_question(database: Database) -> None:
    stage = Stage(database).track(ID)
    answer = await stage.begin()
    stage.clock.advance(10)
    answer.set()
    await stage.run_once()
    assert database.row(ID)["last_polled_at"] == after(0)


async def test_an_unknown_word_is_counted_as_such(database: Database) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = "upscaling"
    assert await stage.run_once() == {"unknown_word": 1}
    assert database.row(ID)["provider_status"] == "upscaling"


# Concurrency


async def test_never_more_polls_at_once_than_allowed_and_all_get_their_turn(database: Database) -> None:
    stage = Stage(database, concurrency=3).track(*IDS)
    assert await stage.run_once() == {"running": len(IDS)}
    assert stage.heygen.most_in_flight == 3
    assert sorted(stage.heygen.asked) == sorted(IDS)


async def test_a_slow_answer_does_not_keep_the_others_waiting(database: Database) -> None:
    stage = Stage(database, concurrency=2).track(*IDS)
    slow = stage.heygen.slow[IDS[0]] = asyncio.Event()
    polling = asyncio.create_task(stage.run_once())
    await stage.figures.until("running", times=len(IDS) - 1)
    assert database.row(IDS[0])["status"] == "pending"
    slow.set()
    assert await polling == {"running": len(IDS)}


async def test_two_pollers_never_poll_the_same(database: Database) -> None:
    one, two = Stage(database).track(*IDS), Stage(database)
    await asyncio.gather(one.run_once(), two.run_once())
    assert sorted(one.heygen.asked + two.heygen.asked) == sorted(IDS)


# Trouble with one translation


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (NotFoundError("HTTP 404: not found"), "not_found", "not_found: HTTP 404: not found"),
        (TransientError("HTTP 502"), "unreachable", "unreachable: HTTP 502"),
        (ZeroDivisionError("poison"), "unreachable", "unreachable: unexpected: ZeroDivisionError"),
    ],
)
async def test_trouble_changes_no_status_and_pushes_the_due_time(
    error: Exception, kind: str, told: str, database: Database
) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = error
    with capture_logs():
        assert await stage.run_once() == {kind: 1}
        assert await stage.run_once() == {}
    row = database.row(ID)
    assert (row["status"], row["last_error"], row["poll_failures"]) == ("pending", told, 1)
    assert row["next_poll_at"] >= after(15)


async def test_a_poison_answer_keeps_nobody_else_from_being_polled(database: Database) -> None:
    stage = Stage(database, heygen=FakeHeyGen(poison=RecursionError())).track("poison", *IDS)
    with capture_logs() as logs:
        assert await stage.run_once() == {"unreachable": 1, "running": len(IDS)}
    assert [line["id"] for line in logs if line["event"] == "poll failed"] == ["poison"]


async def test_not_found_is_flagged_after_some_polls_and_never_failed(database: Database) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = NotFoundError("HTTP 500: Video translate not found")
    for _ in range(4):
        await stage.run_once()
        stage.clock.advance(300)
    assert shown(database.rows(), "status", "attention") == [("pending", "not_found")]
    stage.heygen.every = Status.RUNNING
    stage.clock.advance(600)
    await stage.run_once()
    assert shown(database.rows(), "status", "attention") == [("running", None)]


async def test_invalid_ids_are_not_requested(database: Database) -> None:
    bad = ("a/b", "../../v3/webhooks", "a b", "é", "x" * 300, "a'b", "", "a\x00")
    stage = Stage(database).track(*bad)
    assert await stage.run_once() == {"invalid_id": len(bad)}
    assert stage.heygen.asked == []
    assert shown(database.rows(), "attention") == [("invalid_id",)] * len(bad)


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
    error: Exception, reason: Reason, database: Database
) -> None:
    stage = Stage(database).track(*IDS)
    stage.heygen.every = error
    with capture_logs() as logs:
        outcomes = await stage.run_once()
        assert await stage.run_once() == {}
    assert set(outcomes) == {reason}
    assert outcomes[reason] == len(stage.heygen.asked) <= stage.concurrency
    assert set(shown(database.rows(), "status", "poll_failures", "last_error")) == {("pending", 0, None)}
    assert database.claimed() == []
    assert [line["event"] for line in logs] == ["polling paused"]
    assert (stage.poller.last_tick, stage.poller.gate.reason, stage.poller.gate.until) == (
        after(0),
        reason,
        after(15),
    )


async def test_one_probe_opens_it_again_and_everything_is_polled(database: Database) -> None:
    stage = Stage(database).track(*IDS)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
    refused = len(stage.heygen.asked)
    stage.clock.advance(15)
    answer = await stage.begin()
    await stage.poller.tick()
    assert len(stage.heygen.asked) == refused + 1
    stage.heygen.every = Status.RUNNING
    with capture_logs() as logs:
        answer.set()
        await stage.finish()
        await stage.run_once()
    assert set(shown(database.rows(), "status")) == {("running",)}
    assert [(line["event"], line["after"]) for line in logs if line["log_level"] == "warning"] == [
        ("polling resumed", Reason.KEY_REJECTED)
    ]
    assert stage.poller.gate.reason is None


async def test_a_probe_that_is_refused_keeps_it_shut_for_longer(database: Database) -> None:
    stage = Stage(database).track(*IDS)
    stage.heygen.every = REJECTED
    with capture_logs() as logs:
        await stage.run_once()
        refused = len(stage.heygen.asked)
        stage.clock.advance(15)
        assert await stage.run_once() == {"key_rejected": 1}
        stage.clock.advance(29)
        assert await stage.run_once() == {}
    assert len(stage.heygen.asked) == refused + 1
    assert stage.poller.gate.until == after(45)
    assert [line["event"] for line in logs] == ["polling paused"]


async def test_a_probe_that_learns_not_found_shows_that_the_account_works(database: Database) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.every = NotFoundError("HTTP 404")
        assert await stage.run_once() == {"not_found": 1}
    assert stage.poller.gate.reason is None


@pytest.mark.parametrize("trouble", [TransientError("HTTP 502"), ZeroDivisionError()])
async def test_a_probe_that_reaches_nobody_shows_nothing(trouble: Exception, database: Database) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.every = trouble
        assert await stage.run_once() == {"unreachable": 1}
    assert stage.poller.gate.reason is Reason.KEY_REJECTED


async def test_retry_after_is_obeyed_for_the_whole_account(database: Database) -> None:
    stage = Stage(database, heygen=FakeHeyGen(first=RateLimitedError("HTTP 429", retry_after=90))).track(
        "first"
    )
    with capture_logs():
        await stage.run_once()
        stage.track(*IDS)
        stage.clock.advance(89)
        assert await stage.run_once() == {}
        stage.clock.advance(1)
        assert (await stage.run_once())["running"] == len(IDS)
    assert stage.heygen.asked_at[1] == after(90)


async def test_answers_to_questions_from_before_the_429_do_not_open_the_gate(database: Database) -> None:
    stage = Stage(
        database, concurrency=2, heygen=FakeHeyGen(refused=RateLimitedError("HTTP 429", retry_after=90))
    )
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
    assert stage.poller.gate.reason is Reason.RATE_LIMITED


async def test_without_a_key_nothing_is_asked(database: Database) -> None:
    stage = Stage(database, has_key=False).track(ID)
    assert await stage.run_once() == {}
    assert (stage.poller.gate.reason, database.claimed()) == (Reason.NO_API_KEY, [])


# Trouble with the store


async def test_a_store_that_cannot_be_reached_is_told_and_later_works_again(database: Database) -> None:
    stage = Stage(database).track(ID)
    with database.faults.failing(), pytest.raises(StoreError):
        await stage.poller.tick()
    assert stage.poller.last_tick is None
    assert await stage.run_once() == {"running": 1}
    assert stage.poller.last_tick == after(0)


@pytest.mark.parametrize("trouble", [DISK_ERROR, ZeroDivisionError("a bug")])
@pytest.mark.parametrize("answer", [Status.SUCCESS, REJECTED])
async def test_an_answer_that_cannot_be_stored_is_asked_for_again_once_its_claim_lapses(
    answer: Status | Exception, trouble: Exception, database: Database
) -> None:
    stage = Stage(database).track(ID)
    stage.heygen.every = answer
    question = await stage.begin()
    with capture_logs() as logs, database.faults.failing(trouble):
        question.set()
        await stage.finish()
    assert [line["event"] for line in logs if line["log_level"] == "error"][-1] == "poll not stored"
    assert database.row(ID)["status"] == "pending"
    stage.heygen.every = Status.SUCCESS
    stage.clock.advance(PollLimits(stage.concurrency, 15.0, 5.0, CADENCE).lease.total_seconds() - 0.1)
    assert await stage.run_once() == {}
    stage.clock.advance(0.1)
    with capture_logs():
        assert await stage.run_once() == {"success": 1}


# Overdue


async def test_what_is_overdue_is_flagged_and_told(database: Database) -> None:
    stage = Stage(database).track("a", "b")
    stage.clock.advance(CADENCE.overdue_after.total_seconds() + 1)
    with capture_logs() as logs:
        await stage.poller.flag_overdue()
    assert [(line["id"], line["attention"]) for line in logs] == [("a", "overdue"), ("b", "overdue")]


async def test_of_very_many_only_some_are_told_one_by_one(database: Database) -> None:
    stage = Stage(database).track(*(f"id-{number}" for number in range(LOGGED_SINGLY + 1)))
    stage.clock.advance(CADENCE.overdue_after.total_seconds() + 1)
    with capture_logs() as logs:
        await stage.poller.flag_overdue()
    assert len(logs) == LOGGED_SINGLY + 1
    assert (logs[-1]["event"], logs[-1]["count"]) == ("more translations need attention", LOGGED_SINGLY + 1)


# The end


async def test_stop_waits_for_answers_that_come_in_time_and_stores_them(database: Database) -> None:
    stage = Stage(database).track(ID)
    answer = await stage.begin()
    answer.set()
    await stage.poller.stop(patience=30)
    assert database.row(ID)["status"] == "running"
    assert database.row(ID)["poll_count"] == 1


async def test_stop_cancels_requests_that_take_longer_and_gives_their_claims_back(database: Database) -> None:
    stage = Stage(database, concurrency=3).track("a", "b")
    await stage.begin()
    assert database.claimed() == ["a", "b"]
    await stage.poller.stop(patience=0)
    assert shown(database.rows(), "status", "next_poll_at", "claimed_by") == [("pending", after(0), None)] * 2
    assert stage.heygen.in_flight == 0


async def test_stop_cancels_requests_only_and_never_a_write(database: Database) -> None:
    stage = Stage(database).track(ID)
    answer = await stage.begin()
    async with asyncio.timeout(DEADLINE):
        with database.faults.stalled() as waits:
            answer.set()
            await waits.wait()
            stopping = asyncio.create_task(stage.poller.stop(patience=0))
            await asyncio.wait([stopping], timeout=0.01)
            assert not stopping.done()
        await stopping
    assert database.row(ID)["status"] == "running"


async def test_after_stop_nothing_is_claimed(database: Database) -> None:
    stage = Stage(database).track(ID)
    await stage.poller.stop(patience=0)
    assert await stage.run_once() == {}
    assert (database.claimed(), stage.heygen.asked) == ([], [])


async def test_what_was_claimed_while_stopping_is_given_back(database: Database) -> None:
    stage = Stage(database)
    await stage.poller.tick()  # it has met the other trackers: the next write is the claim
    stage.track(ID)
    async with asyncio.timeout(DEADLINE):
        with database.faults.stalled() as waits:
            ticking = asyncio.create_task(stage.poller.tick())
            await waits.wait()
            await stage.poller.stop(patience=0)
        await ticking
    assert stage.heygen.asked == []
    assert shown(database.rows(), "next_poll_at", "claimed_by", "poll_count") == [(after(0), None, 0)]


def test_a_claim_outlives_its_request() -> None:
    assert PollLimits(10, 15.0, 0.1, CADENCE).lease > timedelta(seconds=15 + 10 / 0.1)


async def test_a_row_that_cannot_be_stored_is_put_off(
    database: Database,
) -> None:
    stage = Stage(database).track(ID)
    stage.break_rules()
    with capture_logs():
        await stage.run_once()
    assert database.row(ID)["next_poll_at"] == stage.clock() + CADENCE.max_interval
    assert await stage.run_once() == {}


# Bulk questions


def is_done(video_translate_id: str) -> bool:
    return video_translate_id.startswith("done")


def in_bulk(database: Database, *ids: str, **how: Any) -> Stage:
    """HeyGen answers about a hundred at once."""
    stage = Stage(database, **how).track(*ids)
    stage.heygen.batch_size = 100
    return stage


MANY = [f"id-{number:03}" for number in range(250)]


async def test_many_are_asked_about_in_few_questions(database: Database) -> None:
    stage = in_bulk(database, *MANY)
    assert await stage.run_once() == {"running": 250}
    assert [len(asked) for asked in stage.heygen.asked_together] == [100, 100, 50]
    assert sorted(name for asked in stage.heygen.asked_together for name in asked) == MANY
    assert set(shown(database.rows(), "status")) == {("running",)}
    assert database.claimed() == []
    assert stage.figures.polls == {"running": 250}


async def test_bulk_questions_are_bounded_like_any_other(database: Database) -> None:
    stage = in_bulk(database, *MANY, concurrency=1)
    stage.heygen.batch_size = 10
    assert await stage.run_once() == {"running": 250}
    assert stage.heygen.most_in_flight == 1
    assert [len(asked) for asked in stage.heygen.asked_together] == [10] * 25


async def test_a_single_one_is_asked_about_with_its_urls(database: Database) -> None:
    stage = in_bulk(database, ID)
    assert await stage.run_once() == {"running": 1}
    assert (stage.heygen.asked, stage.heygen.asked_together) == ([ID], [])


async def test_an_end_told_in_bulk_is_asked_about_alone_at_once(database: Database) -> None:
    stage = in_bulk(database, "done", "rendering", heygen=FakeHeyGen(done=Status.SUCCESS))
    assert await stage.run_once() == {"success": 2, "running": 1}
    assert stage.heygen.asked_together == [["done", "rendering"]]
    assert stage.heygen.asked == ["done", "rendering", "done"]
    assert database.row("done")["poll_count"] == 2


async def test_what_is_due_soon_fills_a_question_only_of_the_ticking_daemon(database: Database) -> None:
    stage = in_bulk(database, "due", "soon", "later")
    database.change("soon", next_poll_at=after(7))
    database.change("later", next_poll_at=after(8))
    assert await stage.run_once() == {"running": 1}
    await stage.poller.tick()
    assert stage.heygen.asked == ["due"]
    database.change("due", next_poll_at=after(0))
    await stage.poller.tick()
    await stage.poller.stop(patience=30)
    assert stage.heygen.asked_together == [["due", "soon"]]


async def test_invalid_ids_are_in_no_question_and_the_others_are_asked_about(database: Database) -> None:
    stage = in_bulk(database, "good-1", "../bad", "good-2", "")
    assert await stage.run_once() == {"running": 2, "invalid_id": 2}
    assert stage.heygen.asked_together == [["good-1", "good-2"]]
    assert shown(database.rows(), "attention") == [(None,), ("invalid_id",)] * 2


async def test_nothing_is_asked_where_all_ids_are_invalid(database: Database) -> None:
    stage = in_bulk(database, "a/b", "c/d")
    assert await stage.run_once() == {"invalid_id": 2}
    assert (stage.heygen.asked, stage.heygen.asked_together) == ([], [])


async def test_what_a_bulk_answer_does_not_find_is_noted_on_it_alone(database: Database) -> None:
    stage = in_bulk(database, "lost", "found", heygen=FakeHeyGen(lost=NotFoundError("left out")))
    assert await stage.run_once() == {"not_found": 1, "running": 1}
    assert shown(database.rows(), "video_translate_id", "status", "last_error", "attention") == [
        ("lost", "pending", "not_found: left out", None),
        ("found", "running", None, None),
    ]


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (TransientError("HTTP 502"), "unreachable", "unreachable: HTTP 502"),
        (NotFoundError("HTTP 200: not found"), "not_found", "not_found: HTTP 200: not found"),
        (ZeroDivisionError("poison"), "unreachable", "unreachable: unexpected: ZeroDivisionError"),
    ],
)
async def test_a_bulk_question_that_fails_is_noted_on_each_and_none_is_asked_about_again_at_once(
    error: Exception, kind: str, told: str, database: Database
) -> None:
    stage = in_bulk(database, *MANY[:40])
    stage.heygen.bulk_answer = error
    with capture_logs() as logs:
        assert await stage.run_once() == {kind: 40}
        assert await stage.run_once() == {}
    assert set(shown(database.rows(), "status", "last_error", "poll_failures")) == {("pending", told, 1)}
    assert database.claimed() == []
    without_status = [line for line in logs if line["event"] == "poll returned no status"]
    assert [(line["count"], line["problem"]) for line in without_status] == [(40, told)]


async def test_a_refused_bulk_question_is_asked_one_by_one(
    database: Database,
) -> None:
    stage = in_bulk(database, *MANY[:30])
    stage.heygen.bulk_answer = RefusedError("HTTP 400")
    stage.heygen.before_refusing = lambda: setattr(stage.heygen, "batch_size", 1)
    assert await stage.run_once() == {"running": 30}
    assert len(stage.heygen.asked_together) == 1
    assert sorted(stage.heygen.asked) == MANY[:30]
    assert set(shown(database.rows(), "poll_failures", "poll_count")) == {(0, 1)}
    assert stage.heygen.most_in_flight <= stage.concurrency


async def test_with_room_for_one_question_at_a_time_they_take_turns(database: Database) -> None:
    stage = in_bulk(database, *MANY, concurrency=1)
    stage.heygen.batch_size = 50
    for name in (f"done-{number}" for number in range(3)):
        ended(stage, name, next_poll_at=after(-120))
        stage.heygen.answers[name] = Status.SUCCESS
    await stage.run_once()
    turns = [(alone, len(list(asked))) for alone, asked in groupby(stage.heygen.asked, key=is_done)]
    assert turns == [(True, 1), (False, 50)] * 2 + [(True, 1), (False, 150)]


async def test_questions_keep_the_size_that_they_were_claimed_for(database: Database) -> None:
    """Another answer may say meanwhile that they must be asked one by one."""
    stage = in_bulk(database)
    await stage.poller.tick()  # it has met the other trackers: the next write is the claim
    stage.track(*MANY)
    async with asyncio.timeout(DEADLINE):
        with database.faults.stalled() as waits:
            ticking = asyncio.create_task(stage.poller.tick())
            await waits.wait()
            stage.heygen.batch_size = 1
        await ticking
    await stage.poller.stop(patience=30)
    assert [len(asked) for asked in stage.heygen.asked_together] == [100, 100, 50]
    assert stage.heygen.most_in_flight <= stage.concurrency


@pytest.mark.parametrize("error", [REJECTED, RateLimitedError("HTTP 429", retry_after=90)])
async def test_trouble_with_the_account_puts_every_one_of_a_bulk_question_off(
    error: Exception, database: Database
) -> None:
    stage = in_bulk(database, *MANY, concurrency=1)
    stage.heygen.bulk_answer = error
    with capture_logs() as logs:
        outcomes = await stage.run_once()
    until = stage.poller.gate.until
    assert sum(outcomes.values()) == 1
    assert [line["event"] for line in logs] == ["polling paused"]
    dues = Counter(row["next_poll_at"] for row in database.rows())
    assert dues == {until: 100, after(0): 150}
    assert set(shown(database.rows(), "status", "poll_failures", "claimed_by")) == {("pending", 0, None)}


async def test_a_bulk_question_is_the_probe_that_opens_the_gate(database: Database) -> None:
    stage = in_bulk(database, *MANY[:2])
    stage.heygen.bulk_answer = REJECTED
    with capture_logs():
        await stage.run_once()
        stage.clock.advance(15)
        stage.heygen.bulk_answer = None
        assert await stage.run_once() == {"running": 2}
    assert stage.poller.gate.reason is None


async def test_stop_in_the_middle_of_a_bulk_question_gives_every_claim_back(database: Database) -> None:
    stage = in_bulk(database, *MANY, concurrency=2)
    stage.heygen.gate = asyncio.Event()
    ticking = asyncio.create_task(stage.poller.tick())
    await stage.heygen.until_asked(2)
    assert len(database.claimed()) == 200
    await stage.poller.stop(patience=0)
    await ticking
    assert stage.heygen.in_flight == 0
    columns = ("status", "next_poll_at", "claimed_by", "poll_count")
    assert set(shown(database.rows(), *columns)) == {("pending", after(0), None, 0)}


async def test_a_bulk_answer_that_cannot_be_stored_puts_every_one_off(database: Database) -> None:
    stage = in_bulk(database, *MANY[:3])
    stage.break_rules()
    with capture_logs() as logs:
        await stage.run_once()
    assert [line["count"] for line in logs if line["event"] == "poll not stored"] == [3]
    assert set(shown(database.rows(), "next_poll_at")) == {(stage.clock() + CADENCE.max_interval,)}


# Whether the key is of the right account


async def test_that_heygen_knows_nothing_is_told_once_and_that_it_does_again_too(database: Database) -> None:
    stage = in_bulk(database, *MANY[:50])
    stage.heygen.every = NotFoundError("HTTP 404")
    told = []
    for every in (stage.heygen.every, stage.heygen.every, Status.RUNNING, Status.RUNNING):
        stage.heygen.every = every
        with capture_logs() as logs:
            await stage.run_once()
        stage.clock.advance(900)
        told.append([line["event"] for line in logs if line["log_level"] in ("error", "warning")])
        told[-1] += [str(not stage.tracker.facts.is_doubted)]
    raised = [one for one in told[1] if one != "translation needs attention"]
    assert told[0] == ["HeyGen knows none of the translations", "False"]
    assert raised == ["False"]
    assert told[2:] == [["HeyGen knows translations again", "True"], ["True"]]


async def test_lost_ones_among_known_ones_raise_no_doubt(database: Database) -> None:
    lost = {name: NotFoundError("left out") for name in MANY[:20]}
    stage = in_bulk(database, *MANY[:30], heygen=FakeHeyGen(**lost))
    with capture_logs() as logs:
        assert await stage.run_once() == {"not_found": 20, "running": 10}
    assert {line["event"] for line in logs} == {"status changed", "poll returned no status"}
    assert not stage.tracker.facts.is_doubted


# Out of turn


def ended(stage: Stage, name: str = "done", **columns: Any) -> Stage:
    """With a translation that has ended, and is due no more."""
    over = {"status": "success", "finished_at": after(), "next_poll_at": None, "url": URL}
    stage.database.put(video_translate_id=name, **over | columns)
    return stage


async def test_an_ended_translation_is_asked_about_though_it_is_not_due(database: Database) -> None:
    stage = ended(Stage(database, heygen=FakeHeyGen(done=Status.SUCCESS)))
    seen = await stage.poller.ask(1, 0)
    assert seen is not None
    assert (seen.video_translate_id, seen.status) == ("done", Status.SUCCESS)
    assert shown(database.rows(), "poll_count", "next_poll_at", "claimed_by") == [(1, None, None)]
    assert stage.figures.polls == {"success": 1}


async def test_ask_returns_none_while_another_poll_is_under_way_and_after_it(database: Database) -> None:
    stage = ended(Stage(database, concurrency=4))
    stage.heygen.gate = asyncio.Event()
    first = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    assert await stage.poller.ask(1, 0) is None
    stage.heygen.gate.set()
    await first
    assert await stage.poller.ask(1, 0) is None
    assert stage.heygen.asked == ["done"]


async def test_ask_raises_without_a_request_while_the_account_is_paused(database: Database) -> None:
    stage = ended(Stage(database, heygen=FakeHeyGen(done=RateLimitedError("HTTP 429", retry_after=60.0))))
    with pytest.raises(RateLimitedError):
        await stage.poller.ask(1, 0)
    with pytest.raises(AccountError, match="polling is paused until 12:01:00 UTC: rate_limited"):
        await stage.poller.ask(1, 0)
    assert stage.heygen.asked == ["done"]
    assert shown(database.rows(), "next_poll_at", "claimed_by") == [(None, None)]

    stage.clock.advance(61)  # then such a question may be the probe
    stage.heygen.answers.clear()
    assert await stage.poller.ask(1, 0) is not None
    assert stage.poller.gate.reason is None


async def test_ask_without_an_api_key_names_the_setting(database: Database) -> None:
    stage = ended(Stage(database, has_key=False))
    with pytest.raises(AccountError, match="needs TRACKER_HEYGEN_API_KEY"):
        await stage.poller.ask(1, 0)


async def test_stop_cancels_the_request_of_ask_and_refuses_more(database: Database) -> None:
    stage = ended(Stage(database))
    stage.heygen.gate = asyncio.Event()
    asking = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    await stage.poller.stop(patience=0.0)
    with pytest.raises(TransientError, match="was cancelled; try again"):
        await asking
    with pytest.raises(TransientError, match="tracker is stopping"):
        await stage.poller.ask(1, 0)
    assert (stage.heygen.asked, database.claimed()) == (["done"], [])


async def test_an_answer_that_cannot_be_stored_is_an_error_and_makes_nothing_due(database: Database) -> None:
    stage = ended(Stage(database))
    with ExitStack() as outage:
        stage.heygen.before_answering = lambda _: outage.enter_context(database.faults.failing())
        with pytest.raises(StoreError):
            await stage.poller.ask(1, 0)
    database.change("done", claimed_by=None, claimed_until=None)
    stage.heygen.before_answering = lambda _: stage.break_rules()
    with pytest.raises(TransientError, match="was cancelled; try again"):
        await stage.poller.ask(1, 0)
    assert database.row("done")["next_poll_at"] is None


async def test_whoever_goes_away_cancels_nothing(database: Database) -> None:
    stage = ended(Stage(database, heygen=FakeHeyGen(done=Status.SUCCESS)))
    stage.heygen.gate = asyncio.Event()
    asking = asyncio.create_task(stage.poller.ask(1, 0))
    await stage.heygen.begun.wait()
    asking.cancel()
    stage.heygen.gate.set()
    await stage.figures.until("success")
    assert database.row("done")["poll_count"] == 1


async def test_a_crowd_that_asks_for_links_takes_no_place_of_a_poll(database: Database) -> None:
    stage = Stage(database, concurrency=4)
    for number in range(9):
        ended(stage, f"done-{number}")
    stage.track(*IDS[:3])
    stage.heygen.gate = asyncio.Event()
    crowd = [asyncio.create_task(stage.poller.ask(number, 0)) for number in range(1, 10)]
    await stage.heygen.begun.wait()

    await stage.poller.tick()
    await stage.heygen.until_asked(5)

    assert sorted(stage.heygen.asked) == ["done-0", "done-1", *IDS[:3]]
    assert len(database.claimed()) == 5  # whoever waits holds no claim that could lapse
    stage.heygen.gate.set()
    assert all(await asyncio.gather(*crowd))
    assert {database.row(f"done-{number}")["poll_count"] for number in range(9)} == {1}


# Renewals


async def test_links_are_renewed_in_the_order_they_are_due_and_none_early(
    database: Database,
) -> None:
    stage = Stage(database, heygen=FakeHeyGen(a=Status.SUCCESS, b=Status.SUCCESS, c=Status.SUCCESS))
    for name, hours in (("a", 2), ("b", 1), ("c", 3)):
        ended(stage, name, url_expires_at=after(hours=hours), renew_links_at=after(hours=hours))
    assert await stage.poller.renew() is None
    stage.clock.now = after(hours=2)
    names = [seen.video_translate_id for _ in range(2) if (seen := await stage.poller.renew())]
    assert names == ["b", "a"]
    assert await stage.poller.renew() is None
    assert set(shown(database.rows(), "next_poll_at")) == {(None,)}


@pytest.mark.parametrize(("polls", "renewed"), [(0, True), (1, True), (2, False), (3, False)])
async def test_a_renewal_leaves_a_place_to_polls(database: Database, polls: int, *, renewed: bool) -> None:
    """Of three places, one poll leaves one to a renewal and one to the next poll; two polls do not."""
    stage = ended(Stage(database), url_expires_at=after(), renew_links_at=after())
    stage.heygen.slow = {name: asyncio.Event() for name in IDS[:polls]}
    stage.track(*IDS[:polls])
    ticking = asyncio.create_task(stage.poller.tick())
    await stage.heygen.until_asked(polls)
    assert (await stage.poller.renew() is not None) == renewed
    for event in stage.heygen.slow.values():
        event.set()
    await stage.poller.stop(patience=5.0)
    await ticking


async def test_no_renewal_is_begun_while_the_account_rests_or_the_poller_stops(database: Database) -> None:
    stage = ended(Stage(database), url_expires_at=after(), renew_links_at=after())
    stage.poller.gate.shut(Reason.RATE_LIMITED, stage.clock.now, 60.0)
    assert await stage.poller.renew() is None
    stage.clock.advance(3600)  # the probe is for polls and for people
    assert await stage.poller.renew() is None
    stage.poller.gate.open(stage.clock.now)
    await stage.poller.stop(patience=0.0)
    assert await stage.poller.renew() is None
    assert stage.heygen.asked == []
