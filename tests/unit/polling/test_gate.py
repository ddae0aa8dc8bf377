"""The gate of the account."""

from datetime import timedelta

import pytest

from tests.builders import NOON, after
from tracker.domain.schedule import Schedule
from tracker.polling.gate import Gate, Reason


def gate() -> Gate:
    return Gate(Schedule(min_interval=timedelta(seconds=15), max_interval=timedelta(seconds=600)))


def test_an_open_gate_lets_through_all_that_is_wanted() -> None:
    assert [gate().room(NOON, wanted) for wanted in (0, 1, 10)] == [0, 1, 10]


@pytest.mark.parametrize("reason", [Reason.KEY_REJECTED, Reason.QUOTA_EXCEEDED, Reason.RATE_LIMITED])
def test_a_shut_one_lets_nothing_through_and_then_one_probe(reason: Reason) -> None:
    shut = gate()
    assert shut.shut(reason, NOON) == after(15)
    assert (shut.reason, shut.until) == (reason, after(15))
    assert [shut.room(after(seconds), 10) for seconds in (0, 14.9, 15, 99)] == [0, 0, 1, 1]
    assert shut.room(after(15), 0) == 0


def test_without_an_api_key_it_never_opens() -> None:
    keyless = Gate(Schedule(), reason=Reason.NO_API_KEY)
    assert [keyless.room(NOON, 10), keyless.room(after(days=365), 1)] == [0, 0]


def test_heygens_own_delay_is_obeyed() -> None:
    assert gate().shut(Reason.RATE_LIMITED, NOON, retry_after=3) == after(3)
    assert gate().shut(Reason.RATE_LIMITED, NOON, retry_after=3600) == after(3600)


def test_a_delay_of_nothing_is_none() -> None:
    assert gate().shut(Reason.RATE_LIMITED, NOON, retry_after=0) == after(15)


def test_each_probe_that_fails_is_followed_by_a_longer_rest() -> None:
    shut, rests = gate(), []
    now = NOON
    for _ in range(6):
        until = shut.shut(Reason.KEY_REJECTED, now)
        rests.append((until - now).total_seconds())
        now = until
    assert rests == [15, 30, 60, 120, 240, 300]


def test_many_refusals_at_once_count_as_one() -> None:
    shut = gate()
    assert {shut.shut(Reason.KEY_REJECTED, after(number)) for number in range(10)} == {after(15)}
    assert shut.failed_probes == 1


def test_of_many_delays_at_once_the_longest_is_obeyed() -> None:
    shut = gate()
    delays = [60, 5, 90, None]
    untils = [shut.shut(Reason.RATE_LIMITED, NOON, retry_after=delay) for delay in delays]
    assert untils == [after(60), after(60), after(90), after(90)]


def test_what_was_in_flight_cannot_hide_a_graver_reason() -> None:
    shut = gate()
    shut.shut(Reason.KEY_REJECTED, NOON)
    shut.shut(Reason.RATE_LIMITED, after(1), retry_after=60)
    assert (shut.reason, shut.until) == (Reason.KEY_REJECTED, after(61))


def test_the_latest_reason_is_told() -> None:
    shut = gate()
    shut.shut(Reason.RATE_LIMITED, NOON)
    shut.shut(Reason.KEY_REJECTED, after(1))
    assert shut.reason is Reason.KEY_REJECTED


def test_a_probe_that_works_opens_it_and_forgets_the_failures() -> None:
    shut = gate()
    shut.shut(Reason.KEY_REJECTED, NOON)
    assert shut.open(after(15)) is Reason.KEY_REJECTED
    assert (shut.reason, shut.until, shut.room(after(15), 10)) == (None, None, 10)
    assert shut.shut(Reason.KEY_REJECTED, after(16)) == after(31)


def test_an_answer_to_an_older_question_does_not_open_it() -> None:
    shut = gate()
    shut.shut(Reason.RATE_LIMITED, NOON, retry_after=60)
    assert shut.open(after(-1)) is None
    assert shut.open(after(59)) is None
    assert (shut.reason, shut.room(after(59), 10)) == (Reason.RATE_LIMITED, 0)


def test_an_open_one_has_nothing_to_open() -> None:
    assert gate().open(NOON) is None


def test_where_the_key_was_rejected_another_one_may_be_tried_at_once() -> None:
    shut = gate()
    for seconds in (0, 15, 45):
        shut.shut(Reason.KEY_REJECTED, after(seconds))
    shut.try_now(after(46))
    assert [shut.room(after(46), wanted) for wanted in (0, 10)] == [0, 1]
    assert shut.shut(Reason.KEY_REJECTED, after(46)) == after(61)  # as after the first failure


def test_its_probe_opens_it() -> None:
    shut = gate()
    shut.shut(Reason.KEY_REJECTED, NOON)
    shut.try_now(after(1))
    assert shut.open(after(1)) is Reason.KEY_REJECTED
    assert shut.room(after(1), 10) == 10


@pytest.mark.parametrize("reason", [Reason.QUOTA_EXCEEDED, Reason.RATE_LIMITED])
def test_for_other_reasons_it_rests_as_before(reason: Reason) -> None:
    shut = gate()
    shut.shut(reason, NOON, retry_after=60)
    shut.try_now(after(1))
    assert (shut.reason, shut.until, shut.room(after(59), 10)) == (reason, after(60), 0)


def test_an_open_one_and_one_without_a_key_stay_as_they_are() -> None:
    still_open, keyless = gate(), Gate(Schedule(), reason=Reason.NO_API_KEY)
    still_open.try_now(NOON)
    keyless.try_now(NOON)
    assert [still_open.room(NOON, 10), keyless.room(NOON, 10)] == [10, 0]
