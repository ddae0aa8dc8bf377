"""Whether max_staleness fits into the rate limit, and which polls become slower if it does not."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.schedule import Schedule

LEAST_FOR_OLD = 0.1  # of the capacity is reserved for translations that are not young


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The shortest intervals that the rate limit allows, by age.

    `staleness` is the longest time between two polls of a young translation; `is_kept` says whether it is
    within max_staleness.
    """

    young: timedelta
    old: timedelta
    staleness: timedelta
    is_kept: bool


def plan_capacity(schedule: Schedule, young: int, old: int, capacity: float) -> CapacityPlan:
    """Share `capacity`, in translations per second, among `young` and `old` open translations.

    All get the same interval while that keeps max_staleness; beyond that the old ones wait longer; if even
    that is too much, all do.
    """
    longest = schedule.longest_while_young
    equal = timedelta(seconds=(young + old) / capacity)
    if equal <= longest:
        return _plan(schedule, equal, equal)
    left = capacity - young / longest.total_seconds()
    if left >= capacity * LEAST_FOR_OLD:
        return _plan(schedule, longest, timedelta(seconds=old / left))
    return _plan(schedule, equal, equal)


def _plan(schedule: Schedule, young: timedelta, old: timedelta) -> CapacityPlan:
    staleness = max(young, schedule.longest_while_young)
    return CapacityPlan(young, old, staleness, is_kept=staleness <= schedule.max_staleness)
