"""The one door."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import ID, NOON, URL, after, delivery, observation, poll, webhook
from tests.contract.openers import Database
from tests.fakes import FakeFigures
from tracker.domain.capacity import CapacityPlan
from tracker.domain.observation import Details, Observation
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule, Tempo
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change
from tracker.errors import InputError, StoreError
from tracker.tracking.recorder import EVIDENCE, WORDS_REMEMBERED, Recorder, poll_request, registration

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def figures() -> FakeFigures:
    return FakeFigures()


@pytest.fixture
def tracker(database: Database, figures: FakeFigures) -> Recorder:
    return Recorder(database.store, Schedule(), figures)


def hold(database: Database, **columns: Any) -> None:
    """The translation ID is tracked, and it alone."""
    database.sql("DELETE FROM changes")
    database.sql("DELETE FROM translations")
    database.put(**{"video_translate_id": ID} | columns)


# What people name


def test_registration_takes_an_id_or_callback_id_and_an_optional_title() -> None:
    assert registration(NOON, video_translate_id=ID, title="Talk") == Observation(
        source=Source.MANUAL, observed_at=NOON, video_translate_id=ID, details=Details(title="Talk")
    )
    long = "x" * 10_000
    assert registration(NOON, callback_id=long).callback_id == long
    assert registration(NOON, video_translate_id="", callback_id="mine", title="").details.title is None


@pytest.mark.parametrize("nothing", [{}, {"video_translate_id": "", "callback_id": ""}, {"title": "Talk"}])
def test_registration_without_any_id_is_refused(nothing: dict[str, str]) -> None:
    with pytest.raises(InputError, match="name a video_translate_id or a callback_id"):
        registration(NOON, **nothing)


@pytest.mark.parametrize("bad", ["a/b", " ", "a b", "é", "x" * 256, "\ud800", "a\x00"])
def test_invalid_id_is_refused_and_shown_truncated(bad: str) -> None:
    with pytest.raises(InputError, match="is not a valid video_translate_id") as caught:
        registration(NOON, video_translate_id=bad)
    assert len(str(caught.value).encode()) < 250


@pytest.mark.parametrize("text", ["a\x00", "\ud83d"])
@pytest.mark.parametrize("name", ["callback_id", "title"])
def test_unstorable_text_is_refused(name: str, text: str) -> None:
    with pytest.raises(InputError, match="without NUL"):
        registration(NOON, video_translate_id=ID, **{name: text})


def test_poll_request_is_a_manual_hint() -> None:
    assert poll_request(NOON, ID) == observation(Source.MANUAL, hint=True)


# Recording


async def test_records_are_evaluated_and_stored(tracker: Recorder, database: Database) -> None:
    database.track(ID)
    [held] = await database.store.claim_due(NOON, 1, "tests", Schedule().max_interval)
    [result] = await tracker.record([Record(observation=poll(Status.RUNNING), claim=held)])
    assert result.change == Change(Status.PENDING, Status.RUNNING)
    assert database.row(ID)["status"] == "running"


async def test_failed_transaction_is_neither_logged_nor_counted(
    tracker: Recorder, database: Database, figures: FakeFigures
) -> None:
    with capture_logs() as logs, database.faults.failing(), pytest.raises(StoreError):
        await tracker.record([Record(observation=webhook(Status.SUCCESS), delivery=delivery())])
    assert (logs, figures.deliveries, figures.changes) == ([], {}, {})


async def test_each_registration_has_its_own_result(tracker: Recorder, database: Database) -> None:
    hold(database, video_translate_id=None, callback_id="b")
    named = [registration(NOON, callback_id="a"), registration(NOON, callback_id="b", title="Talk")]
    assert [result.is_new for result in await tracker.register(named)] == [True, False]
    assert [(row["callback_id"], row["title"]) for row in database.rows()] == [("b", "Talk"), ("a", None)]


async def test_change_is_logged_with_its_lag(
    tracker: Recorder, database: Database, figures: FakeFigures
) -> None:
    hold(database, status=Status.RUNNING)
    database.clock.advance(0.5)
    observed = webhook(Status.SUCCESS, url=f"{URL}?Signature=s", occurred_at=after(-2))
    with capture_logs() as logs:
        await tracker.record([Record(observation=observed)])
    assert logs == [
        {
            "event": "status changed",
            "log_level": "info",
            "id": ID,
            "old": "running",
            "new": "success",
            "source": "webhook",
            "lag": 2.5,
            "note": None,
        }
    ]
    assert figures.changes == {("success", "webhook"): 1}


async def test_lag_of_an_open_status_starts_at_the_observation(tracker: Recorder, database: Database) -> None:
    database.clock.advance(1)
    with capture_logs() as logs:
        await tracker.record([Record(observation=poll(Status.RUNNING))])
    assert [line["lag"] for line in logs] == [1.0]


async def test_note_of_a_change_is_logged(tracker: Recorder, database: Database) -> None:
    hold(database, status=Status.FAILED)
    with capture_logs() as logs:
        await tracker.record([Record(observation=observation(Source.MANUAL, Status.PENDING))])
    assert [line["note"] for line in logs] == ["reopened by hand"]


async def test_raised_flag_is_logged_once(tracker: Recorder, database: Database) -> None:
    hold(database, status=Status.SUCCESS, url=URL)
    with capture_logs() as logs:
        await tracker.record([Record(observation=webhook(Status.FAILED))] * 2)
    assert [(line["event"], line["log_level"], line["attention"]) for line in logs] == [
        ("translation needs attention", "warning", "conflict")
    ]


async def test_deliveries_are_counted_by_outcome(
    tracker: Recorder, database: Database, figures: FakeFigures
) -> None:
    records = [
        Record(delivery=delivery(b"of another product")),
        *[Record(delivery=delivery(), observation=webhook(Status.SUCCESS, url=URL))] * 2,
    ]
    with capture_logs() as logs:
        await tracker.record(records)
    assert figures.deliveries == {("ignored", False): 1, ("applied", False): 1, ("applied", True): 1}
    assert [line["event"] for line in logs] == ["status changed"]


async def test_observation_without_delivery_counts_no_delivery(
    tracker: Recorder, database: Database, figures: FakeFigures
) -> None:
    await tracker.record([Record(observation=poll(Status.RUNNING))])
    assert not figures.deliveries


async def test_unknown_word_is_logged_once(tracker: Recorder, database: Database) -> None:
    observed = [observation(provider_status=word) for word in ("upscaling", "upscaling", "dubbing")]
    known = poll(Status.RUNNING, provider_status="running")
    hold(database, status=Status.RUNNING)
    with capture_logs() as logs:
        await tracker.record([Record(observation=observed) for observed in [*observed, known, observation()]])
    assert [(line["event"], line["word"]) for line in logs] == [
        ("unknown status word", "upscaling"),
        ("unknown status word", "dubbing"),
    ]


async def test_number_of_logged_words_is_bounded(tracker: Recorder, database: Database) -> None:
    words = [observation(provider_status=f"word {number}") for number in range(WORDS_REMEMBERED + 10)]
    with capture_logs() as logs:
        await tracker.record([Record(observation=observed) for observed in words])
    assert len(logs) == WORDS_REMEMBERED


# Whether webhooks can be trusted


async def ends(tracker: Recorder, database: Database, *sources: Source) -> None:
    """One translation after another ends, first reported by these."""
    for source in sources:
        number = len(database.rows())
        ended, running = f"ended-{number}", f"running-{number}"
        by_hand = source is Source.MANUAL  # people end only what HeyGen refused to create
        status = Status.FAILED if by_hand else Status.SUCCESS
        await tracker.record(
            [
                Record(observation=observation(source, status, video_translate_id=ended, url=URL)),
                Record(observation=poll(Status.RUNNING, video_translate_id=running)),
            ]
        )
        assert database.row(ended)["status"] == status


async def test_ends_reported_by_webhooks_slow_polling_down(tracker: Recorder, database: Database) -> None:
    stretches = []
    for _ in range(11):
        await ends(tracker, database, Source.WEBHOOK)
        stretches.append(tracker.stretch)
    assert stretches == [1.0] * 4 + [2.0] * 5 + [4.0] * 2


async def test_completion_found_by_a_poll_ends_the_trust_at_once(
    tracker: Recorder, database: Database
) -> None:
    await ends(tracker, database, *[Source.WEBHOOK] * 15, Source.POLL)
    assert tracker.stretch == 1.0
    await ends(tracker, database, *[Source.WEBHOOK] * 5)
    assert tracker.stretch == 2.0


async def test_evidence_is_loaded_at_startup(tracker: Recorder, database: Database) -> None:
    database.end(*[Source.POLL] * 99, *[Source.WEBHOOK] * EVIDENCE)
    await tracker.remember_evidence()
    assert (tracker.stretch, tracker.delivery_rate) == (4.0, 1.0)


async def test_latest_evidence_wins(tracker: Recorder, database: Database) -> None:
    database.end(*[Source.WEBHOOK] * 15, Source.POLL, *[Source.WEBHOOK] * 4)
    await tracker.remember_evidence()
    assert tracker.stretch == 1.0
    await ends(tracker, database, Source.WEBHOOK)
    assert tracker.stretch == 2.0


async def test_delivery_rate_is_none_before_the_first_completion(tracker: Recorder) -> None:
    assert tracker.delivery_rate is None


async def test_the_delivery_rate_is_that_of_the_latest_ends(tracker: Recorder, database: Database) -> None:
    await ends(tracker, database, Source.WEBHOOK, Source.POLL)
    assert tracker.delivery_rate == 0.5
    await ends(tracker, database, *[Source.WEBHOOK] * EVIDENCE)
    assert tracker.delivery_rate == 1.0


async def test_completions_without_a_webhook_are_counted(tracker: Recorder, database: Database) -> None:
    await ends(tracker, database, Source.WEBHOOK, Source.EVENT_LOG)
    assert tracker.facts.unreported_ends == 0
    await ends(tracker, database, Source.POLL, Source.POLL, Source.LIST)
    assert tracker.facts.unreported_ends == 2


@pytest.mark.parametrize("source", [Source.LIST, Source.EVENT_LOG, Source.MANUAL])
async def test_possibly_old_completions_are_no_evidence(
    tracker: Recorder, database: Database, source: Source
) -> None:
    await ends(tracker, database, *[Source.WEBHOOK] * 10, *[source] * 20)
    assert (tracker.stretch, tracker.delivery_rate, tracker.facts.unreported_ends) == (4.0, 1.0, 0)


async def test_settled_conflict_is_no_evidence(tracker: Recorder, database: Database) -> None:
    await ends(tracker, database, *[Source.WEBHOOK] * 10)
    hold(database, status=Status.SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    [settled] = await tracker.record([Record(observation=poll(Status.FAILED, observed_at=after(1)))])
    assert settled.change is not None
    assert (settled.change.old, settled.change.new) == (Status.SUCCESS, Status.FAILED)
    assert (tracker.stretch, tracker.facts.unreported_ends) == (4.0, 0)


async def waited(tracker: Recorder, database: Database, age: float) -> float:
    """Seconds until the next poll of one that is `age` seconds old and still running."""
    hold(database, created_at=after(-age))
    [held] = await database.store.claim_due(NOON, 1, "tests", Schedule().max_interval)
    await tracker.record([Record(observation=poll(Status.RUNNING), claim=held)])
    due: datetime = database.row(ID)["next_poll_at"]
    return (due - NOON).total_seconds()


async def test_stretch_lengthens_the_next_interval(tracker: Recorder, database: Database) -> None:
    before = await waited(tracker, database, age=1800)
    database.end(*[Source.WEBHOOK] * EVIDENCE)
    await tracker.remember_evidence()
    assert await waited(tracker, database, age=1800) == pytest.approx(4 * before)


async def test_plan_lengthens_the_next_interval(tracker: Recorder, database: Database) -> None:
    assert tracker.tempo == Tempo(1.0)
    young, old = timedelta(seconds=100), timedelta(seconds=1000)
    tracker.facts.plan = CapacityPlan(young, old, young, is_kept=False)
    assert tracker.tempo == Tempo(1.0, young, old)
    assert await waited(tracker, database, age=60) == pytest.approx(100, rel=0.11)
    assert await waited(tracker, database, age=1800) == pytest.approx(1000, rel=0.11)
