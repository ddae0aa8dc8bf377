"""Stand-ins for the ports: a HeyGen that obeys, a clock that stands still."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.builders import NOON, observation
from tracker.domain.observation import Observation, Problem, ProblemKind
from tracker.domain.status import Status
from tracker.errors import NotFoundError, StoreError

STORE_IS_DOWN = StoreError("database error: disk I/O error")


class FakeClock:
    """Stands at noon until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeFigures:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.links: Counter[tuple[str, bool]] = Counter()
        self.changes: Counter[tuple[str, str]] = Counter()
        self.deliveries: Counter[tuple[str, bool]] = Counter()
        self.polls: Counter[str] = Counter()
        self._news = asyncio.Event()

    def changed(self, new_status: str, source: str) -> None:
        self.changes[new_status, source] += 1

    def delivered(self, outcome: str, *, duplicate: bool) -> None:
        self.deliveries[outcome, duplicate] += 1

    def link_renewed(self, cause: str) -> None:
        self.links[cause, True] += 1

    def link_not_renewed(self, cause: str) -> None:
        self.links[cause, False] += 1

    def polled(self, outcome: str) -> None:
        self.polls[outcome] += 1
        self._news.set()

    async def until(self, outcome: str, times: int = 1) -> None:
        """Wait until so many polls had this outcome."""
        while self.polls[outcome] < times:
            self._news.clear()
            await self._news.wait()


class FakeHeyGen:
    """Answers `every`, or what `answers` holds for an id, once `gate` (and its event in `slow`) is set."""

    def __init__(self, **answers: Status | Exception) -> None:
        self.answers: dict[str, Status | Exception] = dict(answers)
        self.every: Status | str | Exception = Status.RUNNING
        self.gate: asyncio.Event | None = None
        self.slow: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.asked_at: list[datetime] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.begun = asyncio.Event()
        self.before_answering: Callable[[str], None] = lambda _id: None
        self.api = "v2"
        self.batch_size = 1
        self.bulk_answer: Exception | None = None
        self.before_refusing: Callable[[], None] = lambda: None
        self.asked_together: list[list[str]] = []

    async def fetch_many(self, video_translate_ids: Sequence[str], at: datetime) -> list[Observation]:
        """As `fetch`, without urls, and about many; `bulk_answer` is raised where there is one."""
        self.asked_together.append(list(video_translate_ids))
        if self.bulk_answer is not None:
            self.before_refusing()
            raise self.bulk_answer
        return [await self._status(one, at) for one in video_translate_ids]

    async def until_asked(self, questions: int) -> None:
        """Wait until so many questions are in flight."""
        async with asyncio.timeout(10.0):
            while self.in_flight < questions:
                self.begun.clear()
                await self.begun.wait()

    async def _status(self, video_translate_id: str, at: datetime) -> Observation:
        try:
            return replace(await self.fetch(video_translate_id, at), partial=True)
        except NotFoundError as error:
            problem = Problem(ProblemKind.NOT_FOUND, str(error))
            return observation(
                video_translate_id=video_translate_id, observed_at=at, problem=problem, provider_status=None
            )

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        self.asked.append(video_translate_id)
        self.asked_at.append(at)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.begun.set()
        try:
            await asyncio.sleep(0)  # a request takes a turn of the loop at least
            for event in (self.gate, self.slow.get(video_translate_id)):
                if event is not None:
                    await event.wait()
        finally:
            self.in_flight -= 1
        self.before_answering(video_translate_id)
        said = self.answers.get(video_translate_id, self.every)
        if isinstance(said, Exception):
            raise said
        return observation(
            status=said if isinstance(said, Status) else None,
            provider_status=str(said),
            video_translate_id=video_translate_id,
            observed_at=at,
        )
