"""One `tracker run` per SQLite file."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.errors import AlreadyRunningError, StoreError
from tracker.store.engine import parse_url, sqlite_path

LOOKS = 10
LOOK_SECONDS = 0.05


@contextmanager
def sole_runner(database_url: str) -> Iterator[None]:
    """Hold the database for this process; raises AlreadyRunningError where another one does.

    The kernel drops the lock with the process, however it ends. PostgreSQL needs no such lock.
    """
    if (path := _lock_path(database_url)) is None:
        yield
        return
    with _opened(path) as lock:
        if not _take_patiently(lock):
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            raise AlreadyRunningError(
                f"another tracker (process {holder or 'unknown'}) already runs on {path.with_suffix('')}; "
                "stop it first, or set TRACKER_DATABASE_URL to another database"
            )
        _sign(lock, path)
        yield


def is_running(database_url: str) -> bool | None:
    """Whether a `tracker run` holds this SQLite file; None for PostgreSQL, where nobody can tell."""
    if (path := _lock_path(database_url)) is None:
        return None
    if not path.exists():
        return False
    with _opened(path) as lock:
        return not _take(lock, fcntl.LOCK_SH)


def _lock_path(database_url: str) -> Path | None:
    path = sqlite_path(parse_url(database_url))
    if path is None:
        return None
    path = path.resolve()  # a link is the same database
    return path.with_name(f"{path.name}.lock")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened: {error.strerror}; make sure that the folder exists and is writable"
        ) from error
    try:
        yield lock
    finally:
        os.close(lock)


def _sign(lock: int, path: Path) -> None:
    """Write down who holds it, for those who are refused."""
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; check the disk space") from error


def _take_patiently(lock: int) -> bool:
    """Somebody who only looks whether a tracker runs holds the lock for a moment."""
    for _ in range(LOOKS):
        if _take(lock, fcntl.LOCK_EX):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
