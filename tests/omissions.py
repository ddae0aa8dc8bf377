"""Tests that need more than this machine has are left out, and the end of the run says which and why.

Under TRACKER_TEST_STRICT=1 each of them fails instead: nothing is left out in CI.
`make test` starts pytest twice: both runs add to one file, and `python -m tests.omissions FILE` shows it.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

STRICT = "TRACKER_TEST_STRICT"
TITLE = " LEFT OUT ".center(80, "=")
Report = pytest.TestReport | pytest.CollectReport


def leave_out(missing: str, remedy: str) -> NoReturn:
    """Skip a test, or all tests of a fixture: `leave_out("there is no nginx", "apt-get install nginx")`.

    Tests with the same two texts share a line of the summary.
    """
    pytest.skip(f"{missing}. To run: {remedy}")


def fail_if_strict(report: Report) -> None:
    """Turn a skipped test into a failed one under TRACKER_TEST_STRICT, however it was skipped."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(STRICT, "") not in ("", "0"):
        report.longrepr = f"left out: {reason(report)}\n(this fails because {STRICT} is set)"
        report.outcome = "failed"


def reason(report: Report) -> str:
    """Why a test was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return text.removeprefix("Skipped: ")


def summary(reasons: Iterable[str]) -> Iterator[str]:
    """A line for each cause; nothing where nothing was left out."""
    causes = Counter(reasons)
    if causes:
        yield TITLE
    for cause, tests in sorted(causes.items()):
        yield f"{tests} {'test' if tests == 1 else 'tests'}: {cause}"


if __name__ == "__main__":
    found = Path(sys.argv[1])
    print(*summary(found.read_text().splitlines() if found.exists() else ()), sep="\n")
