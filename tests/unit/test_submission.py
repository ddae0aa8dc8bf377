"""Submissions on a real SQLite file, with a HeyGen that answers, refuses, hangs, or dies with us."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.databases import write_migrated
from tests.fakes import FakeClock, FakeFigures
from tracker.domain.cadence import Cadence
from tracker.domain.observation import Details, Observation
from tracker.domain.status import Source, Status
from tracker.domain.submission import (
    Created,
    Order,
    Step,
    Submission,
    SubmissionState,
    back_off,
    next_step,
)
from tracker.errors import (
    InputError,
    KeyRejectedError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.ports import Record
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.submission import Submissions
from tracker.tracking import Tracker

pytestmark = pytest.mark.anyio

HOUR = 3600.0
LEASE = 75.0  # of an attempt: the request's time-out, and a minute
BOTH = Order(languages=("es", "de"), video_url="https://example.com/talk.mp4", title="Talk")
KEPT = replace(BOTH, callback_id="order-1")  # as it is stored
TIME_OUT = TransientError("no answer within 15 s")
REFUSAL = RefusedError("HTTP 400: the video is too long")
PLANNED, SENT, DONE = SubmissionState.PLANNED, SubmissionState.SENT, SubmissionState.DONE
REFUSED, UNANSWERED = SubmissionState.REFUSED, SubmissionState.UNANSWERED


class CrashError(BaseException):
    """The process dies here."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class FakeCreator:
    """A little HeyGen: creates a set per request, honours keys where it speaks v3.

    `answers`: what happens to the requests in turn; "lost" creates, and then says nothing; a Created is
    answered as it is; afterwards all goes well.
    """

    api: str = "v3"
    answers: list[Exception | Created | str] = field(default_factory=list)
    sets: list[tuple[str, ...]] = field(default_factory=list)
    by_key: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    announced: Callable[[], None] = lambda: None
    wrong: InputError | None = None
    gate: asyncio.Event | None = None  # the answers wait for it
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self, order: Order) -> None:
        if self.wrong is not None:
            raise self.wrong

    async def create(
        self,
        order: Order,
        idempotency_key: str,
        at: datetime,
        sending: Callable[[str], Awaitable[None]],
        api_version: str | None = None,
    ) -> Created:
        api = api_version or self.api
        await sending(api)
        self.announced()
        self.requests.append((api, idempotency_key))
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        said = self.answers.pop(0) if self.answers else "well"
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Created):
            return said
        ids = self._make(api, idempotency_key, order)
        if said == "lost":
            raise TIME_OUT
        if said == "crash":
            raise CrashError
        return Created(api, ids)

    def _make(self, api: str, key: str, order: Order) -> tuple[str, ...]:
        if api == "v3" and key in self.by_key:
            return self.by_key[key]
        ids = tuple(f"set{len(self.sets)}-{language}" for language in order.wanted)
        self.sets.append(ids)
        self.by_key[key] = ids
        return ids


class House:
    """The store, the one door and the submissions over it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tracker.db"
        write_migrated(self.path)
        self.clock = FakeClock()
        self.heygen = FakeCreator()
        self.store = Repository(open_engines(f"sqlite:///{self.path}"), self.clock)
        self.store.open()
        self.figures = FakeFigures()
        self.tracker = Tracker(self.store, Cadence(), self.figures)
        self.submissions = Submissions(
            self.store, self.heygen, self.tracker, self.clock, request_timeout=15.0
        )

    async def submit(self, order: Order = BOTH) -> Submission:
        return await self.submissions.submit(order)

    async def crash(self, order: Order = BOTH) -> Submission:
        """Submit, and die where the creator says so."""
        with pytest.raises(CrashError):
            await self.submissions.submit(order)
        return await self.get()

    async def later(self, seconds: float = LEASE) -> Submission:
        """What the daemon makes of it after that time."""
        self.clock.advance(seconds)
        await self.submissions.resume()
        return await self.get()

    async def get(self, number: int = 1) -> Submission:
        known = await self.store.get_submission(number)
        assert known is not None
        return known

    async def hear(self, video_translate_id: str, callback_id: str | None, **details: Any) -> None:
        """An authentic webhook about an end."""
        seen = Observation(
            source=Source.WEBHOOK,
            observed_at=self.clock(),
            video_translate_id=video_translate_id,
            callback_id=callback_id,
            status=Status.SUCCESS,
            details=Details(**details),
        )
        await self.tracker.record([Record(observation=seen)])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Id, language, and the number of the submission of each row."""
        return self.sql(
            "SELECT video_translate_id, output_language, submission_id FROM translations ORDER BY id"
        )


