"""What all tests share: a PostgreSQL server, and that nothing that could not be tested here goes unsaid."""

import os
from collections import Counter
from collections.abc import Iterator

import hypothesis
import pytest

from tests.postgres import Server, find_binaries

hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("house")

LACKS = {"no test box: ": "A REAL SYSTEMD", "no PostgreSQL: ": "POSTGRESQL"}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server of this test process; without one the tests fail, unless TRACKER_TEST_POSTGRESQL=skip."""
    binaries = find_binaries()
    if binaries is None:
        told = "no PostgreSQL: there is no server's program; Debian has it in the package postgresql"
        if os.environ.get("TRACKER_TEST_POSTGRESQL") == "skip":
            pytest.skip(told)
        pytest.fail(f"{told}, and TRACKER_TEST_POSTGRESQL=skip does without", pytrace=False)
    with Server(binaries) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were left out or failed for want of something, and what they lack."""
    for lack, of_what in LACKS.items():
        wants = Counter(_wanting(terminalreporter, lack))
        if wants:
            terminalreporter.section(f"NOT TESTED AGAINST {of_what}", sep="!", red=True, bold=True)
        for (became, want), tests in sorted(wants.items()):
            terminalreporter.line(f"{tests} tests {became}: {want}", red=True, bold=True)


def _wanting(terminalreporter: pytest.TerminalReporter, lack: str) -> Iterator[tuple[str, str]]:
    """What became of each test that lacks it, and what it wants."""
    for kind, became in (("skipped", "were skipped"), ("failed", "failed"), ("error", "failed")):
        for report in terminalreporter.getreports(kind):
            skipped = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            told = skipped.removeprefix("Skipped: ")
            if told.startswith(lack):
                yield became, told.removeprefix(lack)
