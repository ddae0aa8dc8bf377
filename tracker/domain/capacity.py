"""Whether the promise of max_staleness fits into the rate limit, and what gives way where it does not."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.schedule import Schedule

LEAST_FOR_OLD = 0.1  # of the capacity is always left for translations that are not young


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The shortest intervals that the rate limit allows, by age.

    `staleness` is how long a young translation may go without being asked about; `is_kept` tells
    whether that is what max_staleness promises.
    """

    young: timedelta
    old: timedelta
    staleness: timedelta
    is_kept: bool


def plan_capacity(schedule: Schedule, young: int, old: int, capacity: float) -> CapacityPlan:
    """Share `capacity`, in translations a second, among so many `young` and `old` open ones.

    All alike as long as that keeps the promise; then the old ones wait longer; then all do.
    """
    promised = schedule.longest_while_young
    alike = timedelta(seconds=(young + old) / capacity)
    if alike <= promised:
        return _planned(schedule, alike, alike)
    left = capacity - young / promised.total_seconds()
    if left >= capacity * LEAST_FOR_OLD:
        return _planned(schedule, promised, timedelta(seconds=old / left))
    return _planned(schedule, alike, alike)


def _planned(schedule: Schedule, young: timedelta, old: timedelta) -> CapacityPlan:
    staleness = max(young, schedule.longest_while_young)
    return CapacityPlan(young, old, staleness, is_kept=staleness <= schedule.max_staleness)
