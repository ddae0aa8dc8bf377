"""Boxes for the tests: a module's tests share one, which is reset between them."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.omissions import leave_out

from . import machine
from .box import Box
from .machine import PLACE, UNITS, WHEELHOUSE, Installation
from .newer import build_both
from .reset import remember
from .service import UNITS as UNIT_NAMES
from .service import TrackerBox

PACKAGES = "/srv/packages"  # in the box: every wheel that tracker needs
WHEEL = "/srv/tracker"  # and its own
PIP = f"[global]\nno-index = true\nfind-links = {PACKAGES} {WHEEL}\ndisable-pip-version-check = true\n"


@pytest.fixture(scope="session")
def installation() -> Installation:
    """tracker, built and installed; where there can be no box, the tests are left out."""
    missing = machine.missing()
    if missing is not None:
        what, remedy = missing
        leave_out(f"no real systemd to test against, for want of {what}", remedy)
    return machine.install()


@pytest.fixture(scope="session")
def both_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel of this version, and of a newer one with one more migration."""
    return build_both(tmp_path_factory.mktemp("both"))


@pytest.fixture
def bare_box(installation: Installation) -> Iterator[Box]:
    """A machine with nothing of tracker's; pip works there, from wheels that lie in it."""
    with Box("bare", binds=_wheels(installation)) as box:
        box.write("/etc/pip.conf", PIP)
        yield box


@pytest.fixture(scope="module")
def module_box(installation: Installation) -> Iterator[TrackerBox]:
    """The box that the tests of a module share."""
    with tracker_box(installation) as box:
        remember(box)
        yield box


@pytest.fixture
def box(module_box: TrackerBox) -> TrackerBox:
    """tracker in /opt/tracker, its units, example settings and credentials; nothing is started."""
    if module_box.was_used:
        module_box.reset()
    module_box.was_used = True
    return module_box


@pytest.fixture
def fresh_box(installation: Installation) -> Iterator[TrackerBox]:
    """The same, booted for one test: what it changes in /opt/tracker, no reset would undo."""
    with tracker_box(installation) as box:
        yield box


@contextmanager
def tracker_box(installation: Installation) -> Iterator[TrackerBox]:
    layers = {installation.venv: PLACE}
    with TrackerBox("tracker", binds=_wheels(installation), layers=layers) as box:
        box.write("/etc/pip.conf", PIP)
        for name in UNIT_NAMES:
            box.write(f"/etc/systemd/system/{name}", (UNITS / name).read_text())
        box.write("/usr/local/bin/tracker", (UNITS / "tracker.sh").read_text(), mode=0o755)
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
