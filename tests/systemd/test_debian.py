"""The Debian package: installed by apt without a network, upgraded, removed, installed again, purged."""

import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from .box import Box
from .machine import ROOT, WHEELHOUSE, Installation

APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -q"
DATA = ("/etc/tracker/tracker.toml", "/var/lib/private/tracker/tracker.db")


@pytest.fixture
def package(bare_box: Box, installation: Installation, tmp_path: Path) -> str:
    """Where the package lies in the box."""
    wheels = [*map(str, WHEELHOUSE.glob("*.whl")), str(installation.wheel)]
    subprocess.run([ROOT / "debian" / "build", *wheels], cwd=tmp_path, check=True, capture_output=True)
    [made] = tmp_path.glob("heygen-tracker_0.1.0_*.deb")
    bare_box.shell("base64 -d > /srv/tracker.deb", input=b64encode(made.read_bytes()).decode())
    return "/srv/tracker.deb"


def test_apt_installs_upgrades_removes_and_purges_it(bare_box: Box, package: str) -> None:
    bare_box.shell(f"{APT} install --no-install-recommends {package}")
    assert is_up(bare_box)
    assert bare_box.shell("cd /; tracker add abc-es; tracker list").stdout.count("abc-es") == 2

    before = bare_box.show("MainPID")
    bare_box.shell(f"{APT} install --reinstall {package}")
    assert is_up(bare_box)
    assert bare_box.show("MainPID") != before

    bare_box.shell(f"{APT} remove heygen-tracker")
    assert not is_up(bare_box)
    bare_box.run("ls", *DATA, check=True)
    assert bare_box.run("ls", "/opt/tracker", "/usr/local/bin/tracker").stdout == ""

    bare_box.shell(f"{APT} install {package}")
    assert is_up(bare_box)
    assert "abc-es" in bare_box.shell("cd /; tracker list").stdout

    bare_box.shell(f"{APT} purge heygen-tracker")
    places = "/etc /opt /run /usr/local /usr/share /var/lib/private"
    assert bare_box.shell(f"find {places} -xdev -iname '*tracker*'").stdout == ""


def is_up(box: Box) -> bool:
    units = ("tracker.service", "tracker.socket", "tracker-admin.socket")
    return all(box.run("systemctl", "is-active", unit).stdout == "active\n" for unit in units)