@contextmanager
def opened() -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        yield house
        house.store.close()


@pytest.fixture
def house() -> Iterator[House]:
    with opened() as house:
        yield house


def crash() -> None:
    raise CrashError


# What goes well


async def test_ids_come_to_the_rows_that_were_stored_before(house: House) -> None:
    stored: list[Any] = []
    house.heygen.announced = lambda: stored.append((house.rows, house.sql("SELECT state FROM submissions")))
    done = await house.submit()
    assert stored == [([(None, "es", 1), (None, "de", 1)], [("sent",)])]
    assert (done.state, done.error, done.next_attempt_at, done.api_version) == (DONE, None, None, "v3")
    assert house.rows == [("set0-es", "es", 1), ("set0-de", "de", 1)]
    assert house.sql("SELECT DISTINCT next_poll_at, title FROM translations") == [
        ("2026-11-23 12:00:00.000000", "Talk")
    ]
    [(callback_id,)] = house.sql("SELECT DISTINCT callback_id FROM translations")
    assert callback_id.startswith("tracker-")
    assert done.order.callback_id == callback_id
    await house.later(HOUR)
    assert len(house.heygen.requests) == 1


async def test_a_callback_id_that_was_given_is_kept(house: House) -> None:
    done = await house.submit(Order(proofread_id="p", callback_id="order-1", more={"captions": True}))
    assert (done.order.callback_id, done.order.more) == ("order-1", {"captions": True})
    assert house.rows == [("set0-None", None, 1)]


async def test_wrong_input_stores_nothing(house: House) -> None:
    house.heygen.wrong = InputError("no")
    with pytest.raises(InputError):
        await house.submit()
    assert house.sql("SELECT * FROM submissions") == []
    assert house.rows == []


# What goes wrong on the way


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_a_crash_after_planning_is_made_good_on_either_api(house: House, api: str) -> None:
    house.heygen.api = api
    await house.store.plan_submission(KEPT, "key-1", house.clock() + timedelta(seconds=LEASE))
    assert (await house.later(LEASE - 1)).state is PLANNED  # the verb may still be at it
    done = await house.later(1)
    assert (done.state, done.attempts) == (DONE, 1)
    assert house.heygen.requests == [(api, "key-1")]


@pytest.mark.parametrize("how", ["crash", "lost"])
async def test_a_lost_answer_of_v3_is_asked_for_again_with_the_key(house: House, how: str) -> None:
    house.heygen.answers = [how]
    known = await house.crash() if how == "crash" else await house.submit()
    assert known.state is SENT
    done = await house.later()
    assert done.state is DONE
    assert house.heygen.sets == [("set0-es", "set0-de")]
    assert house.rows == [("set0-es", "es", 1), ("set0-de", "de", 1)]
    assert len(set(house.heygen.requests)) == 1


async def test_a_crash_before_v3_got_it_is_made_good_too(house: House) -> None:
    house.heygen.announced = crash
    assert (await house.crash()).state is SENT
    house.heygen.announced = lambda: None
    assert (await house.later()).state is DONE
    assert len(house.heygen.sets) == 1


async def test_v2_is_never_sent_again_and_given_up_after_a_day(house: House) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = ["lost"]
    known = await house.submit()
    assert (known.state, known.error) == (SENT, str(TIME_OUT))
    house.heygen.api = "v3"  # the account moves on: that changes nothing for what v2 may have got
    for _ in range(3):
        assert (await house.later(7 * HOUR)).state is SENT
    assert (await house.later(4 * HOUR)).state is SENT  # nobody was looking for hours
    given_up = await house.later(60)
    assert given_up.state is UNANSWERED
    assert given_up.error == f"not known whether HeyGen created it: {TIME_OUT}"
    assert given_up.next_attempt_at is None
    assert house.sql("SELECT DISTINCT status, last_error FROM translations") == [("pending", given_up.error)]
    assert len(house.heygen.requests) == 1


async def test_v2_after_a_crash_says_why_it_waits(house: House) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = ["crash"]
    await house.crash()
    known = await house.later()
    assert known.state is SENT
    assert known.error is not None
    assert "might create it twice" in known.error


