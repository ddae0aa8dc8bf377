"""What the status endpoint answers in place of the truth, and the count of what it answered."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tracker.simulator.scenario import Scenario

RandomFault = Literal["500", "html", "empty", "truncated", "429", "hang"]
Fault = Literal["500", "html", "empty", "truncated", "429", "hang", "not_found", "unauthorized"]

RANDOM_RETRY_AFTER = 1


class Faults:
    """Decides which status answers go wrong: all of them when a fault is forced, else some by chance."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = random.Random(f"{scenario.seed}:faults")
        self.forced: Fault | None = None
        self.retry_after = RANDOM_RETRY_AFTER

    def force(self, fault: Fault | None, retry_after: int = RANDOM_RETRY_AFTER) -> None:
        self.forced, self.retry_after = fault, retry_after

    def next(self) -> Fault | None:
        # Drawn even when forced, so that forcing one answer does not move the later ones.
        unlucky = self._chance.random() < self._scenario.error_rate
        fault: RandomFault = self._chance.choice(get_args(RandomFault))
        return self.forced or (fault if unlucky else None)

    def latency(self) -> float:
        """Seconds to wait before the next status answer."""
        return self._chance.uniform(*self._scenario.latency_seconds)


@dataclass
class Requests:
    """What clients asked for; status answers by their kind: `ok`, or the name of the fault."""

    create_total: int = 0
    status_total: int = 0
    status_by_id: Counter[str] = field(default_factory=Counter)
    status_by_answer: Counter[str] = field(default_factory=Counter)
    status_in_flight: Counter[str] = field(default_factory=Counter)
    status_in_flight_max: int = 0
    status_overlaps: int = 0

    @contextmanager
    def status(self, video_translate_id: str) -> Iterator[None]:
        """Counts one status request, and whether one for the same id was still in flight."""
        self.status_total += 1
        self.status_by_id[video_translate_id] += 1
        self.status_overlaps += self.status_in_flight[video_translate_id] > 0
        self.status_in_flight[video_translate_id] += 1
        self.status_in_flight_max = max(self.status_in_flight_max, self.status_in_flight.total())
        try:
            yield
        finally:
            self.status_in_flight[video_translate_id] -= 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "create_total": self.create_total,
            "status_total": self.status_total,
            "status_by_id": dict(self.status_by_id),
            "status_by_answer": dict(self.status_by_answer),
            "status_in_flight_max": self.status_in_flight_max,
            "status_overlaps": self.status_overlaps,
        }
