"""What all tests share: nothing that could not be tested here goes unsaid."""

import pytest

NO_BOX = "no test box: "


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The tests against a real systemd that were skipped, and what they lack."""
    reasons = [
        report.longrepr[2].partition(NO_BOX)[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and NO_BOX in report.longrepr[2]
    ]
    if not reasons:
        return
    terminalreporter.section("NOT TESTED AGAINST A REAL SYSTEMD", sep="!", red=True, bold=True)
    for reason in sorted(set(reasons)):
        tests = reasons.count(reason)
        terminalreporter.line(f"{tests} tests were skipped: {reason}", red=True, bold=True)
