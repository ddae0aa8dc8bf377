"""An archiver over a real database and a real folder, with a host and links that obey."""

import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.databases import write_migrated
from tests.integration.archive.hosts import Counted, FakeFiles, FakeLinks, MovingClock
from tracker.archive.archiver import ArchiveLimits, Archiver
from tracker.archive.downloader import Downloader
from tracker.archive.storage.folder import FolderStorage, Storage
from tracker.archive.throttle import Throttle
from tracker.domain.files.keys import KeyTemplate
from tracker.domain.links import LinkKind
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store.engine import open_engines
from tracker.store.repository import Repository

TEMPLATE = KeyTemplate.parse(
    "{finished_at:%Y/%m}/{title}-{output_language}-{video_translate_id}/{kind}.{extension}"
)
DEADLINE = 30.0
FILM = random.Random(7).randbytes(1_500_000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """All parts of an archive, and short ways to ask about them."""

    root: Path
    path: Path
    store: Repository
    clock: MovingClock
    files: FakeFiles = field(default_factory=lambda: FakeFiles(every=FILM))
    links: FakeLinks = field(default_factory=FakeLinks)
    counted: Counted = field(default_factory=Counted)
    limits: ArchiveLimits = field(default_factory=lambda: ArchiveLimits(2, None, 0))

    def archiver(self, storage: Storage | None = None, owner: str = "host:1") -> Archiver:
        return Archiver(
            self.store.files,
            Downloader(self.files, self.links, Throttle(self.limits.throttle)),
            storage or FolderStorage(self.root),
            TEMPLATE,
            self.clock,
            owner=owner,
            limits=self.limits,
            figures=self.counted,
        )

    async def end(self, name: str = "7544", **told: Any) -> int:
        """A translation that has succeeded; returns its number."""
        details = Details(**({"url": "https://files.example/v.mp4", "title": "Talk"} | told))
        seen = Observation(
            source=Source.POLL,
            observed_at=self.clock(),
            video_translate_id=name,
            status=Status.SUCCESS,
            details=details,
        )
        [recorded] = await self.store.apply(
            [Record(observation=seen)], partial(determine_outcome, schedule=Schedule())
        )
        assert recorded.translation_id is not None
        return recorded.translation_id

    async def work(self, archiver: Archiver) -> None:
        """Until nothing is under way and nothing due begins."""
        await archiver.tick()
        while archiver.under_way or archiver._tasks:
            await archiver.idle(DEADLINE)
            await archiver.tick()

    def rows(self, columns: str = "kind, state") -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            asked = f"SELECT {columns} FROM archived_files ORDER BY translation_id, kind"
            return connection.execute(asked).fetchall()

    def sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement)

    @property
    def names(self) -> list[str]:
        """Every file under its name, parts left out."""
        found = (one.relative_to(self.root) for one in self.root.rglob("*") if one.is_file())
        return sorted(str(one) for one in found if ".parts" not in one.parts)

    @property
    def parts(self) -> list[str]:
        return sorted(one.suffix for one in (self.root / ".parts").glob("*"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    path, root, clock = tmp_path / "tracker.db", tmp_path / "archive", MovingClock()
    root.mkdir()
    write_migrated(path)
    store = Repository(open_engines(f"sqlite:///{path}"), clock)
    store.open()
    store.archive = frozenset({LinkKind.VIDEO, LinkKind.SRT})
    yield Stage(root, path, store, clock)
    store.close()


@pytest.fixture
async def archiver(stage: Stage) -> AsyncIterator[Archiver]:
    archiver = stage.archiver()
    yield archiver
    await archiver.stop(DEADLINE)


HOUR = timedelta(hours=1)
