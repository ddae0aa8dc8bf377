"""Boxes for the tests; where there can be none they fail, unless TRACKER_TEST_BOX=skip."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import machine
from .box import Box
from .machine import PLACE, UNITS, WHEELHOUSE, Installation
from .service import UNITS as UNIT_NAMES
from .service import TrackerBox

PACKAGES = "/srv/packages"  # in the box: every wheel that tracker needs
WHEEL = "/srv/tracker"  # and its own
PIP = f"[global]\nno-index = true\nfind-links = {PACKAGES} {WHEEL}\ndisable-pip-version-check = true\n"


@pytest.fixture(scope="session")
def installation() -> Installation:
    """tracker, built and installed; without a box the tests fail, unless TRACKER_TEST_BOX=skip."""
    reason = machine.missing()
    if reason is not None:
        told = f"no test box: this machine lacks {reason}"
        if os.environ.get("TRACKER_TEST_BOX") == "skip":
            pytest.skip(told)
        pytest.fail(f"{told}, and TRACKER_TEST_BOX=skip does without", pytrace=False)
    return machine.install()


@pytest.fixture
def bare_box(installation: Installation) -> Iterator[Box]:
    """A machine with nothing of tracker's; pip works there, from wheels that lie in it."""
    with Box("bare", binds=_wheels(installation)) as box:
        box.write("/etc/pip.conf", PIP)
        yield box


@pytest.fixture
def box(installation: Installation) -> Iterator[TrackerBox]:
    """tracker in /opt/tracker, its units, example settings and credentials; nothing is started."""
    with tracker_box(installation) as box:
        yield box


@contextmanager
def tracker_box(installation: Installation) -> Iterator[TrackerBox]:
    """The same for a fixture that several tests share."""
    layers = {installation.venv: PLACE}
    with TrackerBox("tracker", binds=_wheels(installation), layers=layers) as box:
        box.write("/etc/pip.conf", PIP)
        for name in UNIT_NAMES:
            box.write(f"/etc/systemd/system/{name}", (UNITS / name).read_text())
        box.write("/usr/local/bin/tracker", (UNITS / "tracker.sh").read_text(), mode=0o755)
        box.run("systemd-sysusers", "-", check=True, input=(UNITS / "sysusers.conf").read_text())
        box.systemctl("daemon-reload")
        box.set_up((UNITS / "tracker.toml").read_text())
        yield box


def _wheels(installation: Installation) -> dict[Path, str]:
    return {WHEELHOUSE: PACKAGES, installation.wheel.parent: WHEEL}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Below a failure stands what the box's journal says."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Box):
                report.sections.append((f"the box {value.name}", value.journal_tail()))
    return report
