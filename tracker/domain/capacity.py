"""Whether the promise of max_staleness fits into the rate limit, and what gives way where it does not."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.schedule import Cadence

LEAST_FOR_OLD = 0.1  # of the capacity is always left for translations that are not young


@dataclass(frozen=True, slots=True)
class Plan:
    """The shortest intervals that the rate limit allows, by age.

    `staleness` is how long a young translation may go without being asked about; `is_kept` tells
    whether that is what max_staleness promises.
    """

    young: timedelta
    old: timedelta
    staleness: timedelta
    is_kept: bool


def plan(cadence: Cadence, young: int, old: int, capacity: float) -> Plan:
    """Share `capacity`, in translations a second, among so many `young` and `old` open ones.

    All alike as long as that keeps the promise; then the old ones wait longer; then all do.
    """
    promised = cadence.longest_while_young
    alike = timedelta(seconds=(young + old) / capacity)
    if alike <= promised:
        return _planned(cadence, alike, alike)
    left = capacity - young / promised.total_seconds()
    if left >= capacity * LEAST_FOR_OLD:
        return _planned(cadence, promised, timedelta(seconds=old / left))
    return _planned(cadence, alike, alike)


def _planned(cadence: Cadence, young: timedelta, old: timedelta) -> Plan:
    staleness = max(young, cadence.longest_while_young)
    return Plan(young, old, staleness, is_kept=staleness <= cadence.max_staleness)
