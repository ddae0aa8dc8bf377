"""The units as files: explained line by line, understood by systemd, and closed by its own measure."""

import json
import re

from .machine import UNITS
from .service import TrackerBox

SERVICE = (UNITS / "tracker.service").read_text()
HARDENING = re.compile(
    r"^(Protect|Private|Restrict|SystemCall|NoNew|Capability|Ambient|Lock|MemoryDeny|Keyring|RemoveIPC|UMask"
    r"|LimitCORE|DevicePolicy|ProcSubset)\w*="
)
MOST = 1.3
KINDS = ("service", "socket")


def test_every_hardening_line_has_a_comment_of_its_own() -> None:
    lines = SERVICE.splitlines()
    hardening = [number for number, line in enumerate(lines) if HARDENING.match(line)]
    comments = [lines[number - 1] for number in hardening]

    assert len(hardening) > 25
    assert [lines[at] for at, comment in zip(hardening, comments, strict=True) if comment[:2] != "# "] == []
    assert len(set(comments)) == len(comments)


def test_the_sandbox_is_as_closed_as_promised(box: TrackerBox) -> None:
    box.write("/run/tracker.service", SERVICE)
    measure = ("systemd-analyze", "security", "--offline=true", "/run/tracker.service")

    said = box.run(*measure, check=True).stdout

    [exposure] = re.findall(r"Overall exposure level for tracker.service: ([\d.]+)", said)
    assert float(exposure) <= MOST


def test_systemd_finds_nothing_wrong_with_the_units(box: TrackerBox) -> None:
    units = [f"/etc/systemd/system/{path.name}" for path in UNITS.iterdir() if path.suffix[1:] in KINDS]

    done = box.run("systemd-analyze", "verify", "--man=no", *units)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert len(units) == 3


def test_the_units_can_be_enabled_and_listen_after_that(box: TrackerBox) -> None:
    box.systemctl("enable", "--now", "tracker.service")

    enabled = [
        box.run("systemctl", "is-enabled", unit.name).stdout.strip() for unit in UNITS.glob("*.socket")
    ]
    assert enabled == ["enabled", "enabled"]
    listening = json.loads(box.systemctl("list-sockets", "--output=json", "tracker*"))
    assert {one["listen"] for one in listening} == {"127.0.0.1:8321", "127.0.0.1:8322"}
