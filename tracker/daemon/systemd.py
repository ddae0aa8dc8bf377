"""What systemd hands over (sd_listen_fds(3)), and what it is told (sd_notify(3))."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import structlog

from tracker.errors import ListenError

log = structlog.get_logger("tracker.systemd")

FIRST_FD = 3
SEND_SECONDS = 1.0
EXTEND_EVERY = 5.0  # seconds
EXTEND_BY = 30.0  # seconds; a start that is not heard of for so long has hung


def writes_to_journal(environ: Mapping[str, str]) -> bool:
    """Whether standard error is the journal (systemd.exec(5)); terminals inherit the variable, too."""
    try:
        stat = os.fstat(2)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class Manager:
    """The service manager, told how the daemon fares; where there is none, nobody is told.

    `watchdog`: within so many seconds it wants to hear that all is well, again and again; None: it does not.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._address, self.watchdog = address, watchdog
        self._status: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Manager":
        """The one that has started us, as the environment names it."""
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
        is_watched = usec.isdecimal() and int(usec) > 0 and pid in (None, str(os.getpid()))
        return cls(environ.get("NOTIFY_SOCKET"), int(usec) / 1_000_000 if is_watched else None)

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def ready(self) -> None:
        """Started, or done with reading the settings again."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line for people, shown by `systemctl status`."""
        text = " ".join(text.split())
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def reloading(self) -> None:
        """The settings are read again; `ready` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within: float) -> None:
        """The end has begun, and may take so many seconds."""
        self._tell("STOPPING=1", _extension(within))

    def feed_watchdog(self) -> None:
        """All is well."""
        self._tell("WATCHDOG=1")

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """Ask for more time for as long as this takes: what is under way cannot be hurried."""
        extending = asyncio.create_task(self._extend())
        try:
            yield
        finally:
            extending.cancel()

    async def _extend(self) -> None:
        while True:
            self._tell(_extension(EXTEND_BY))
            await asyncio.sleep(EXTEND_EVERY)

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_SECONDS)
            try:
                sender.sendto("\n".join(lines).encode(), address)
            except OSError as error:  # nobody to tell is no reason to stop
                log.warning("systemd not notified", message=lines[0], error=str(error))


def _extension(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def inherited_sockets(environ: Mapping[str, str]) -> dict[str, list[socket.socket]]:
    """The sockets passed by the socket units, by their FileDescriptorName=; a unit may have several.

    Sockets without a name of ours are taken in order: public, then admin; raises ListenError for more.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    free = [name for name in ("public", "admin") if name not in names]
    sockets: dict[str, list[socket.socket]] = {}
    for index in range(count):
        given = names[index] if index < len(names) else ""
        if given not in ("public", "admin") and not free:
            raise ListenError(
                f"systemd passed a socket named {given!r} beside public and admin; "
                "its unit needs FileDescriptorName=public or FileDescriptorName=admin"
            )
        name = given if given in ("public", "admin") else free.pop(0)
        os.set_inheritable(FIRST_FD + index, False)
        sockets.setdefault(name, []).append(_with_no_delay(socket.socket(fileno=FIRST_FD + index)))
    return sockets


def _with_no_delay(listener: socket.socket) -> socket.socket:
    """asyncio sets TCP_NODELAY only where the socket says it is TCP; one from an fd does not, but the
    accepted connections inherit the option."""
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
