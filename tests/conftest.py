"""What all tests share: a PostgreSQL server, markers, and a report of the tests that were left out."""

from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests import omissions
from tests.postgres import Server, require_binaries

hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def postgresql_binaries() -> Path:
    """Where PostgreSQL's programs are, for a test that starts a server of its own."""
    return require_binaries()


@pytest.fixture(scope="session")
def postgresql(postgresql_binaries: Path) -> Iterator[Server]:
    """A server of this test process."""
    with Server(postgresql_binaries) as server:
        yield server


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a module that share a box stay on one worker; all others go to the worker that is free.

    `--dist=loadgroup` does not do that: pytest-xdist 3.8 marks the groups in a field that pytest 9.2 dropped.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith("tests/systemd/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test uses decides its marker, so that it need not be remembered."""
    for item in items:
        if _uses_postgresql(item):
            item.add_marker("postgresql")


def _uses_postgresql(item: pytest.Item) -> bool:
    """By a fixture, or by a parameter of that name."""
    names = {*getattr(item, "fixturenames", ())}
    if (call := getattr(item, "callspec", None)) is not None:
        names.update(call.id.split("-"))
    return not names.isdisjoint({"postgresql", "postgresql_binaries"})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    omissions.fail_if_strict(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    omissions.fail_if_strict(report)
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--left-out", type=Path, help="a file to add to what is left out, instead of showing it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were left out, why, and how to run them too."""
    if hasattr(terminalreporter.config, "workerinput"):
        return  # the process that started the workers has all their reports
    reasons = [omissions.reason(report) for report in terminalreporter.getreports("skipped")]
    if (file := terminalreporter.config.getoption("--left-out")) is None:
        for line in omissions.summary(reasons):
            terminalreporter.line(line, yellow=True, bold=True)
        return
    with file.open("a") as kept:
        kept.writelines(f"{reason}\n" for reason in reasons)
