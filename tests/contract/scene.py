"""What one test text needs of each store: its port, and another hand on the same rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from tests.builders import NOON
from tests.fake_intake import with_columns
from tests.fake_store import FakeStore
from tests.fakes import FakeClock
from tracker.domain.observation import Details
from tracker.domain.status import Attention, Status
from tracker.domain.translation import Translation
from tracker.polling.poller import PollingStore
from tracker.ports import Claim, Memory


class PortedStore(PollingStore, Memory, Protocol):
    """What the fake promises: all that the core asks, without pages, retention and submissions."""


class Scene(Protocol):
    """A store that stands at noon until its clock is moved, and what another program sees and does."""

    @property
    def store(self) -> PortedStore: ...

    @property
    def clock(self) -> FakeClock: ...

    def put(self, **columns: Any) -> None:
        """Insert a translation, tracked and due since noon where `columns` say nothing else."""
        ...

    def change(self, *video_translate_ids: str | None, **columns: Any) -> None:
        """Update these translations."""
        ...

    def rows(self) -> list[dict[str, Any]]:
        """The translations by column name, ordered by id."""
        ...

    def changes(self) -> list[tuple[str, str, str]]:
        """Old status, new status and source of each change, oldest first."""
        ...

    def deliveries(self) -> list[dict[str, Any]]:
        """signed_by, outcome, error and times_received of each delivery, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class FakeScene:
    """The fake, and what it holds as a database would show it."""

    store: FakeStore
    clock: FakeClock

    def put(self, **columns: Any) -> None:
        number = max(self.store.rows, default=0) + 1
        new = Translation(
            id=number,
            video_translate_id=None,
            callback_id=None,
            status=Status.PENDING,
            created_at=NOON,
            next_poll_at=NOON,
        )
        self._write(new, columns)

    def change(self, *video_translate_ids: str | None, **columns: Any) -> None:
        for row in list(self.store.rows.values()):
            if row.video_translate_id in video_translate_ids:
                self._write(row, columns)

    def _write(self, row: Translation, columns: dict[str, Any]) -> None:
        words: dict[str, type[StrEnum]] = {"status": Status, "attention": Attention}
        typed: dict[str, Any] = {
            name: words[name](value) if name in words and value is not None else value
            for name, value in columns.items()
        }
        if polled_at := typed.pop("last_polled_at", None):
            self.store.tables.polled[row.id] = polled_at
        known = {field.name for field in (*fields(Translation), *fields(Details))}
        assert typed.keys() <= known, f"the fake has no column {typed.keys() - known}"
        self.store.rows[row.id] = with_columns(row, typed)

    def rows(self) -> list[dict[str, Any]]:
        return [self._shown(row) for _, row in sorted(self.store.rows.items())]

    def _shown(self, row: Translation) -> dict[str, Any]:
        columns = asdict(row)
        held: Claim | None = self.store.claims.get(row.id)
        return {
            **columns,
            **columns.pop("details"),
            "last_polled_at": self.store.tables.polled.get(row.id),
            "claimed_by": held and held.owner,
            "claimed_until": held and held.until,
        }

    def changes(self) -> list[tuple[str, str, str]]:
        return [(one.change.old, one.change.new, one.source) for one in self.store.tables.changes]

    def deliveries(self) -> list[dict[str, Any]]:
        return [
            {
                "signed_by": kept.told.signed_by,
                "outcome": kept.outcome,
                "error": kept.told.error,
                "times_received": kept.times_received,
            }
            for kept in self.store.tables.deliveries.values()
        ]


@contextmanager
def open_fake() -> Iterator[FakeScene]:
    clock = FakeClock()
    yield FakeScene(FakeStore(clock), clock)
