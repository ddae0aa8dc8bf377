"""Each verb once as a real process: its exit code, and a line of what it prints. All else runs in-process."""

import re
import threading
from dataclasses import dataclass
from subprocess import STDOUT
from typing import Any

import pytest

from tracker.simulator.remote import SimulatorClient

from .conftest import PATIENCE, Program

URL = "http://127.0.0.1:8321/webhooks/heygen"


@dataclass(frozen=True, slots=True)
class Case:
    """A verb with its arguments; what runs until it is stopped gets SIGTERM after the line."""

    arguments: str
    line: str
    code: int = 0
    until_stopped: bool = False


CASES = {
    "run": Case("run --json", '"tracker is up"', until_stopped=True),
    "migrate": Case("migrate", "the schema is up to date: "),
    "copy-database": Case("copy-database --to sqlite:///copy.db", "copied from sqlite to sqlite"),
    "submit": Case("submit --video-url https://example.com/talk.mp4 --language es", "1 tracked"),
    "add": Case("add abc-es", "abc-es: now tracked"),
    "list": Case("list", "bad-it "),
    "show": Case("show bad-it", "No speech [at all]"),
    "wait": Case("wait good-fr", "good-fr success"),
    "poll": Case("poll", "4 polls: 4 not_found"),
    "url": Case("url new-es", "error: new-es is pending: not finished yet", code=1),
    "archive": Case("archive good-fr", "error: TRACKER_ARCHIVE is not set", code=2),
    "discover": Case("discover", "HeyGen lists no translations for this account"),
    "reopen": Case("reopen bad-it", "bad-it is pending again"),
    "check-config": Case("check-config", "TRACKER_HEYGEN_BASE_URL "),
    "units": Case("units --print tracker.service", "[Service]"),
    "simulate": Case("simulate --listen 127.0.0.1:0", "simulator listening on ", until_stopped=True),
    "demo": Case("demo --directory tracker.db/demo", "error: ", code=3),
    "webhook register": Case(f"webhook register --url {URL}", "TRACKER_WEBHOOK_SECRET="),
    "webhook status": Case("webhook status", "no endpoint"),
    "webhook rotate": Case("webhook rotate", "error: this tracker's endpoint is unknown", code=2),
    "webhook remove": Case("webhook remove", "error: this tracker's endpoint is unknown", code=2),
}


def verbs(program: Program, *group: str) -> list[str]:
    """The names in the table that --help prints."""
    table = program(*group, "--help").out.partition("Commands")[2]
    return [
        " ".join((*group, name)) for name in re.findall(r"^[│ ]+([a-z][a-z-]*)  +[A-Z]", table, re.MULTILINE)
    ]


def test_each_verb_has_a_case(tracker: Program) -> None:
    named = [name for name in verbs(tracker) if name != "webhook"]
    assert [*named, *verbs(tracker, "webhook")] == list(CASES)


@pytest.mark.parametrize("verb", CASES)
def test_each_verb_runs_as_a_process(house: Program, simulator: SimulatorClient, verb: str) -> None:
    case = CASES[verb]
    settings: dict[str, Any] = {
        "heygen_base_url": simulator.base_url,
        "heygen_api_key": "simulator-key",
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
    }
    process = house.process(
        *case.arguments.split(), stderr=STDOUT, variables={"PYTHONUNBUFFERED": "1"}, **settings
    )
    expiry = threading.Timer(PATIENCE, process.kill)
    expiry.start()
    lines = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if case.until_stopped and case.line in line:
                process.terminate()
    expiry.cancel()
    printed = "".join(lines)
    assert case.line in printed
    assert process.returncode == case.code, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("verb", CASES)
def test_each_verb_explains_itself_with_an_example(tracker: Program, verb: str) -> None:
    ran = tracker(*verb.split(), "--help", database_url=None)
    assert (ran.code, ran.err) == (0, "")
    assert "Example:" in ran.out
    assert f"tracker {verb}" in ran.out.partition("Example:")[2].replace("\n", " ")
    assert "--json" in ran.out