async def test_webhooks_finish_what_v2_never_answered(house: House) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = ["lost"]
    known = await house.submit()
    await house.hear("set0-de", known.order.callback_id, output_language="de")
    assert (await house.later()).state is SENT
    await house.hear("set0-es", known.order.callback_id, output_language="es")
    assert (await house.later()).state is DONE
    assert house.rows == [("set0-es", "es", 1), ("set0-de", "de", 1)]
    assert len(house.heygen.requests) == 1


async def test_v3_is_not_asked_again_once_its_key_may_be_forgotten(house: House) -> None:
    house.heygen.answers = [TIME_OUT, TIME_OUT]
    await house.submit()
    assert (await house.later(22 * HOUR)).attempts == 2
    assert (await house.later(1 * HOUR)).state is SENT
    assert (await house.later(1 * HOUR)).state is SENT
    assert (await house.later(60)).state is UNANSWERED
    assert len(house.heygen.requests) == 2


async def test_409_is_asked_again_later(house: House) -> None:
    house.heygen.answers = [TransientError("HTTP 409: request_in_progress")]
    known = await house.submit()
    assert known.next_attempt_at == house.clock() + timedelta(seconds=15)
    assert (await house.later(15)).state is DONE


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (KeyRejectedError("HTTP 401"), 300.0),
        (RateLimitedError("HTTP 429", retry_after=120.0), 120.0),
        (RateLimitedError("HTTP 429", retry_after=1.0), 60.0),
        (RateLimitedError("HTTP 429", quota=True), 600.0),
    ],
)
async def test_a_resting_account_counts_nothing_and_sends_later(
    house: House, error: Exception, rest: float
) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = [error]
    known = await house.submit()
    assert (known.state, known.attempts, known.sent_at, known.error) == (PLANNED, 0, None, str(error))
    assert (await house.later(rest - 1)).state is PLANNED
    assert (await house.later(1)).state is DONE


async def test_an_unknown_attempt_stays_unknown_though_the_next_was_not_sent(house: House) -> None:
    house.heygen.answers = ["lost", NotSentError("no connection"), RateLimitedError("HTTP 429")]
    await house.submit()
    for seconds in (15, 60):
        known = await house.later(seconds)
        assert (known.state, known.sent_at is not None) == (SENT, True)
    assert (await house.later(60)).state is DONE
    assert len(house.heygen.sets) == 1


@pytest.mark.parametrize("error", [NotSentError("no connection"), KeyRejectedError("HTTP 401")])
async def test_what_never_leaves_is_sent_again_however_long_it_takes(house: House, error: Exception) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = [error] * 4
    assert (await house.submit()).state is PLANNED
    for hours in (1, 23, 1000):
        assert (await house.later(hours * HOUR)).state is PLANNED
    assert house.sql("SELECT DISTINCT status FROM translations") == [("pending",)]
    assert (await house.later(600)).state is DONE
    assert len(house.heygen.requests) == 5


async def test_webhooks_heard_after_a_long_downtime_still_finish_it(house: House) -> None:
    house.heygen.api = "v2"
    house.heygen.answers = ["lost"]
    known = await house.submit()
    assert (await house.later(48 * HOUR)).state is SENT
    for language in ("es", "de"):
        await house.hear(f"set0-{language}", known.order.callback_id, output_language=language)
    assert (await house.later(60)).state is DONE


async def test_the_same_error_is_told_once(house: House) -> None:
    house.heygen.answers = [TIME_OUT, TIME_OUT, TransientError("HTTP 500")]
    with capture_logs() as logs:
        await house.submit()
        await house.later(15)
        await house.later(30)
    told = [(one["log_level"], one["error"]) for one in logs if one["event"] == "submission not answered"]
    assert told == [("warning", str(TIME_OUT)), ("debug", str(TIME_OUT)), ("warning", "HTTP 500")]


# A stop


async def stopped_while_it_asks(house: House, api: str) -> asyncio.Event:
    """The daemon's task is cancelled while HeyGen has the request; answers what lets it answer."""
    house.heygen.api, house.heygen.gate = api, asyncio.Event()
    await house.store.plan_submission(KEPT, "key-1", house.clock())
    errand = asyncio.create_task(house.submissions.resume())
    await house.heygen.asked.wait()
    errand.cancel()
    await asyncio.wait([errand])
    assert errand.cancelled()
    return house.heygen.gate


