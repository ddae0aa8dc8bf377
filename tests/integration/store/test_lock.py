"""One `tracker run` per SQLite file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracker.errors import AlreadyRunningError, StoreError
from tracker.store.process_lock import is_running, sole_runner

HOLDER = """
import sys
from tracker.store.process_lock import sole_runner
with sole_runner(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tracker.db'}"


@contextmanager
def another_process(url: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_runner_is_refused_and_told_who_the_first_is(url: str) -> None:
    with another_process(url) as first:
        with (
            pytest.raises(AlreadyRunningError, match=rf"process {first.pid}\).*TRACKER_DATABASE_URL"),
            sole_runner(url),
        ):
            pass
        assert is_running(url) is True


def test_a_killed_runner_holds_nothing(url: str) -> None:
    with another_process(url) as first:
        first.kill()
        first.wait()

        with sole_runner(url):
            assert is_running(url) is True


def test_the_lock_is_free_again_after_use(url: str) -> None:
    with (
        sole_runner(url),
        pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"),
        sole_runner(url),
    ):
        pass
    assert is_running(url) is False
    with sole_runner(url):
        pass


def test_looking_does_not_take_the_lock_or_leave_a_file(url: str, tmp_path: Path) -> None:
    assert is_running(url) is False
    assert list(tmp_path.iterdir()) == []


def test_other_files_have_locks_of_their_own(url: str, tmp_path: Path) -> None:
    with sole_runner(url), sole_runner(f"sqlite:///{tmp_path / 'other.db'}"):
        pass


def test_postgresql_needs_no_lock() -> None:
    with sole_runner("postgresql://h/d"), sole_runner("postgresql://h/d"):
        assert is_running("postgresql://h/d") is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no test of a full disk: there is no /dev/full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "tracker.db.lock").symlink_to("/dev/full")
    with (
        pytest.raises(StoreError, match=r"tracker.db.lock cannot be written.*check the disk space"),
        sole_runner(f"sqlite:///{tmp_path / 'tracker.db'}"),
    ):
        pass


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(
            StoreError, match=r"missing/tracker.db.lock cannot be opened.*make sure that the folder"
        ),
        sole_runner(f"sqlite:///{tmp_path / 'missing' / 'tracker.db'}"),
    ):
        pass
