"""Room on the disk, and what the operating system refuses, in words for people."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.errors import DiskFullError, FileTooLargeError, StorageClosedError, StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
WAY_OUT = (
    "; its user needs the right to, and under systemd ReadWritePaths= as well: "
    "docs/archive.md has the commands"
)


def free_bytes(folder: Path) -> int:
    """What the disk of this folder has left for us; raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def check_disk_space(folder: Path, min_free: int, coming: int, missing: int = 0) -> None:
    """Raise NoRoomError where so many bytes more would leave less than `min_free`.

    `missing`: all that is still to come, which must find room before it is worth going on.
    """
    with in_words(folder):
        free = free_bytes(folder)
    if free - max(0, coming) < min_free:
        raise DiskFullError(
            f"the disk of {folder} has {free} bytes left, and TRACKER_ARCHIVE_MIN_FREE leaves {min_free} "
            "to others; make room, or set it lower",
            needed=min_free + max(coming, missing),
        )


@contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Turn OSError into NoRoomError or PlaceError; FileTooLargeError: no file may be so large there."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise FileTooLargeError(f"it is larger than {folder} can take: {error.strerror}") from error
        if error.errno in FULL:  # perhaps a quota, of which the free bytes of the disk say nothing
            raise DiskFullError(f"the disk of {folder} is full: {error.strerror}", needed=None) from error
        way_out = WAY_OUT if error.errno in REFUSED else ""
        is_closed = error.errno in REFUSED and Path(str(error.filename)) in (folder, folder / ".parts")
        raise (StorageClosedError if is_closed else StorageError)(
            f"{error.filename or folder}: {error.strerror}; the archive needs to write to {folder}{way_out}"
        ) from error
