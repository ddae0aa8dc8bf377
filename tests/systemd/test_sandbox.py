"""The unit's sandbox, tried from inside by a program in the daemon's place."""

import json
from pathlib import Path
from typing import Any

import pytest

from .service import STATE, TrackerBox

PROBE = Path(__file__).with_name("probe.py").read_text()
UNSAFE = "in the service, refused; without its sandbox, done"
REFUSALS = {
    "write /etc": "EROFS",
    "write /opt/tracker": "EROFS",
    "write /usr": "EROFS",
    "write /var/lib": "EROFS",
    "write /run": "EACCES",  # not read-only: it is the user who may not
    "list /home": "EACCES",
    "list /root": "EACCES",
    "read the host's /tmp": "ENOENT",
    "see process 1": "ENOENT",
    "read another's credentials": "ENOENT",
    "writable and executable memory": "EPERM",
    "new user namespace": "EPERM",
    "new mount namespace": "EPERM",
    "mount": "EPERM",
    "chroot": "EPERM",
    "netlink socket": "EAFNOSUPPORT",
    "packet socket": "EAFNOSUPPORT",
    "raw socket": "EPERM",
    "vsock socket": "EAFNOSUPPORT",
    "make a setuid file": "EPERM",
    "name the host": "EPERM",
    "another personality": "EPERM",
    "become another user": "EPERM",
    "more priority": "EPERM",
}
NONE = "0000000000000000"
Findings = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def probed(module_box: TrackerBox) -> tuple[Findings, Findings]:
    """What the probe found in the service, and what it finds without a sandbox."""
    module_box.write("/opt/tracker/probe.py", PROBE)
    module_box.write("/tmp/of-the-host", "seen")
    module_box.write("/home/somebody/letter", "seen")
    return _as_the_service(module_box), _as_root(module_box)


def _as_the_service(box: TrackerBox) -> Findings:
    probe = f"/opt/tracker/bin/python3 /opt/tracker/probe.py {STATE}"
    box.drop_in(f"[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStart={probe}\n")
    box.systemctl("start", "tracker.service")
    return _findings(next(record["MESSAGE"] for record in box.journal() if record["MESSAGE"][0] == "{"))


def _as_root(box: TrackerBox) -> Findings:
    """The same program where nothing holds it back: every try of it must be able to succeed."""
    return _findings(
        box.shell("mkdir /run/here; /opt/tracker/bin/python3 /opt/tracker/probe.py /run/here").stdout
    )


def _findings(text: Any) -> Findings:
    found: Findings = json.loads(text)
    return found


@pytest.mark.parametrize("what", REFUSALS)
def test_the_sandbox_refuses(probed: tuple[Findings, Findings], what: str) -> None:
    in_the_service, without = probed

    assert (in_the_service["tried"][what], without["tried"][what]) == (REFUSALS[what], "done")


def test_the_probe_tries_nothing_else(probed: tuple[Findings, Findings]) -> None:
    assert set(probed[0]["tried"]) == set(REFUSALS)


def test_the_kernel_knows_no_capability_no_new_privileges_and_a_filter(
    probed: tuple[Findings, Findings],
) -> None:
    in_the_service, without = probed

    held = {name: value for name, value in in_the_service["kernel"].items() if name.startswith("Cap")}
    assert held == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), NONE)
    assert (in_the_service["kernel"]["NoNewPrivs"], in_the_service["kernel"]["Seccomp"]) == ("1", "2")
    assert without["kernel"]["CapEff"] != NONE
    assert (without["kernel"]["NoNewPrivs"], without["kernel"]["Seccomp"]) == ("0", "0")
