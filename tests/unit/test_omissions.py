"""A test that is left out is named with its remedy, and fails where nothing may be left out."""

import pytest

from tests.omissions import STRICT, fail_if_strict, leave_out, reason, summary


def skipped() -> pytest.TestReport:
    with pytest.raises(pytest.skip.Exception) as raised:
        leave_out("there is no nginx", "apt-get install nginx")
    place = ("test_proxies.py", 7, f"Skipped: {raised.value}")
    return pytest.TestReport(
        "test_proxies.py::test_a", ("test_proxies.py", 7, "test_a"), {}, "skipped", place, "setup"
    )


def test_each_cause_is_one_line_with_its_tests_and_its_remedy() -> None:
    title, *lines = summary([reason(skipped()), "there is no PgBouncer", reason(skipped())])

    assert "LEFT OUT" in title
    assert lines == [
        "1 test: there is no PgBouncer",
        "2 tests: there is no nginx. To run: apt-get install nginx",
    ]


def test_where_nothing_is_left_out_nothing_is_printed() -> None:
    assert list(summary([])) == []


@pytest.mark.parametrize(("strict", "outcome"), [("1", "failed"), ("0", "skipped"), ("", "skipped")])
def test_a_skipped_test_fails_only_in_a_strict_run(
    monkeypatch: pytest.MonkeyPatch, strict: str, outcome: str
) -> None:
    monkeypatch.setenv(STRICT, strict)
    report = skipped()

    fail_if_strict(report)

    assert report.outcome == outcome
    assert "there is no nginx. To run: apt-get install nginx" in str(report.longrepr)


def test_a_test_that_is_expected_to_fail_is_not_an_omission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    report = skipped()
    report.wasxfail = "reason"

    fail_if_strict(report)

    assert report.skipped
