"""A machine of its own, within this one: a real systemd, seen and spoken to from the test."""

import ctypes
import http.client
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

SYSBOX = Path(__file__).with_name("sysbox")
BOXES = Path("/run/sysbox")
BOOT_SECONDS = 30.0
FIRST_LOOKS, LAST_LOOKS = 0.02, 0.25  # seconds between two looks at what makes no sound; each costs a process
TAIL = 60  # lines of the journal that a failure shows
CLONE_NEWNET = 0x40000000

T = TypeVar("T")
Record = dict[str, Any]
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class BoxError(AssertionError):
    """The box did not do what it was told; the message holds what it said."""


@dataclass(frozen=True)
class Answer:
    """What an HTTP server in the box answered; header names in small letters."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Box:
    """A booted systemd with processes, network, home folders and journal of its own; a context manager.

    `units` becomes /etc/systemd/system. `binds` are seen read-only; `layers` can be written to, and what is
    written is lost with the box, like everything else in it.
    """

    def __init__(
        self,
        name: str,
        units: Path | None = None,
        binds: Mapping[Path, str] | None = None,
        layers: Mapping[Path, str] | None = None,
    ) -> None:
        self.name = f"{name}-{os.getpid()}-{next(_numbers)}"
        self._units = units
        self._mounts = [f"{source}:{place}" for source, place in (binds or {}).items()]
        self._mounts += [f"{source}:{place}:cow" for source, place in (layers or {}).items()]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the box
        self._programs: list[subprocess.Popen[str]] = []

    # Life

    def __enter__(self) -> Self:
        """Boot. The box ends with the thread that does this, even where that is killed."""
        command = [str(SYSBOX), "boot", self.name, str(self._units or ""), *self._mounts]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said, start_new_session=True
        )
        try:
            self._wait_until_booted()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Pull the plug: the kernel ends every process of the box with its first one."""
        self._process.kill()
        self._process.wait()
        self.reap()
        self._said.close()
        subprocess.run([SYSBOX, "sweep"], check=True)

    def reap(self) -> None:
        """End the programs that `popen` has started."""
        while self._programs:
            program = self._programs.pop()
            program.kill()
            program.communicate()

    def _wait_until_booted(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while not (self._has_begun() and self._state() in ("running", "degraded")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._said.seek(0)
                raise BoxError(f"the box {self.name} does not boot:\n{self._said.read()}")
            time.sleep(FIRST_LOOKS)

    def _has_begun(self) -> bool:
        return (BOXES / self.name / "pid").exists()

    def _state(self) -> str:
        return self.run("systemctl", "is-system-running", "--wait").stdout.strip()

    # Programs and files inside

    def run(
        self,
        *command: str,
        check: bool = False,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, to its end; with `check`, BoxError where it fails."""
        done = subprocess.run(
            [SYSBOX, "run", self.name, *command],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise BoxError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(
        self,
        commands: str,
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run these lines, up to the first that fails."""
        shell = ("bash", "-eu", "-o", "pipefail", "-c", commands)
        return self.run(*shell, check=check, input=input, timeout=timeout)

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program that goes on; it ends with the box, or by its terminate()."""
        program = subprocess.Popen([SYSBOX, "run", self.name, *command], text=True, **options)
        self._programs.append(program)
        return program

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, and the folders above it."""
        self.run("install", "-D", f"--mode={mode:o}", "/dev/stdin", path, check=True, input=text)

    def put(self, file: Path, folder: str) -> str:
        """Copy a file of this machine into a folder of the box; returns where it is there."""
        path = f"{folder}/{file.name}"
        self.shell(f"mkdir -p {folder} && base64 -d > {path}", input=b64encode(file.read_bytes()).decode())
        return path

    def read(self, path: str) -> str:
        return self.run("cat", path, check=True).stdout

    def outside(self, path: str) -> Path:
        """Where this machine sees a file of the box; there may be no symbolic link in `path`."""
        return Path(f"/proc/{self._first_process()}/root{path}")

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Signal a process by the id that it has inside."""
        self.run("kill", f"-{number.value}", str(pid), check=True)

    # The network inside

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile belong to the box, and stay its own."""
        ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        theirs = os.open(f"/proc/{self._first_process()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter_network(theirs)
            yield
        finally:
            _enter_network(ours)
            os.close(ours)
            os.close(theirs)

    def connect(self, port: int, timeout: float = 20) -> socket.socket:
        """A connection to a TCP port of the box."""
        with self.network():
            connection = socket.socket()
        connection.settimeout(timeout)
        try:
            connection.connect(("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int = 8322,
        timeout: float = 20,
    ) -> Answer:
        """One HTTP request to a port of the box; raises OSError where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.sock = self.connect(port, timeout)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def _first_process(self) -> int:
        return int((BOXES / self.name / "pid").read_text())

    # systemd

    def systemctl(self, *arguments: str, timeout: float = 60) -> str:
        """What systemctl says; BoxError where it fails."""
        return self.run("systemctl", *arguments, check=True, timeout=timeout).stdout

    def show(self, name: str, unit: str = "tracker.service") -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).strip()

    def drop_in(self, text: str, unit: str = "tracker.service", name: str = "test") -> None:
        """Change a unit as `systemctl edit` does."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def journal(self, unit: str | None = "tracker.service", *options: str) -> list[Record]:
        """The journal's records, the oldest first: what the unit said, and what systemd said of it."""
        self.run("journalctl", "--sync", check=True)
        chosen = [] if unit is None else [f"--unit={unit}"]
        lines = self.run("journalctl", "--output=json", "--all", *chosen, *options, check=True).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def journal_tail(self) -> str:
        """The journal's end, for people."""
        options = ("--no-pager", "--output=short-precise", f"--lines={TAIL}")
        return "journal:\n" + self.run("journalctl", *options).stdout

    def wait_for(self, look: Callable[[], T | None], seconds: float = 20, why: str = "it") -> T:
        """What `look` finds in the end; BoxError where it finds nothing true in time."""
        deadline = time.monotonic() + seconds
        pause = FIRST_LOOKS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise BoxError(f"waited {seconds:g} s for {why}, in vain; {self.journal_tail()}")
            time.sleep(pause)
            pause = min(2 * pause, LAST_LOOKS)
        return found


def _enter_network(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
