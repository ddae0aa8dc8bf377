"""Tests that need more than this machine has are left out, and the end of the run says which and why.

Under TRACKER_TEST_STRICT=1 each of them fails instead: nothing is left out in CI.
"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

STRICT = "TRACKER_TEST_STRICT"


def leave_out(missing: str, remedy: str) -> NoReturn:
    """Skip a test, or all tests of a fixture: `leave_out("there is no nginx", "apt-get install nginx")`.

    Tests with the same two texts share a line of the summary.
    """
    pytest.skip(f"{missing}; to run: {remedy}")


def fail_if_strict(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skipped test into a failed one under TRACKER_TEST_STRICT, however it was skipped."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(STRICT, "") not in ("", "0"):
        report.longrepr = f"left out: {reason(report)}\n(this fails because {STRICT} is set)"
        report.outcome = "failed"


def causes(skipped: Iterable[pytest.TestReport | pytest.CollectReport]) -> Counter[str]:
    """How many tests each cause left out."""
    return Counter(reason(report) for report in skipped)


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return text.removeprefix("Skipped: ")
