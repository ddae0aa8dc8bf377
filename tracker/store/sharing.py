"""A SQLite file in a folder that a group shares: the group may read and write it, whatever the umask is."""

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

SHARED = stat.S_ISGID | stat.S_IWGRP  # a folder such as systemd's StateDirectoryMode=2770 makes
GROUP_READS_AND_WRITES = stat.S_IRGRP | stat.S_IWGRP
SIGNATURE = b"SQLite format 3\0"


def share_with_group(path: Path) -> None:
    """Open the database to the group of its folder, where the folder is shared; make it where there is none.

    It opens each file once, before this process uses it: closing a file drops all of a process's locks on it.
    What the system refuses changes nothing.
    """
    path = path.resolve()
    with suppress(OSError, sqlite3.Error):
        folder = path.parent.stat()
        if folder.st_mode & SHARED == SHARED and _is_ours_alone(path, folder.st_gid):
            _open_to_group(path)
            _remove_log_with_old_mode(path)


def _remove_log_with_old_mode(path: Path) -> None:
    """After a crash there is a `-wal`; the last connection that closes copies it into the database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT 1 FROM sqlite_master")


def _is_ours_alone(path: Path, group: int) -> bool:
    if not path.exists():
        return True
    found = path.stat()
    is_ours = found.st_uid == os.geteuid() and found.st_gid == group
    return is_ours and found.st_mode & GROUP_READS_AND_WRITES != GROUP_READS_AND_WRITES


def _open_to_group(path: Path) -> None:
    """The content decides: members can rename files of the folder, and no secret is opened to them."""
    file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.read(file, len(SIGNATURE)) in (b"", SIGNATURE):
            os.fchmod(file, stat.S_IMODE(os.fstat(file).st_mode) | GROUP_READS_AND_WRITES)
    finally:
        os.close(file)
