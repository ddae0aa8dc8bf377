"""What systemd hands over: listening sockets (sd_listen_fds(3))."""

import os
import socket
from collections.abc import Mapping

FIRST_FD = 3


def inherited_sockets(environ: Mapping[str, str]) -> dict[str, socket.socket]:
    """The sockets passed by a socket unit, by their FileDescriptorName=.

    Sockets without a name of ours are taken in order: public, then admin.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    free = [name for name in ("public", "admin") if name not in names]
    sockets: dict[str, socket.socket] = {}
    for index in range(count):
        given = names[index] if index < len(names) else ""
        name = given if given in ("public", "admin") else free.pop(0) if free else ""
        os.set_inheritable(FIRST_FD + index, False)
        sockets[name] = _with_no_delay(socket.socket(fileno=FIRST_FD + index))
    return sockets


def _with_no_delay(listener: socket.socket) -> socket.socket:
    """asyncio sets TCP_NODELAY only where the socket says it is TCP; one from an fd does not, but the
    accepted connections inherit the option."""
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
