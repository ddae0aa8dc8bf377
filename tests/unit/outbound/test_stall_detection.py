"""A slow host is waited for as long as enough comes of it."""

from tracker.outbound.stall_detection import Patience, PollLimits

PATIENCE = Patience(least=100, window=10)


def test_a_trickle_above_the_least_rate_is_waited_for() -> None:
    limits = PollLimits(PATIENCE)
    assert all(limits.suffices(100, 1) for _ in range(1000))


def test_a_trickle_below_it_is_not() -> None:
    limits = PollLimits(PATIENCE)
    assert [limits.suffices(99, 1) for _ in range(10)] == [True] * 9 + [False]


def test_each_window_counts_for_itself() -> None:
    limits = PollLimits(PATIENCE)
    assert limits.suffices(1_000_000, 10)
    assert not limits.suffices(999, 10)


def test_time_that_the_host_is_not_waited_for_does_not_count() -> None:
    limits = PollLimits(PATIENCE)
    assert all(limits.suffices(1, 0) for _ in range(10_000))
