"""Which database is opened to its group: files with real modes, in real folders."""

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tracker.store.engine import open_engines
from tracker.store.schema import migrations
from tracker.store.sharing import share_with_group

SHARED, CLOSED, WRITABLE, SETGID = 0o2770, 0o700, 0o770, 0o2750


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that its group shares."""
    made = tmp_path / "state"
    made.mkdir()
    made.chmod(SHARED)
    return made


def migrate(path: Path) -> None:
    engines = open_engines(f"sqlite:///{path}")
    migrations.migrate(engines.writer)
    engines.dispose()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_new_database_in_a_shared_folder_is_opened_to_the_group_whatever_the_umask(
    folder: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        engines = open_engines(f"sqlite:///{folder / 'tracker.db'}")
        migrations.migrate(engines.writer)
        modes = {path.name: mode(path) for path in folder.iterdir()}
        engines.dispose()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(("tracker.db", "tracker.db-wal", "tracker.db-shm"), 0o660)


@pytest.mark.parametrize("of_the_folder", [CLOSED, WRITABLE, SETGID])
def test_in_another_folder_the_umask_decides(folder: Path, of_the_folder: int) -> None:
    folder.chmod(of_the_folder)
    before = os.umask(0o077)
    try:
        migrate(folder / "tracker.db")
    finally:
        os.umask(before)

    assert mode(folder / "tracker.db") == 0o600


def test_a_closed_database_is_opened_with_the_log_that_a_crash_left(folder: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "crashed.db")) as crashed:
        crashed.executescript("PRAGMA journal_mode = WAL; CREATE TABLE kept (id)")
        for name in ("tracker.db", "tracker.db-wal"):
            shutil.copyfile(tmp_path / name.replace("tracker", "crashed"), folder / name)
            (folder / name).chmod(0o600)

    share_with_group(folder / "tracker.db")

    assert {path.name: mode(path) for path in folder.iterdir()} == {"tracker.db": 0o660}
    with closing(sqlite3.connect(folder / "tracker.db")) as found:
        assert found.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]


def test_secrets_that_were_renamed_to_the_name_of_the_database_stay_closed(folder: Path) -> None:
    path = folder / "tracker.db"
    path.write_text(json.dumps({"main": {"secret": "whsec_x"}}))
    path.chmod(0o600)

    share_with_group(path)

    assert mode(path) == 0o600


def test_a_database_of_another_group_stays_closed(folder: Path) -> None:
    path = folder / "tracker.db"
    migrate(path)
    path.chmod(0o600)
    folder_s_group = folder.stat().st_gid
    others = [group for group in (*os.getgroups(), 65534) if group != folder_s_group]
    if os.geteuid() == 0:
        os.chown(path, -1, others[-1])
    else:
        folder.chmod(SETGID)  # who is no member of a second group can try no more

    share_with_group(path)

    assert mode(path) == 0o600


def test_a_shared_database_is_not_opened_again_so_that_no_lock_on_it_is_lost(folder: Path) -> None:
    path = folder / "tracker.db"
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        first.execute("PRAGMA journal_mode = DELETE")
        first.execute("BEGIN EXCLUSIVE")

        share_with_group(path)

        assert locks_on(path)


def locks_on(path: Path) -> bool:
    found = Path("/proc/locks").read_text()
    return f":{path.stat().st_ino} " in found
