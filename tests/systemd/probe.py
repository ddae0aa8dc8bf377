"""Tries what a taken-over daemon would try, and prints what came of each: "done", or the error's name."""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
PER_LINUX32 = 8
HERE = Path(sys.argv[1])  # where the probe may write


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def write(path: str) -> Callable[[], object]:
    return lambda: Path(path).write_text("probe")


def open_socket(family: int, kind: int = socket.SOCK_RAW, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol).close()


def make_setuid() -> None:
    file = HERE / "setuid"
    file.touch()
    file.chmod(0o4755)


def in_a_child(call: Callable[[], object]) -> Callable[[], object]:
    """What it changes is changed for no other try."""

    def run() -> None:
        if (child := os.fork()) == 0:
            os._exit(_number(call))
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise OSError(code, "refused")

    return run


def _number(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or 255
    return 0


TRIES: dict[str, Callable[[], object]] = {
    "write /etc": write("/etc/probe"),
    "write /opt/tracker": write("/opt/tracker/probe"),
    "write /usr": write("/usr/probe"),
    "write /var/lib": write("/var/lib/probe"),
    "write /run": write("/run/probe"),
    "list /home": lambda: os.listdir("/home"),
    "list /root": lambda: os.listdir("/root"),
    "read the host's /tmp": lambda: Path("/tmp/of-the-host").read_text(),
    "see process 1": lambda: os.stat("/proc/1"),
    "read another's credentials": lambda: os.listdir("/run/credentials/systemd-sysusers.service"),
    "writable and executable memory": lambda: mmap.mmap(
        -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "new user namespace": in_a_child(lambda: checked(libc.unshare(CLONE_NEWUSER))),
    "new mount namespace": in_a_child(lambda: checked(libc.unshare(CLONE_NEWNS))),
    "mount": in_a_child(lambda: checked(libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None))),
    "chroot": in_a_child(lambda: os.chroot("/")),
    "netlink socket": open_socket(socket.AF_NETLINK),
    "packet socket": open_socket(socket.AF_PACKET),
    "raw socket": open_socket(socket.AF_INET, protocol=socket.IPPROTO_ICMP),
    "vsock socket": open_socket(40, socket.SOCK_STREAM),
    "make a setuid file": make_setuid,
    "name the host": in_a_child(lambda: socket.sethostname("probe")),
    "another personality": in_a_child(lambda: checked(libc.personality(PER_LINUX32))),
    "become another user": in_a_child(lambda: os.setuid(1)),
    "more priority": in_a_child(lambda: os.nice(-1)),
}


def tried() -> dict[str, str]:
    codes = {name: _number(call) for name, call in TRIES.items()}
    return {name: errno.errorcode[code] if code else "done" for name, code in codes.items()}


def kernel_says() -> dict[str, str]:
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    lines = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    return {name: lines[name] for name in wanted}


(HERE / "written").write_text("the state folder can be written to")
print(json.dumps({"tried": tried(), "kernel": kernel_says()}))
