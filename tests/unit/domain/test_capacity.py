"""Whether max_staleness fits into the rate limit."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.capacity import LEAST_FOR_OLD, CapacityPlan, plan_capacity
from tracker.domain.schedule import Schedule

CADENCE = Schedule()  # 15 s to 10 min, max_staleness 60 s, of which 54 s are planned
ROUNDING = 1 + 1e-5  # a timedelta ends at the microsecond

counts = st.integers(0, 10**6)
capacities = st.floats(0.001, 10_000)
cadences = st.builds(
    Schedule,
    min_interval=st.integers(1, 600).map(lambda value: timedelta(seconds=value)),
    max_staleness=st.integers(1, 600).map(lambda value: timedelta(seconds=value)),
)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def load(schedule: Schedule, young: int, old: int, planned: CapacityPlan) -> float:
    """Translations a second that are asked about as eagerly as the settings and the plan allow."""
    waits = ((young, planned.young), (old, planned.old))
    return sum(count / max(wait, schedule.min_interval).total_seconds() for count, wait in waits)


def test_few_translations_are_held_back_by_nothing_that_matters() -> None:
    assert plan_capacity(CADENCE, 0, 0, 5.0) == CapacityPlan(
        seconds(0), seconds(0), seconds(54), is_kept=True
    )
    assert plan_capacity(CADENCE, 10, 10, 5.0) == CapacityPlan(
        seconds(4), seconds(4), seconds(54), is_kept=True
    )


def test_all_wait_alike_as_long_as_that_keeps_the_promise() -> None:
    assert plan_capacity(CADENCE, 100, 170, 5.0) == CapacityPlan(
        seconds(54), seconds(54), seconds(54), is_kept=True
    )


def test_then_the_old_ones_wait_for_the_young() -> None:
    planned = plan_capacity(CADENCE, 216, 1000, 5.0)  # the young take 4 a second
    assert planned == CapacityPlan(seconds(54), seconds(1000), seconds(54), is_kept=True)


def test_but_a_tenth_is_always_left_for_them_and_then_all_wait_alike() -> None:
    assert plan_capacity(CADENCE, 243, 100, 5.0).is_kept
    assert plan_capacity(CADENCE, 244, 100, 5.0) == CapacityPlan(
        seconds(68.8), seconds(68.8), seconds(68.8), is_kept=False
    )


def test_alone_the_young_ones_may_have_everything() -> None:
    assert plan_capacity(CADENCE, 270, 0, 5.0).is_kept
    assert plan_capacity(CADENCE, 300, 0, 5.0) == CapacityPlan(
        seconds(60), seconds(60), seconds(60), is_kept=True
    )
    assert plan_capacity(CADENCE, 301, 0, 5.0) == CapacityPlan(
        seconds(60.2), seconds(60.2), seconds(60.2), is_kept=False
    )


def test_settings_that_forbid_the_promise_do_not_keep_it_even_where_nothing_is_open() -> None:
    slow = Schedule(min_interval=seconds(61), max_staleness=seconds(60))
    assert plan_capacity(slow, 0, 0, 5.0) == CapacityPlan(seconds(0), seconds(0), seconds(61), is_kept=False)
    assert plan_capacity(Schedule(min_interval=seconds(60)), 0, 0, 5.0).is_kept


def test_ten_thousand_fit_into_bulk_questions_and_not_into_single_ones() -> None:
    for young, old in [(10_000, 0), (5_000, 5_000), (0, 10_000)]:
        assert plan_capacity(CADENCE, young, old, 5.0 * 100 * 0.5).is_kept
        assert plan_capacity(CADENCE, young, old, 5.0 * 0.9).is_kept == (young == 0)


@given(cadences, counts, counts, capacities)
def test_the_load_never_exceeds_the_capacity(
    schedule: Schedule, young: int, old: int, capacity: float
) -> None:
    planned = plan_capacity(schedule, young, old, capacity)
    assert load(schedule, young, old, planned) <= capacity * ROUNDING


@given(cadences, counts, counts, capacities)
def test_the_promise_is_kept_exactly_where_the_staleness_is_within_it(
    schedule: Schedule, young: int, old: int, capacity: float
) -> None:
    planned = plan_capacity(schedule, young, old, capacity)
    assert planned.is_kept == (planned.staleness <= schedule.max_staleness)
    assert planned.staleness == max(planned.young, schedule.min_interval, 0.9 * schedule.max_staleness)
    if schedule.min_interval > schedule.max_staleness:
        assert not planned.is_kept


@given(cadences, counts, counts, capacities)
def test_the_young_never_wait_longer_than_the_old_and_the_old_are_never_forgotten(
    schedule: Schedule, young: int, old: int, capacity: float
) -> None:
    planned = plan_capacity(schedule, young, old, capacity)
    assert planned.young <= planned.old
    assert planned.old.total_seconds() <= (young + old) / (capacity * LEAST_FOR_OLD) * ROUNDING + 1e-5


@given(cadences, counts, counts, capacities)
def test_a_promise_that_is_not_kept_could_not_be(
    schedule: Schedule, young: int, old: int, capacity: float
) -> None:
    """Even with all but the tenth that the old ones keep."""
    if (
        not plan_capacity(schedule, young, old, capacity).is_kept
        and schedule.longest_while_young < schedule.max_staleness
    ):
        room = 1 - LEAST_FOR_OLD if old else 1
        needed = young / schedule.longest_while_young.total_seconds()
        assert needed * ROUNDING >= capacity * room or not young
