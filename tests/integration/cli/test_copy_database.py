"""`tracker copy-database` as people and scripts see it, and ended in every way."""

import os
import pty
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.copies import contents, fill, is_empty, postgresql_database
from tests.integration.cli.conftest import PATIENCE, TERMINAL, Program
from tests.integration.cli.test_look import Screen
from tests.postgres import Server
from tracker.store.process_lock import sole_runner

MANY = 15_000  # translations that take a second to copy
LOOK_SECONDS = 0.02


@pytest.fixture
def server_url(postgresql: Server) -> Iterator[str]:
    """The url of a database without tables."""
    with postgresql_database(postgresql, migrated=False) as url:
        yield url


def source_of(program: Program) -> str:
    return f"sqlite:///{program.path}"


def test_people_are_told_what_was_copied_and_what_to_do_next(migrated: Program, server_url: str) -> None:
    fill(source_of(migrated))

    ran = migrated("copy-database", "--to", server_url)

    assert (ran.code, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()[1:-1]] == [
        [table, "12"] for table in contents(server_url)
    ]
    assert ran.out.splitlines()[-1] == (
        "copied from sqlite to postgresql and verified; now set TRACKER_DATABASE_URL to the target"
    )
    assert contents(server_url) == contents(source_of(migrated))


def test_programs_get_rows_and_checksums_as_json(migrated: Program, server_url: str) -> None:
    migrated.execute("INSERT INTO translations (callback_id, title) VALUES ('order-1', ?)", "a\0b")

    there = migrated("copy-database", "--to", server_url, "--json")
    back = migrated(
        "copy-database", "--to", f"sqlite:///{migrated.directory}/back.db", "--json", database_url=server_url
    )

    assert (there.code, back.code) == (0, 0)
    assert (there.json["from"], there.json["to"]) == (back.json["to"], back.json["from"])
    assert there.json["tables"] == back.json["tables"]
    assert there.json["tables"]["translations"]["rows"] == 1
    assert there.json["mended"] == {
        "count": 1,
        "named": [{"table": "translations", "row": 1, "column": "title"}],
    }


def test_the_url_may_come_from_standard_input(migrated: Program, server_url: str) -> None:
    ran = migrated("copy-database", "--to", "-", stdin=f"{server_url}\n")

    assert ran.code == 0
    assert "copied from sqlite to postgresql" in ran.out


def test_a_changed_text_is_named(migrated: Program, server_url: str) -> None:
    for number in range(25):
        migrated.execute("INSERT INTO translations (callback_id) VALUES (?)", f"order-{number}\0")

    ran = migrated("copy-database", "--to", server_url)

    assert ran.code == 0
    assert "warning: 25 texts had characters that the target cannot store" in ran.err
    assert "  translations, row 20: callback_id\n  and 5 more; --json names 25" in ran.err


@pytest.mark.parametrize(
    ("to", "code", "told"),
    [
        ("mysql://somewhere/tracker", 2, "error: --to: "),
        ("nothing", 2, "error: --to: is not a database URL; examples: sqlite:///"),
        ("sqlite:///{directory}/tracker.db", 2, "error: --to: names the database that is to be copied"),
        ("sqlite:///{directory}/missing/tracker.db", 3, "make sure that the folder exists and is writable"),
        ("postgresql://nobody@/tracker?host={directory}", 3, "error: the database cannot be reached: "),
    ],
)
def test_a_target_that_cannot_be_used_is_told(migrated: Program, to: str, code: int, told: str) -> None:
    ran = migrated("copy-database", "--to", to.format(directory=migrated.directory))

    assert ran.code == code
    assert told in ran.err


def test_a_password_is_not_shown(migrated: Program) -> None:
    ran = migrated("copy-database", "--to", f"postgresql://me:s3cret@/tracker?host={migrated.directory}")

    assert ran.code == 3
    assert "s3cret" not in ran.err + ran.out


def test_a_running_tracker_is_named(migrated: Program, server_url: str) -> None:
    with sole_runner(source_of(migrated)):
        ran = migrated("copy-database", "--to", server_url)

    assert ran.code == 3
    assert f"another tracker (process {os.getpid()}) already runs on" in ran.err


def test_a_target_that_is_not_empty_is_told_with_table_and_count(migrated: Program, server_url: str) -> None:
    migrated.track("a", "b")
    assert migrated("copy-database", "--to", server_url).code == 0

    ran = migrated("copy-database", "--to", server_url)

    assert ran.code == 3
    assert "the target is not empty: translations has 2 rows" in ran.err


def test_on_a_terminal_there_is_a_bar(migrated: Program, server_url: str) -> None:
    fill(source_of(migrated), 60)
    terminal, other_end = pty.openpty()
    copy = ("copy-database", "--to", server_url)
    process = migrated.process(*copy, stdout=subprocess.DEVNULL, stderr=other_end, variables=TERMINAL)
    os.close(other_end)
    text = Screen(terminal).rest()

    assert process.wait(PATIENCE) == 0
    assert "━" in text
    assert "720/720" in text or "verifying" in text


# Ended in the middle


def fill_with_many(program: Program) -> None:
    with closing(sqlite3.connect(program.path)) as connection, connection:
        rows = [(f"{number:032x}-es", f"order-{number}") for number in range(MANY)]
        connection.executemany(
            "INSERT INTO translations (video_translate_id, callback_id) VALUES (?, ?)", rows
        )


def wait_for(process: subprocess.Popen[str], look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def has_some_rows(server_url: str) -> bool:
    """Rows of an open transaction take room, too."""
    with psycopg.connect(server_url) as server:
        there = "SELECT COALESCE(pg_relation_size(to_regclass('translations')), 0) > 200000"
        return bool(server.execute(there).fetchone() == (True,))


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle_it_leaves_postgresql_empty_and_can_be_run_again(
    migrated: Program, server_url: str, signal_: signal.Signals
) -> None:
    fill_with_many(migrated)
    process = migrated.process("copy-database", "--to", server_url)
    wait_for(process, lambda: has_some_rows(server_url))

    process.send_signal(signal_)
    _, told = process.communicate(timeout=PATIENCE)

    assert process.returncode not in (0, 3)
    assert "Traceback" not in told
    assert is_empty(server_url)
    again = migrated("copy-database", "--to", server_url, "--json")
    assert (again.code, again.json["tables"]["translations"]["rows"]) == (0, MANY)


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_it_leaves_sqlite_empty_and_can_be_run_again(
    migrated: Program, signal_: signal.Signals
) -> None:
    fill_with_many(migrated)
    path = migrated.directory / "target.db"
    process = migrated.process("copy-database", "--to", f"sqlite:///{path}")
    wait_for(process, lambda: written(path) > 1_000_000)

    process.send_signal(signal_)
    process.communicate(timeout=PATIENCE)

    assert process.returncode not in (0, 3)
    assert is_empty(f"sqlite:///{path}")
    again = migrated("copy-database", "--to", f"sqlite:///{path}", "--json")
    assert (again.code, again.json["tables"]["translations"]["rows"]) == (0, MANY)


def written(path: Path) -> int:
    """How much of an open transaction has gone to the disk."""
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0
