"""A file on its way: what has come so far, and beside it a note that tells how to go on.

All of it blocks, and is called from a thread of its own (`hands.py`).
"""

import fcntl
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tracker.archive.disk_space import check_disk_space, in_words
from tracker.errors import PartialFileInUseError

SYNCED_BYTES = 4 * 1024 * 1024  # so much at most is downloaded again after a kill or a power cut
READ_BYTES = 1024 * 1024
NOT_OPEN = -1


@dataclass(slots=True)
class Note:
    """What the part is of, and which version: `validator` is what to resume it with.

    `durable` bytes are on the disk, whatever happens to the power. `size`: of the whole, as far as it is
    known; `is_complete`: nothing is missing.
    """

    of: str
    validator: str | None = None
    size: int | None = None
    content_type: str | None = None
    extension: str = ""
    durable: int = 0
    is_complete: bool = False


class PartialFile:
    """The part of one file, locked against other processes of this machine until it is closed.

    `of` says of which file; what was of another is not gone on with. `min_free`: bytes of the disk that
    are left to others. Every method raises NoRoomError and PlaceError.
    """

    def __init__(self, folder: Path, name: str, of: str, min_free: int) -> None:
        self.path, self._note_path = folder / f"{name}.part", folder / f"{name}.json"
        self._of, self._min_free = of, min_free
        self._file = NOT_OPEN
        self.note = Note(of)
        self.length, self._hash = 0, hashlib.sha256()

    def open(self) -> None:
        """Lock it and read what is there; raises PartInUseError."""
        with in_words(self.path.parent):
            self._file = _lock(self.path)
            self.note = self._read_note()
            self._go_on()

    def _read_note(self) -> Note:
        try:
            note = Note(**json.loads(self._note_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return Note(self._of)
        fits = note.of == self._of and note.durable <= os.fstat(self._file).st_size
        return note if fits else Note(self._of)

    def _go_on(self) -> None:
        """Forget what may not have reached the disk; read the rest for its checksum."""
        self.length, self._hash = 0, hashlib.sha256()
        os.ftruncate(self._file, self.note.durable)
        while data := os.pread(self._file, READ_BYTES, self.length):
            self._hash.update(data)
            self.length += len(data)

    @property
    def sha256(self) -> str:
        """Of what has come so far."""
        return self._hash.hexdigest()

    def begin(
        self,
        offset: int,
        *,
        size: int | None,
        validator: str | None,
        content_type: str | None,
        extension: str,
    ) -> None:
        """What comes now begins at `offset`: at the end of this part, or at 0, which forgets it."""
        if offset != self.length:
            self.note.durable = offset
            with in_words(self.path.parent):
                self._go_on()
        self.note = Note(self._of, validator, size, content_type, extension, self.note.durable)
        self._write_note()
        check_disk_space(self.path.parent, self._min_free, (size or 0) - self.length)

    def write(self, data: bytes) -> None:
        """Append; now and then what was written is made durable."""
        missing = max(len(data), (self.note.size or 0) - self.length)
        check_disk_space(self.path.parent, self._min_free, len(data), missing)
        with in_words(self.path.parent):
            rest = memoryview(data)
            while rest:
                written = os.pwrite(self._file, rest, self.length)
                self._hash.update(rest[:written])
                self.length += written
                rest = rest[written:]
        if self.length - self.note.durable >= SYNCED_BYTES:
            self.sync()

    def sync(self) -> None:
        """Make durable what has come so far, and note it."""
        with in_words(self.path.parent):
            os.fdatasync(self._file)
        self.note.durable = self.length
        self._write_note()

    def finish(self) -> None:
        """Nothing is missing."""
        self.note.size, self.note.is_complete = self.length, True
        with in_words(self.path.parent):
            os.fsync(self._file)
        self.sync()

    def _write_note(self) -> None:
        new = self._note_path.with_suffix(".new")
        with in_words(self.path.parent):
            new.write_text(json.dumps(asdict(self.note)))
            new.replace(self._note_path)

    def remove(self) -> None:
        """It is in its place; only we, who hold the lock, take it away."""
        with in_words(self.path.parent):
            self._note_path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have it; one that was never opened is closed already."""
        if self._file != NOT_OPEN:
            os.close(self._file)
            self._file = NOT_OPEN


def _lock(path: Path) -> int:
    """The file at that path, ours alone; whoever had it may just have taken it away."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise PartialFileInUseError(f"{path.name} is in use by another process of this machine") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)