async def test_a_stop_waits_for_the_answer_and_stores_it(house: House) -> None:
    gate = await stopped_while_it_asks(house, "v2")
    stop = asyncio.create_task(house.submissions.stop(patience=30))
    finished, _ = await asyncio.wait([stop], timeout=0.05)
    assert not finished
    gate.set()
    await stop
    assert (await house.get()).state is DONE
    assert house.rows == [("set0-es", "es", 1), ("set0-de", "de", 1)]


async def test_a_stop_waits_no_longer_than_its_patience(house: House) -> None:
    gate = await stopped_while_it_asks(house, "v3")
    await house.submissions.stop(patience=0.01)
    assert (await house.get()).state is SENT
    gate.set()
    assert (await house.later()).state is DONE  # what had been sent is asked for again with its key
    assert len(house.heygen.sets) == 1


async def test_a_stop_with_nothing_under_way_ends_at_once(house: House) -> None:
    await house.submit()
    await house.submissions.stop(patience=30)
    assert (await house.get()).state is DONE


async def test_an_accident_is_put_off(house: House) -> None:
    house.heygen.answers = [ValueError("poison")]
    await house.store.plan_submission(KEPT, "key-1", house.clock())
    known = await house.later(0)
    assert (known.state, known.next_attempt_at) == (SENT, house.clock() + timedelta(seconds=LEASE))
    assert (await house.later()).state is DONE


# Refusals


async def test_a_refusal_fails_the_rows_with_heygens_words(house: House) -> None:
    house.heygen.answers = [REFUSAL]
    refused = await house.submit()
    assert (refused.state, refused.error, refused.next_attempt_at) == (REFUSED, str(REFUSAL), None)
    assert house.sql("SELECT status, message FROM translations") == [("failed", str(REFUSAL))] * 2
    assert house.sql("SELECT translation_id, old_status, new_status, source, note FROM changes") == [
        (1, "pending", "failed", "manual", "HeyGen refused the submission"),
        (2, "pending", "failed", "manual", "HeyGen refused the submission"),
    ]
    assert house.figures.changes["failed", "manual"] == 2
    assert house.sql("SELECT DISTINCT next_poll_at FROM translations") == [(None,)]


async def test_a_crash_between_refusal_and_rows_is_made_good(house: House) -> None:
    known = await house.store.plan_submission(KEPT, "key-1", house.clock() + timedelta(seconds=LEASE))
    await house.store.settle_submission(known, REFUSED, "no", until=house.clock())
    assert (await house.later(0)).next_attempt_at is None
    assert house.sql("SELECT DISTINCT status, message FROM translations") == [("failed", "no")]
    assert house.heygen.requests == []


async def test_a_refusal_fails_no_row_of_others_with_that_callback_id(house: House) -> None:
    order = Order(languages=("es",), video_url="https://example.com/a", callback_id="shared")
    house.heygen.api = "v2"
    house.heygen.answers = ["lost", REFUSAL]
    await house.submit(order)
    await house.submit(order)
    assert house.sql("SELECT submission_id, status FROM translations") == [(1, "pending"), (2, "failed")]


async def test_ids_go_to_the_open_row_and_not_to_the_refused_one(house: House) -> None:
    order = Order(languages=("es",), video_url="https://example.com/a", callback_id="shared")
    house.heygen.api = "v2"
    house.heygen.answers = [REFUSAL, "lost"]
    await house.submit(order)
    await house.submit(order)
    await house.hear("set0-es", "shared", output_language="es")
    assert house.rows == [(None, "es", 1), ("set0-es", "es", 2)]
    assert house.sql("SELECT status FROM translations") == [("failed",), ("success",)]


# Two at once


async def test_only_one_of_two_sends(house: House) -> None:
    house.heygen.api = "v2"
    await house.store.plan_submission(KEPT, "key-1", house.clock())
    await asyncio.gather(house.submissions.resume(), house.submissions.resume())
    assert len(house.heygen.requests) == 1
    assert (await house.get()).state is DONE


async def test_the_word_of_an_outdated_attempt_does_not_count(house: House) -> None:
    known = await house.store.plan_submission(KEPT, "key-1", house.clock())
    sent = await house.store.send_submission(known, "v3", house.clock())
    assert sent is not None
    assert await house.store.send_submission(known, "v3", house.clock()) is None
    await house.submissions.resume()
    assert not await house.store.put_off_submission(sent, "late", house.clock(), unsent=True)
    assert not await house.store.settle_submission(sent, REFUSED, "late")
    assert (await house.get()).state is DONE


