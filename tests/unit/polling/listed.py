"""A listing of HeyGen's that obeys, over a real store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.builders import after, observation
from tests.databases import write_migrated
from tests.fakes import FakeClock, FakeFigures
from tracker.domain.cadence import Cadence
from tracker.domain.observation import Observation
from tracker.domain.status import Source, Status
from tracker.ports import Page, Record
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository
from tracker.tracking import Tracker


@dataclass
class FakeListing:
    """Pages by token, the first under None; an exception is raised. `before` is called with each token."""

    pages: dict[str | None, Page | Exception] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)
    before: Callable[[str | None], None] = lambda _token: None

    async def page(self, token: str | None, at: datetime) -> Page:
        self.asked.append(token)
        self.before(token)
        said = self.pages[token]
        if isinstance(said, Exception):
            raise said
        return replace(said, observations=[replace(one, observed_at=at) for one in said.observations])

    def of(self, *pages: Page | Exception) -> None:
        """These pages, one after the other: None, t1, t2, ..."""
        tokens: list[str | None] = [None, *(f"t{number}" for number in range(1, len(pages)))]
        self.pages = {
            token: replace(page, next_token=page.next_token or following) if isinstance(page, Page) else page
            for token, page, following in zip(tokens, pages, [*tokens[1:], None], strict=True)
        }


def listed(
    name: str | None, status: Status | None = Status.RUNNING, age: float = 0, **more: Any
) -> Observation:
    """A row of the list, created `age` seconds before noon."""
    return observation(
        Source.LIST,
        status,
        video_translate_id=name,
        provider_status=status and str(status),
        provider_created_at=after(-age),
        **more,
    )


def logged(
    name: str, age: float | None = 0, status: Status | None = Status.SUCCESS, **more: Any
) -> Observation:
    """An entry of the log about something `age` seconds before noon; None: it has no time."""
    return observation(
        Source.EVENT_LOG,
        status,
        video_translate_id=name,
        provider_status=status and str(status),
        occurred_at=None if age is None else after(-age),
        **more,
    )


def page(*seen: Observation, **more: Any) -> Page:
    """A page with the times of its observations."""
    times = [one.occurred_at or one.details.provider_created_at for one in seen]
    return Page(seen, **{"times": [time for time in times if time is not None], **more})


@dataclass
class House:
    """A store on SQLite with the one door, a clock that stands at noon, and a listing."""

    engines: Engines
    clock: FakeClock
    store: Repository
    tracker: Tracker
    listing: FakeListing

    async def track(self, *ids: str, callback_id: str | None = None, age: float = 3600) -> None:
        at = after(-age)
        told = [
            observation(
                Source.MANUAL, observed_at=at, video_translate_id=one or None, callback_id=callback_id
            )
            for one in ids
        ]
        await self.tracker.register(told)

    async def record(self, *seen: Observation) -> None:
        await self.tracker.record([Record(observation=one) for one in seen])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with self.engines.writer.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def statuses(self) -> dict[str, str]:
        return dict(self.sql("SELECT video_translate_id, status FROM translations ORDER BY id"))

    def poison(self, name: str) -> None:
        """The database refuses every write about this translation."""
        for what in ("INSERT", "UPDATE"):
            self.sql(
                f"CREATE TRIGGER poison_{what} BEFORE {what} ON translations "
                f"WHEN NEW.video_translate_id = '{name}' BEGIN SELECT RAISE(ABORT, 'poison'); END"
            )


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    write_migrated(folder / "tracker.db")
    engines = open_engines(f"sqlite:///{folder / 'tracker.db'}")
    clock = FakeClock()
    store = Repository(engines, clock)
    store.open()
    try:
        yield House(engines, clock, store, Tracker(store, Cadence(), FakeFigures()), FakeListing())
    finally:
        store.close()


def times(*ages: float) -> Sequence[datetime]:
    return [after(-age) for age in ages]
