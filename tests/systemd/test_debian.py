"""The Debian package: installed by apt without a network, upgraded, removed, installed again, purged."""

import subprocess
from pathlib import Path

import pytest

from .box import Box
from .machine import ROOT, WHEELHOUSE, need
from .newer import NEW, OLD
from .service import UNITS

APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -q"
DATA = ("/etc/tracker/tracker.toml", "/var/lib/tracker/tracker.db")


@pytest.fixture(scope="module")
def packages(both_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package of each version."""
    need("apt-get", "dpkg-deb", "dbus-daemon")
    folder = tmp_path_factory.mktemp("packages")
    return {version: packed(both_wheels, version, folder) for version in (OLD, NEW)}


def packed(wheels: Path, version: str, folder: Path) -> Path:
    contents = [*WHEELHOUSE.glob("*.whl"), *wheels.glob(f"*-{version}-*.whl")]
    subprocess.run([ROOT / "debian" / "build", *contents], cwd=folder, check=True, capture_output=True)
    [made] = folder.glob(f"heygen-tracker_{version}_*.deb")
    return made


@pytest.fixture
def package(packages: dict[str, Path], bare_box: Box) -> str:
    """This version's, and where it lies in the box."""
    return bare_box.put(packages[OLD], "/srv")


def test_apt_installs_upgrades_removes_and_purges_it(
    bare_box: Box, package: str, packages: dict[str, Path]
) -> None:
    bare_box.shell(f"{APT} install --no-install-recommends {package}")
    assert is_up(bare_box)
    assert bare_box.shell("cd /; tracker add abc-es; tracker list").stdout.count("abc-es") == 2

    bare_box.shell(f"{APT} install {bare_box.put(packages[NEW], '/srv')}")
    assert is_up(bare_box)
    assert bare_box.shell("cd /; tracker --version; tracker list").stdout.startswith(f"tracker {NEW}\n")
    assert "abc-es" in bare_box.shell("cd /; tracker list").stdout

    bare_box.shell(f"{APT} remove heygen-tracker")
    assert not is_up(bare_box)
    bare_box.run("ls", *DATA, check=True)
    assert bare_box.run("ls", "/opt/tracker", "/usr/local/bin/tracker").stdout == ""

    bare_box.shell(f"{APT} install /srv/*_{NEW}_*.deb")
    assert is_up(bare_box)
    assert "abc-es" in bare_box.shell("cd /; tracker list").stdout

    bare_box.shell(f"{APT} purge heygen-tracker")
    places = "/etc /opt /run /usr/local /usr/share /var/lib"
    assert bare_box.shell(f"find {places} -xdev -iname '*tracker*'").stdout == ""


def test_it_is_removed_also_where_the_units_are_gone_and_its_python_too(bare_box: Box, package: str) -> None:
    bare_box.shell(f"{APT} install {package}")
    bare_box.shell(
        "systemctl stop tracker.socket; rm -r /etc/systemd/system/tracker* /opt/tracker/lib/python3*"
    )

    bare_box.shell(f"{APT} install --reinstall {package}")  # as after an upgrade of Debian's Python
    assert bare_box.shell("/opt/tracker/bin/tracker --version").stdout == f"tracker {OLD}\n"
    bare_box.shell("systemctl stop tracker.socket; rm -r /etc/systemd/system/tracker*")

    bare_box.shell(f"{APT} purge heygen-tracker")
    assert bare_box.run("dpkg", "--status", "heygen-tracker").returncode != 0


def test_what_is_somebody_elses_is_left_alone(bare_box: Box, package: str) -> None:
    unit, program = "/etc/systemd/system/tracker.service", "/usr/local/bin/tracker"
    theirs = "[Service]\nExecStart=true\n"
    bare_box.write(unit, theirs)
    bare_box.write(program, "#!/bin/sh\n", mode=0o755)

    refused = bare_box.shell(f"{APT} install {package}", check=False)
    assert "was not written by `tracker units`" in refused.stdout + refused.stderr
    assert (bare_box.read(unit), bare_box.read(program)) == (theirs, "#!/bin/sh\n")

    bare_box.shell(f"{APT} purge heygen-tracker")
    assert (bare_box.read(unit), bare_box.read(program)) == (theirs, "#!/bin/sh\n")


def is_up(box: Box) -> bool:
    return all(box.run("systemctl", "is-active", unit).stdout == "active\n" for unit in UNITS)
