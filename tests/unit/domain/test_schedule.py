"""When to ask again."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, after, failed_poll, observation, poll, translation, webhook
from tracker.domain.observation import Observation
from tracker.domain.schedule import (
    CONFIRMATIONS,
    DAILY,
    JITTER,
    YOUNG,
    Schedule,
    Tempo,
    back_off,
    interval,
    next_poll,
    probe_after,
    webhook_stretch,
)
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation

CADENCE = Schedule()  # 15 s to 10 min
PENDING, RUNNING, SUCCESS, FAILED = Status


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def due(
    current: Translation,
    seen: Observation,
    change: Change | None = None,
    attention: Attention | None = None,
    *,
    failures: int = 0,
    tempo: Tempo = Tempo(),  # noqa: B008
) -> datetime | None:
    return next_poll(CADENCE, current, seen, change, attention, failures=failures, tempo=tempo)


def wait(current: Translation, seen: Observation) -> timedelta:
    then = due(current, seen)
    assert then is not None
    return then - seen.observed_at


# The interval


def test_a_young_translation_is_asked_about_as_often_as_allowed() -> None:
    assert interval(CADENCE, seconds(0)) == seconds(15)
    assert interval(CADENCE, seconds(-60)) == seconds(15)


def test_later_the_interval_grows_with_its_age() -> None:
    assert interval(CADENCE, timedelta(minutes=30)) == seconds(60)
    assert interval(CADENCE, timedelta(hours=2)) == seconds(240)
    assert interval(CADENCE, timedelta(days=1)) == seconds(600)


def test_in_the_end_it_is_daily() -> None:
    assert interval(CADENCE, timedelta(days=7)) == seconds(600)
    assert interval(CADENCE, timedelta(days=7, seconds=1)) == DAILY
    assert interval(CADENCE, timedelta(days=8), failures=1) == DAILY


def test_polls_that_fail_back_off() -> None:
    waits = [interval(CADENCE, YOUNG, failures=count) for count in (0, 1, 2, 3, 6, 1000)]
    assert waits == [seconds(60), seconds(60), seconds(60), seconds(120), seconds(600), seconds(600)]


def test_the_promise_holds_for_young_ones_whose_polls_fail_too() -> None:
    waits = [interval(CADENCE, seconds(0), failures=count) for count in (0, 1, 2, 1000)]
    assert waits == [seconds(15), seconds(30), seconds(54), seconds(54)]


def test_webhooks_that_arrive_reliably_slow_polling_down() -> None:
    assert interval(CADENCE, timedelta(minutes=30), tempo=Tempo(4.0)) == seconds(240)


def test_a_young_one_is_asked_about_in_time_for_max_staleness_however_trusted_webhooks_are() -> None:
    almost = YOUNG - seconds(1)
    assert interval(CADENCE, almost, tempo=Tempo(1.0)) == seconds(54)
    assert interval(CADENCE, almost, tempo=Tempo(4.0)) == seconds(54)
    assert interval(CADENCE, timedelta(minutes=2), tempo=Tempo(4.0)) == seconds(16)
    assert interval(CADENCE, YOUNG, tempo=Tempo(4.0)) == seconds(240)


def test_the_shortest_interval_of_the_settings_is_stronger_than_max_staleness() -> None:
    slow = Schedule(min_interval=seconds(120), max_staleness=seconds(60))
    assert slow.longest_while_young == seconds(120)
    assert interval(slow, timedelta(minutes=5)) == seconds(120)


def test_the_rate_limit_lengthens_the_intervals_by_age() -> None:
    tempo = Tempo(young=seconds(90), old=seconds(900))
    assert interval(CADENCE, seconds(0), tempo=tempo) == seconds(90)
    assert interval(CADENCE, YOUNG, tempo=tempo) == seconds(900)
    assert interval(CADENCE, YOUNG, failures=7, tempo=tempo) == seconds(900)
    assert interval(CADENCE, timedelta(days=8), tempo=tempo) == DAILY


tempos = st.builds(Tempo, st.sampled_from([1.0, 2.0, 4.0]), st.just(timedelta(0)), st.just(timedelta(0)))


@given(st.timedeltas(), st.integers(0, 10**9), tempos)
def test_every_interval_is_within_its_bounds(age: timedelta, failures: int, tempo: Tempo) -> None:
    wanted = interval(CADENCE, min(age, timedelta(days=10**6)), failures=failures, tempo=tempo)
    assert CADENCE.min_interval <= wanted <= CADENCE.max_interval or wanted == DAILY


@given(
    age=st.timedeltas(timedelta(0), timedelta(days=7)),
    stretch=st.sampled_from([1.0, 2.0, 4.0]),
    promised=st.integers(1, 900),
    floor=st.integers(0, 10**6),
)
def test_a_young_interval_never_exceeds_the_promise_but_for_the_rate_limit_and_the_settings(
    age: timedelta, stretch: float, promised: int, floor: int
) -> None:
    schedule = Schedule(max_staleness=seconds(promised))
    free = interval(schedule, age, tempo=Tempo(stretch))
    held = interval(schedule, age, tempo=Tempo(stretch, seconds(floor), seconds(floor)))
    assert held == max(free, seconds(floor))
    if age < YOUNG:
        assert free <= max(0.9 * seconds(promised), schedule.min_interval)


# How far webhooks are trusted


def test_trust_grows_with_the_ends_in_a_row_that_webhooks_reported() -> None:
    by_length = [webhook_stretch([Source.WEBHOOK] * ends) for ends in range(12)]
    assert by_length == [1.0] * 5 + [2.0] * 5 + [4.0] * 2


def test_one_end_found_otherwise_takes_all_trust_away_and_it_has_to_be_earned_anew() -> None:
    for found_by in [source for source in Source if source is not Source.WEBHOOK]:
        assert webhook_stretch([Source.WEBHOOK] * 19 + [found_by]) == 1.0
        assert webhook_stretch([Source.WEBHOOK] * 14 + [found_by] + [Source.WEBHOOK] * 4) == 1.0
        assert webhook_stretch([Source.WEBHOOK] * 14 + [found_by] + [Source.WEBHOOK] * 5) == 2.0


# After a poll


@pytest.mark.parametrize("status", [PENDING, RUNNING])
def test_an_open_one_is_asked_about_again_about_an_interval_later(status: Status) -> None:
    old = translation(created_at=after(-1800))
    assert seconds(60) * (1 - JITTER) <= wait(old, poll(status)) <= seconds(60) * (1 + JITTER)


def test_what_was_created_together_is_spread() -> None:
    waits = {wait(translation(id=number, created_at=after(-1800)), poll(RUNNING)) for number in range(50)}
    assert len(waits) == 50


def test_the_same_question_gets_the_same_date() -> None:
    old = translation(created_at=after(-1800))
    assert due(old, poll(RUNNING)) == due(old, poll(RUNNING))


def test_heygens_own_time_of_creation_counts_as_its_age() -> None:
    known_late = translation(created_at=NOON, provider_created_at=after(-7200))
    assert wait(known_late, poll(RUNNING)) > seconds(200)


def test_a_very_old_open_one_is_asked_about_once_a_day() -> None:
    assert wait(translation(created_at=after(days=-8)), poll(RUNNING)) == DAILY


def test_a_success_without_a_url_is_asked_about_again_after_thirty_seconds() -> None:
    change = Change(RUNNING, SUCCESS)
    then = due(translation(status=RUNNING), poll(SUCCESS), change, Attention.URL_MISSING)
    assert then == after(30)


def test_and_then_with_back_off_and_then_daily_and_never_given_up() -> None:
    waits = []
    for since_end in (10, 120, 3600, 8 * 86400):
        ended = translation(status=SUCCESS, finished_at=after(-since_end))
        then = due(ended, poll(SUCCESS), None, Attention.URL_MISSING, failures=99)
        assert then is not None
        waits.append(then - NOON)
    assert waits == [seconds(30), seconds(120), seconds(600), DAILY]


def test_an_end_that_the_status_endpoint_told_is_not_asked_about_again() -> None:
    assert due(translation(status=RUNNING), poll(SUCCESS), Change(RUNNING, SUCCESS)) is None
    assert due(translation(status=FAILED, finished_at=NOON), poll(FAILED)) is None


@pytest.mark.parametrize("seen", [failed_poll(), poll(RUNNING)])
def test_an_end_that_only_a_webhook_told_is_confirmed_several_times(seen: Observation) -> None:
    ended = translation(status=SUCCESS, finished_at=NOON)
    assert due(ended, seen, failures=CONFIRMATIONS - 1) == after(30)
    assert due(ended, seen, failures=CONFIRMATIONS) is None


def test_a_conflict_is_asked_about_until_it_is_settled() -> None:
    ended = translation(status=SUCCESS, finished_at=after(-60))
    assert due(ended, failed_poll(), None, Attention.CONFLICT, failures=CONFIRMATIONS) == after(60)


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_an_end_that_a_bulk_answer_told_is_asked_about_at_once_for_its_fields(status: Status) -> None:
    seen = poll(status, partial=True)
    assert due(translation(status=RUNNING), seen, Change(RUNNING, status)) == NOON
    assert due(translation(status=status, finished_at=NOON), seen) == NOON


@pytest.mark.parametrize("status", [PENDING, RUNNING])
def test_a_bulk_answer_about_an_open_one_is_as_good_as_any(status: Status) -> None:
    current = translation(status=status, created_at=after(-1800))
    assert due(current, poll(status, partial=True)) == due(current, poll(status))


def test_a_due_time_that_was_set_while_we_asked_stays() -> None:
    hinted = translation(status=RUNNING, next_poll_at=after(1))
    assert due(hinted, poll(SUCCESS, partial=True), Change(RUNNING, SUCCESS)) == after(1)


@given(
    status=st.sampled_from(Status),
    said=st.none() | st.sampled_from(Status),
    attention=st.none() | st.sampled_from(Attention),
    age=st.integers(-(10**6), 10**8),
    since_end=st.none() | st.integers(-(10**6), 10**8),
    failures=st.integers(0, 10**6),
    number=st.integers(1, 10**9),
)
def test_a_poll_is_never_due_in_the_past_and_always_within_the_bounds(
    status: Status,
    said: Status | None,
    attention: Attention | None,
    age: int,
    since_end: int | None,
    failures: int,
    number: int,
) -> None:
    finished = None if since_end is None else after(-since_end)
    current = translation(id=number, status=status, created_at=after(-age), finished_at=finished)
    then = due(current, observation(status=said), None, attention, failures=failures)
    if then is None:
        assert status.is_final
    else:
        assert CADENCE.min_interval <= then - NOON <= CADENCE.max_interval or then - NOON == DAILY


# After somebody told us something


def test_an_end_told_by_a_webhook_is_confirmed_at_once() -> None:
    waiting = translation(status=RUNNING, next_poll_at=after(500))
    assert due(waiting, webhook(SUCCESS), Change(RUNNING, SUCCESS)) == NOON


def test_an_overdue_poll_is_not_put_off() -> None:
    waiting = translation(status=RUNNING, next_poll_at=after(-5))
    assert due(waiting, webhook(SUCCESS), Change(RUNNING, SUCCESS)) == after(-5)


def test_a_reopened_one_is_asked_about_at_once() -> None:
    ended = translation(status=FAILED, next_poll_at=None)
    assert due(ended, observation(Source.MANUAL, PENDING), Change(FAILED, PENDING, "note")) == NOON


def test_a_repeated_webhook_leaves_the_due_time_alone() -> None:
    assert due(translation(status=SUCCESS, next_poll_at=None), webhook(SUCCESS)) is None
    assert due(translation(status=SUCCESS, next_poll_at=after(30)), webhook(SUCCESS)) == after(30)


def test_a_hint_brings_the_next_poll_of_an_open_one_forward() -> None:
    assert due(translation(next_poll_at=after(500)), observation(Source.WEBHOOK, hint=True)) == NOON


def test_a_hint_about_an_ended_one_does_nothing() -> None:
    ended = translation(status=SUCCESS, next_poll_at=None)
    assert due(ended, observation(Source.WEBHOOK, hint=True)) is None


def test_a_person_has_an_ended_one_polled_too() -> None:
    ended = translation(status=SUCCESS, next_poll_at=None)
    assert due(ended, observation(Source.MANUAL, hint=True)) == NOON


def test_a_new_conflict_is_asked_about_at_once_and_an_old_one_as_planned() -> None:
    ended = translation(status=SUCCESS, next_poll_at=None)
    known = translation(status=SUCCESS, next_poll_at=after(60), attention=Attention.CONFLICT)
    assert due(ended, webhook(FAILED), None, Attention.CONFLICT) == NOON
    assert due(known, webhook(FAILED), None, Attention.CONFLICT) == after(60)


# Probes of a shut account


def test_probes_come_ever_more_rarely() -> None:
    waits = [probe_after(CADENCE, attempt).total_seconds() for attempt in (0, 1, 2, 4, 5, 10**6)]
    assert waits == [15, 30, 60, 240, 300, 300]


def test_probes_respect_the_bounds_of_the_settings() -> None:
    quick = Schedule(min_interval=seconds(1), max_interval=seconds(4))
    assert [probe_after(quick, attempt).total_seconds() for attempt in (0, 1, 2, 3)] == [1, 2, 4, 4]


def test_back_off_doubles_from_the_first_wait_to_the_longest() -> None:
    first, longest = timedelta(seconds=15), timedelta(minutes=10)

    waits = [back_off(failures, first, longest).total_seconds() for failures in (0, 1, 2, 3, 6, 7, 10_000)]

    assert waits == [15, 15, 30, 60, 480, 600, 600]
