"""The program's verbs on a SQLite file of their own: in this process, or as a process where one is needed."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.databases import write_migrated
from tests.integration.cli.in_process import PATIENCE as PATIENCE
from tests.integration.cli.in_process import Ran as Ran
from tests.integration.cli.in_process import run
from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

PROGRAM = (sys.executable, "-m", "tracker")
TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "120"}


class Program:
    """Runs verbs in one folder, with one database and nothing of the caller's environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "tracker.db"
        (directory / "home").mkdir()

    def environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        named = {"database_url": f"sqlite:///{self.path}", **settings}
        given = {f"TRACKER_{name.upper()}": str(value) for name, value in named.items() if value is not None}
        if folder := given.pop("TRACKER_CREDENTIALS_DIRECTORY", None):  # systemd's own variable
            given["CREDENTIALS_DIRECTORY"] = folder
        return {
            **kept,
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "COLUMNS": "80",
            **given,
        }

    def __call__(self, *arguments: str, stdin: str | bytes = b"", **settings: object) -> Ran:
        """`tracker ARGUMENTS` to its end, in this process; it never shows a traceback."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        ran = run(arguments, content, self.environment(settings), self.directory)
        assert "Traceback" not in ran.err + ran.out
        return ran

    def process(
        self,
        *arguments: str,
        before: Sequence[str] = (),
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> subprocess.Popen[str]:
        """`tracker ARGUMENTS` as a process of its own: for signals, terminals, and several at once.

        `before` is a command that starts the program.
        """
        return subprocess.Popen(
            [*before, *PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=self.directory,
            env={**self.environment(settings), **(variables or {})},
            text=True,
        )

    def query(self, sql: str, *values: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def execute(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.execute(sql, values)

    def track(self, *ids: str) -> None:
        for one in ids:
            self.execute("INSERT INTO translations (video_translate_id) VALUES (?)", one)

    def tracked(self) -> list[tuple[Any, ...]]:
        """The id, callback id and title of each row."""
        rows = self.query("SELECT video_translate_id, callback_id, title FROM translations ORDER BY id")
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def tracker(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def migrated(tracker: Program) -> Program:
    """The program on a database without translations."""
    write_migrated(tracker.path)
    return tracker


@pytest.fixture
def house(migrated: Program) -> Program:
    """The program on a database with one translation of each status."""
    for name, status in (
        ("new-es", "pending"),
        ("going-de", "running"),
        ("good-fr", "success"),
        ("bad-it", "failed"),
    ):
        migrated.execute(
            "INSERT INTO translations (video_translate_id, callback_id, status) VALUES (?, 'order [1]', ?)",
            name,
            status,
        )
    migrated.execute("UPDATE translations SET message = 'No speech [at all]' WHERE status = 'failed'")
    migrated.execute(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at) "
        "SELECT id, 'pending', status, 'poll', created_at FROM translations WHERE status <> 'pending'"
    )
    return migrated


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    """A look-alike whose translations end at once."""
    scenario = Scenario(pending_seconds=(0, 0), running_seconds=(0, 0))
    with running(create_app(scenario)) as url, SimulatorClient(url) as client:
        yield client
