"""The count of what HeyGen's routes were asked, and of what they answered."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Requests:
    """What clients asked for; answers by their kind: `ok`, `not_found`, `retired`, or the name of the fault.

    The status_ counters are about questions for one id, in both dialects, the statuses_ ones about bulks.
    `files_with_secrets`: requests for files with a key or a cookie; `file_bytes`: bytes sent of files.
    `shortest_gap`: real seconds between two questions about one id, of whichever kind; None: no two came.
    """

    create_total: int = 0
    status_total: int = 0
    status_by_id: Counter[str] = field(default_factory=Counter)
    status_by_answer: Counter[str] = field(default_factory=Counter)
    status_in_flight: Counter[str] = field(default_factory=Counter)
    status_in_flight_max: int = 0
    status_overlaps: int = 0
    statuses_ids_total: int = 0
    statuses_by_id: Counter[str] = field(default_factory=Counter)
    shortest_gap: float | None = None
    files_with_secrets: int = 0
    file_bytes: int = 0
    asked_at: dict[str, float] = field(default_factory=dict)
    by_route: Counter[str] = field(default_factory=Counter)
    answers_by_route: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @contextmanager
    def status(self, video_translate_id: str) -> Iterator[None]:
        """Counts one status request, and whether one for the same id was still in flight."""
        self.status_total += 1
        self.status_by_id[video_translate_id] += 1
        self._measure_gap(video_translate_id)
        self.status_overlaps += self.status_in_flight[video_translate_id] > 0
        self.status_in_flight[video_translate_id] += 1
        self.status_in_flight_max = max(self.status_in_flight_max, self.status_in_flight.total())
        try:
            yield
        finally:
            self.status_in_flight[video_translate_id] -= 1
            if not self.status_in_flight[video_translate_id]:
                del self.status_in_flight[video_translate_id]  # so that the total stays quick

    def statuses(self, ids: list[str]) -> None:
        self.statuses_ids_total += len(ids)
        self.statuses_by_id.update(ids)
        for one in ids:
            self._measure_gap(one)

    def _measure_gap(self, video_translate_id: str) -> None:
        now = time.monotonic()
        if (before := self.asked_at.get(video_translate_id)) is not None:
            self.shortest_gap = min(now - before, self.shortest_gap or now - before)
        self.asked_at[video_translate_id] = now

    def as_dict(self) -> dict[str, Any]:
        return {
            "create_total": self.create_total,
            "status_total": self.status_total,
            "status_by_id": dict(self.status_by_id),
            "status_by_answer": dict(self.status_by_answer),
            "status_in_flight_max": self.status_in_flight_max,
            "status_overlaps": self.status_overlaps,
            "statuses_ids_total": self.statuses_ids_total,
            "statuses_by_id": dict(self.statuses_by_id),
            "shortest_gap": self.shortest_gap,
            "files_with_secrets": self.files_with_secrets,
            "file_bytes": self.file_bytes,
            "by_route": dict(self.by_route),
            "answers_by_route": {route: dict(answers) for route, answers in self.answers_by_route.items()},
        }