async def test_a_slow_attempt_says_nothing_once_the_next_is_out(house: House) -> None:
    known = await house.store.plan_submission(KEPT, "key-1", house.clock())
    slow = await house.store.send_submission(known, "v3", house.clock())
    assert slow is not None
    next_one = await house.store.send_submission(slow, "v3", house.clock())
    assert next_one is not None
    assert await house.store.send_submission(slow, "v3", house.clock()) is None
    assert not await house.store.put_off_submission(slow, "late", house.clock())
    assert await house.store.put_off_submission(next_one, "timely", house.clock())
    assert (await house.get()).error == "timely"


async def test_binding_twice_changes_nothing(house: House) -> None:
    await house.submit()
    before = house.sql("SELECT * FROM translations")
    house.clock.advance(60)
    await house.store.bind_submission(1, Created("v3", ("set0-es", "set0-de")))
    assert house.sql("SELECT * FROM translations") == before


async def test_ids_that_cannot_be_stored_are_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_number: int, _created: Created) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(house.store, "bind_submission", away)
    with pytest.raises(
        StoreError, match="HeyGen created set0-es, set0-de, which could not be stored: disk full"
    ):
        await house.submit()


# What others had learnt before the answer came


async def test_an_id_on_the_row_of_another_language_changes_places(house: House) -> None:
    house.heygen.answers = ["lost"]
    known = await house.submit()
    await house.hear("set0-de", known.order.callback_id)  # names no language: it comes to the oldest row
    assert house.rows == [("set0-de", "es", 1), (None, "de", 1)]
    assert (await house.later()).state is DONE
    assert house.rows == [("set0-de", "de", 1), ("set0-es", "es", 1)]
    assert house.sql("SELECT status FROM translations") == [("success",), ("pending",)]


async def test_both_on_the_wrong_rows_change_places(house: House) -> None:
    house.heygen.answers = ["lost"]
    known = await house.submit()
    await house.hear("set0-de", known.order.callback_id)
    await house.hear("set0-es", known.order.callback_id)
    assert (await house.later()).state is DONE
    assert sorted(house.rows) == [("set0-de", "de", 1), ("set0-es", "es", 1)]


async def test_heygens_own_name_of_a_language_stays(house: House) -> None:
    house.heygen.answers = ["lost"]
    known = await house.submit()
    await house.hear("set0-de", known.order.callback_id)
    house.sql("UPDATE translations SET output_language = 'German' WHERE video_translate_id IS NOT NULL")
    await house.later()
    assert house.rows == [("set0-de", "German", 1), ("set0-es", "es", 1)]


async def test_an_id_that_is_tracked_already_keeps_its_row_and_history(house: House) -> None:
    await house.hear("set0-de", None)
    await house.submit()
    assert house.rows == [("set0-de", "de", 1), ("set0-es", "es", 1)]
    [known, _] = house.sql("SELECT status, title, callback_id IS NOT NULL FROM translations")
    assert known == ("success", "Talk", 1)
    assert house.sql("SELECT translation_id, new_status FROM changes") == [(1, "success")]


async def test_a_row_taken_by_a_shared_callback_id_is_let_go(house: House) -> None:
    house.heygen.answers = ["lost"]
    await house.submit(Order(languages=("es",), video_url="https://example.com/a", callback_id="shared"))
    await house.hear("stranger", "shared")
    assert (await house.later()).state is DONE
    assert sorted(house.rows, key=str) == [("set0-es", "es", 1), ("stranger", None, None)]


@pytest.mark.parametrize("state", [SENT, REFUSED, DONE])
async def test_an_id_on_a_row_of_another_submission(house: House, state: SubmissionState) -> None:
    order = Order(languages=("es",), video_url="https://example.com/a", callback_id="shared")
    house.heygen.answers = [TIME_OUT]
    first = await house.submit(order)
    await house.hear("second", "shared")
    if state is not SENT:
        await house.store.settle_submission(first, state, None)
    house.heygen.answers = [Created("v3", ("second",))]
    done = await house.submit(order)
    by_state = {
        SENT: [("second", "es", 2), (None, "es", 1)],  # the first still awaits its own
        REFUSED: [("second", "es", 2)],
        DONE: [("second", "es", 1), (None, "es", 2)],  # HeyGen gave one id twice
    }
    assert house.rows == by_state[state]
    assert (done.state, done.error is not None) == (DONE, state is DONE)


