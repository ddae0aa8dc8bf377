"""Where archived files go: what every such place can do, and the one that is a folder."""

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tracker.archive.disk_space import in_words
from tracker.errors import KeyTakenError, StorageClosedError

PARTS = ".parts"
READ_BYTES = 1024 * 1024
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Complete:
    """A file that has come completely, and how it is to be called.

    `of` names the file whatever its key; `known` is where it was archived before. `stopped` says that
    nobody wants it any more.
    """

    path: Path
    key: str
    size: int
    sha256: str
    content_type: str | None
    of: str
    known: str | None
    stopped: Callable[[], bool]


class Storage(Protocol):
    """A folder or a bucket. What blocks is called from a thread."""

    spool: Path

    def prepare(self) -> None:
        """Make the folder of the parts; raises PlaceError and NoRoomError."""
        ...

    def publish(self, complete: Complete) -> str:
        """Make it visible under its key at once, and return where: before, nothing is there.

        Once more changes nothing. Raises KeyTakenError where something else is there, PlaceError and
        NoRoomError.
        """
        ...


class FolderStorage:
    """A folder of this machine. It has to be there: a disk that is not mounted would be written past."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.spool = root / PARTS

    def prepare(self) -> None:
        """See `Storage`."""
        if not self._root.is_dir():
            raise StorageClosedError(
                f"TRACKER_ARCHIVE: {self._root} is no folder; make it, or mount its disk"
            )
        with in_words(self._root):
            self.spool.mkdir(exist_ok=True)

    def publish(self, complete: Complete) -> str:
        """See `Storage`. The part keeps its name until the row is stored, so that a crash loses nothing."""
        target = self._root / complete.key
        with in_words(self._root):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._put(complete, target)
            for folder in target.parents:
                _sync(folder)
                if folder == self._root:
                    break
        return str(target)

    def _put(self, complete: Complete, target: Path) -> None:
        try:
            os.link(complete.path, target)  # never over what is there, unlike a rename
        except FileExistsError:
            self._replace(complete, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if target.exists():
                self._replace(complete, target)
            else:
                complete.path.rename(target)

    def _replace(self, complete: Complete, target: Path) -> None:
        """It is there already, or an older version of it is; what is another's stays."""
        if _is_same(target, complete):
            return
        if complete.known != str(target):
            raise KeyTakenError(f"{target} is there already, and is not this file: move it away")
        complete.path.replace(target)


def _is_same(found: Path, complete: Complete) -> bool:
    if found.samefile(complete.path):
        return True
    if not found.is_file() or found.stat().st_size != complete.size:
        return False
    sha256 = hashlib.sha256()
    with found.open("rb") as opened:
        while data := opened.read(READ_BYTES):
            sha256.update(data)
    return sha256.hexdigest() == complete.sha256


def _sync(folder: Path) -> None:
    """The names in it are durable."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
