"""What all tests share: a PostgreSQL server, and that nothing that could not be tested here goes unsaid."""

import os
from collections.abc import Iterator

import pytest

from tests.postgres import Server, find_binaries

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
    """The tests that were skipped for want of something, and what they lack."""
    skipped = [
        report.longrepr[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    ]
    for lack, of_what in LACKS.items():
        reasons = [reason.partition(lack)[2] for reason in skipped if lack in reason]
        if reasons:
            terminalreporter.section(f"NOT TESTED AGAINST {of_what}", sep="!", red=True, bold=True)
        for reason in sorted(set(reasons)):
            tests = reasons.count(reason)
            terminalreporter.line(f"{tests} tests were skipped: {reason}", red=True, bold=True)
