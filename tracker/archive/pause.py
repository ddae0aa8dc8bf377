"""Pauses of the archive, while its storage takes no file at all."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tracker.archive.disk_space import free_bytes
from tracker.domain.schedule import back_off
from tracker.errors import DiskFullError, StorageError

SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pause:
    """Why no download starts, and until when. With `needed` bytes free on the disk the pause ends sooner."""

    error: DiskFullError | StorageError
    until: datetime
    failures: int  # in a row
    needed: int | None = None

    async def is_in_force(self, now: datetime, spool: Path) -> bool:
        """False once a download may try whether the storage works again."""
        if now >= self.until:
            return False
        if self.needed is None:
            return True
        try:  # in a thread: the disk may hang
            return await asyncio.to_thread(_free_near, spool) < self.needed
        except OSError:
            return True


def pause_after(error: DiskFullError | StorageError, now: datetime, before: Pause | None) -> Pause:
    """The pause that follows an error; `before` is the one that the failed download ended."""
    failures = before.failures + 1 if before else 1
    needed = error.needed if isinstance(error, DiskFullError) else None
    return Pause(error, now + back_off(failures, SHORTEST_PAUSE, LONGEST_PAUSE), failures, needed)


def _free_near(folder: Path) -> int:
    """Free bytes on the disk of the folder, or of its first parent that exists; raises OSError."""
    return free_bytes(next((path for path in (folder, *folder.parents) if path.exists()), folder))
