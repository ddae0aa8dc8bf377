"""What this machine must have for a test box, and what is put into one: Python, wheels, tracker itself."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.omissions import leave_out

from .box import Box, BoxError

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
PYTHON = "/usr/bin/python3"  # the sandbox hides home folders, and a Python in one of them
REQUIREMENTS = ROOT / "requirements.txt"
WHEELHOUSE = ROOT / ".venv" / "wheelhouse"
CACHE = ROOT / ".venv" / "box"
KEPT = 6  # installations; another pytest may still use an older one
BUILT_FROM = ("tracker", "migrations", "systemd", "pyproject.toml", "README.md", "LICENSE")
PROGRAMS = {  # that boot a box, and their Debian packages
    "systemctl": "systemd",
    "/lib/systemd/systemd": "systemd",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "findmnt": "mount",
    "flock": "util-linux",
    "ip": "iproute2",
}
PACKAGES = {  # of programs that single tests use in a box, where they have another name
    "apt-get": "apt",
    "dbus-daemon": "dbus",  # systemd-run, and so /usr/local/bin/tracker, wants the system bus
    "dpkg-deb": "dpkg",
    "pgrep": "procps",
    "psql": "postgresql",
    "script": "bsdutils",
    "ss": "iproute2",
}
BOX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as in sysbox
PLACE = "/opt/tracker"


@dataclass(frozen=True)
class Installation:
    """tracker's wheel, and a virtual environment with it that works at /opt/tracker."""

    wheel: Path
    venv: Path


def missing() -> tuple[str, str] | None:
    """What a box needs and this machine lacks, and how to get it; or None."""
    if os.geteuid() != 0:
        return "root", "run the tests as root"
    for program, package in PROGRAMS.items():
        if not Path(program).exists() and shutil.which(program) is None:
            return program, f"apt-get install {package}"
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run([PYTHON, "-c", check], capture_output=True, check=False).returncode != 0:
        return f"{PYTHON} of version 3.11 or newer, with venv", "apt-get install python3-venv"
    complete = WHEELHOUSE / "complete"
    if not complete.exists() or complete.read_text() != REQUIREMENTS.read_text():
        return "the packages to install in the box", "make wheelhouse"
    return _refusal()


def _refusal() -> tuple[str, str] | None:
    """Whether a box boots: namespaces, overlayfs and control groups can be refused in many ways."""
    try:
        with Box("trial"):
            return None
    except BoxError as error:
        reason = " ".join(str(error).split())
        return (
            f"namespaces, overlayfs or cgroup v2 ({reason})",
            "a machine or a container with all capabilities",
        )


def need(*programs: str) -> None:
    """Leave a test out that uses a program which this machine, and so the box, does not have."""
    for program in programs:
        if shutil.which(program, path=BOX_PATH) is None:
            leave_out(f"no {program}", f"apt-get install {PACKAGES.get(program, program)}")


def install() -> Installation:
    """tracker as it is now, installed from its wheel; kept for the next run."""
    CACHE.mkdir(exist_ok=True)
    with _alone():
        base = _packages()
        made = CACHE / f"tracker-{_digest(base.name, *BUILT_FROM)}"
        if not made.exists():
            _make(base, made)
        made.touch()
        for old in sorted(CACHE.glob("tracker-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)
    [wheel] = (made / "wheel").glob("*.whl")
    return Installation(wheel, made / "venv")


@contextmanager
def _alone() -> Iterator[None]:
    """The workers of pytest-xdist make things one at a time."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(start: str, *names: str) -> str:
    """Of the files with these names, and below them."""
    digest = hashlib.sha256(start.encode())
    for name in names:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _packages() -> Path:
    """A virtual environment with everything but tracker."""
    version = _run(PYTHON, "-VV")
    made = CACHE / f"packages-{_digest(version, 'requirements.txt')}"
    if not made.exists():
        for old in CACHE.glob("packages-*"):
            shutil.rmtree(old)
        half = CACHE / "half"
        shutil.rmtree(half, ignore_errors=True)
        _run(PYTHON, "-m", "venv", str(half))
        _pip(half, "--require-hashes", "--no-deps", "--requirement", str(REQUIREMENTS))
        half.rename(made)
    return made


def _make(base: Path, made: Path) -> None:
    half = CACHE / "half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(half / "wheel"))
    [wheel] = (half / "wheel").glob("*.whl")
    venv = half / "venv"
    shutil.copytree(base, venv, symlinks=True, copy_function=os.link)
    _pip(venv, "--no-deps", str(wheel))
    _move_to(PLACE, venv, [str(venv), str(base), str(CACHE / "half")])
    half.rename(made)


def _pip(venv: Path, *what: str) -> None:
    """Install from the wheelhouse alone; whatever pip is set to on this machine does not count."""
    pip = (str(venv / "bin" / "python3"), "-m", "pip", "--isolated", "install", "--quiet", "--no-cache-dir")
    _run(*pip, "--no-index", "--find-links", str(WHEELHOUSE), *what)


def _move_to(place: str, venv: Path, names: list[str]) -> None:
    """Scripts name the folder of their Python; here is the one that they will stand in."""
    for file in [*(venv / "bin").iterdir(), venv / "pyvenv.cfg"]:
        if file.is_symlink() or not file.is_file():
            continue
        old = new = file.read_bytes()
        for name in names:
            new = new.replace(name.encode(), place.encode())
        if new != old:
            mode = file.stat().st_mode
            file.unlink()  # a link to the file of the packages, which must stay as it is
            file.write_bytes(new)
            file.chmod(mode)


def _run(*command: str) -> str:
    """What a command prints; RuntimeError where it fails."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
