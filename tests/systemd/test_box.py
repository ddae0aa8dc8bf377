"""The test box itself: alone, without a way out, and gone without a trace, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .box import BOXES, SYSBOX, Box
from .machine import ROOT, Installation
from .service import CREDENTIALS, TrackerBox

BOOT = """
import sys
from tests.systemd.box import Box
box = Box("orphan").__enter__()
print(box.name, flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("installation")
def test_a_box_ends_with_whoever_booted_it_even_where_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BOOT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        name = program.stdout.readline().strip()
        first = int((BOXES / name / "pid").read_text())
        assert _is_alive(first)

        program.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while _is_alive(first):
        assert time.monotonic() < deadline
    _sweep()
    assert _traces(name) == []


def test_a_box_leaves_nothing_behind(installation: Installation) -> None:
    with Box("tidy", binds={installation.wheel: "/srv/wheel"}) as box:
        box.write("/etc/only-inside", "x")
        assert _traces(box.name)

    assert _traces(box.name) == []
    assert not Path("/etc/only-inside").exists()


def test_a_box_has_a_network_of_its_own(box: TrackerBox) -> None:
    assert box.shell("ls /sys/class/net").stdout.split() == ["lo"]
    with pytest.raises(ConnectionRefusedError):
        box.connect(8321)


def test_a_box_cannot_change_the_kernels_settings(box: TrackerBox) -> None:
    done = box.run("sh", "-c", "echo 1 > /proc/sys/vm/swappiness")

    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_a_reset_leaves_nothing_of_what_a_test_did(box: TrackerBox) -> None:
    before = _state(box)
    box.configure(rate_limit=1)
    box.drop_in("[Service]\nRestart=no\n")
    box.start()
    assert box.webhook("of-the-test-before").status == 200
    box.shell(
        "groupadd films; echo '::1 of-the-test' >> /etc/hosts; touch /opt/tracker/x /srv/x /tmp/x /home/x;"
        f"rm -r {CREDENTIALS}; systemctl enable -q tracker.service;"
        "systemd-run -q --unit=of-the-test sleep 600"
    )
    program = box.popen("sleep", "600")

    box.reset()

    assert _state(box) == before
    assert program.poll() is not None
    assert [record for record in box.journal(None) if "of-the-test" in str(record["MESSAGE"])] == []
    assert box.journal() == []
    box.start()
    assert box.row("of-the-test-before") is None


def _state(box: TrackerBox) -> list[str]:
    """Files, users, processes and units, as far as tests change them."""
    folders = "/etc/systemd/system /etc/tracker /srv /tmp /home /opt/tracker"
    return box.shell(
        f"find {folders} -maxdepth 2 -type d -printf '%p %m %u\\n' -o -printf '%p %m %u %s\\n' | sort;"
        "cat /etc/tracker/tracker.toml /etc/passwd /etc/group /etc/hosts; ls /var/lib /var/lib/private;"
        "systemctl list-units --no-legend --plain 'tracker*' 'of-the-test*';"
        "ps -eo args > /run/args; sort /run/args"
    ).stdout.splitlines()


def _is_alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _sweep() -> None:
    subprocess.run([SYSBOX, "sweep"], check=True)


def _traces(name: str) -> list[str]:
    """Folders and control groups of a box."""
    groups = [
        line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line
    ]
    places = [BOXES / name, *(Path(group, f"sysbox.{name}") for group in groups)]
    return [os.fspath(place) for place in places if place.exists()]