@pytest.mark.parametrize(
    ("ids", "rows", "error"),
    [
        (("a",), [("a", "es", 1), (None, "de", 1)], "HeyGen named 1 ids for 2 translations"),
        ((None, "b"), [(None, "es", 1), ("b", "de", 1)], "HeyGen named 1 ids for 2 translations"),
        (("a", "a"), [("a", "es", 1), (None, "de", 1)], "HeyGen named 1 ids for 2 translations"),
        (
            ("a", "b", "c"),
            [("a", "es", 1), ("b", "de", 1), ("c", None, 1)],
            "HeyGen named 3 ids for 2 translations",
        ),
    ],
)
async def test_fewer_or_more_ids_lose_none(
    house: House, ids: tuple[str | None, ...], rows: list[Any], error: str
) -> None:
    house.heygen.answers = [Created("v3", ids)]
    done = await house.submit()
    assert (done.state, done.error) == (DONE, error)
    assert house.rows == rows
    assert house.sql("SELECT DISTINCT last_error FROM translations WHERE video_translate_id IS NULL") == (
        [(error,)] if None in [row[0] for row in rows] else []
    )


# Rules


def test_back_off_doubles_from_15_seconds_to_10_minutes() -> None:
    pauses = [back_off(attempts).total_seconds() for attempts in (0, 1, 2, 3, 6, 7, 1000)]
    assert pauses == [15, 15, 30, 60, 480, 600, 600]


def test_v2_is_sent_only_while_it_is_planned() -> None:
    clock = FakeClock()
    for hours in range(30):
        known = Submission(
            id=1,
            idempotency_key="k",
            order=BOTH,
            state=SENT,
            created_at=clock(),
            api_version="v2",
            waiting=1,
        )
        assert next_step(known, clock() + timedelta(hours=hours)) is (
            Step.WAIT if hours < 24 else Step.GIVE_UP
        )


FATES = st.sampled_from(["well", "lost", "crash", "early crash", "key", "refused connection"])


@settings(max_examples=60)
@given(
    st.sampled_from(["v2", "v3"]),
    st.lists(FATES, max_size=8),
    st.lists(st.sampled_from([1.0, 15.0, 75.0, 700.0]), min_size=8, max_size=8),
    st.permutations(["es", "de"]),
    st.booleans(),
)
def test_whatever_happens_one_set_is_created_and_all_of_it_is_tracked(
    api: str, fates: list[str], pauses: list[float], order_of_webhooks: list[str], named: bool
) -> None:
    with opened() as house:
        asyncio.run(live(house, api, fates, pauses))
        assert len(house.heygen.sets) <= 1
        created = {one for ids in house.heygen.sets for one in ids}
        asyncio.run(tell_the_ends(house, order_of_webhooks, named=named))
        rows = house.rows
        assert created <= {row[0] for row in rows}
        [(state,)] = house.sql("SELECT state FROM submissions")
        if created:
            assert len(rows) == 2
            assert state == "done"
        else:
            assert all(row[0] is None for row in rows)
            assert state in ("sent", "unanswered")


async def live(house: House, api: str, fates: list[str], pauses: list[float]) -> None:
    """The verb once, then the daemon, each with its fate."""
    house.heygen.api = api
    begun = False
    for fate, pause in zip([*fates, "well"], [*pauses, 700.0], strict=False):
        house.heygen.announced = crash if fate == "early crash" else lambda: None
        errors = {"key": KeyRejectedError("401"), "refused connection": NotSentError("none")}
        house.heygen.answers = [errors.get(fate, fate)] if fate != "early crash" else []
        with suppress(CrashError):
            await (house.submissions.resume() if begun else house.submissions.submit(BOTH))
        begun = True
        house.heygen.answers = []
        house.clock.advance(pause)
    house.heygen.announced = lambda: None
    for _ in range(3):
        house.clock.advance(700)
        await house.submissions.resume()


async def tell_the_ends(house: House, languages: list[str], *, named: bool) -> None:
    known = await house.get()
    for language in languages:
        for one in {one for ids in house.heygen.sets for one in ids if one.endswith(language)}:
            told = {"output_language": language} if named else {}
            await house.hear(one, known.order.callback_id, **told)
    await house.later(700)
