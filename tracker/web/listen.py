"""Listening sockets."""

import os
import socket
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tracker.errors import ListenError


def open_listener(*, host: str = "", port: int = 0, path: str = "") -> socket.socket:
    """A bound socket on `host` and `port`, or on the unix socket `path`; raises ListenError."""
    try:
        return _bind_unix(path) if path else _bind_tcp(host, port)
    except OSError as error:
        where = f"unix:{path}" if path else f"{host}:{port}"
        raise ListenError(
            f"cannot listen on {where}: {error.strerror or error}; is another program there?"
        ) from error


def address_of(listener: socket.socket) -> str:
    """Where it can be reached, for people."""
    name = listener.getsockname()
    return f"http://{name[0]}:{name[1]}" if isinstance(name, tuple) else f"unix:{name}"


def is_private(listener: socket.socket) -> bool:
    """True where only this machine can connect."""
    return listener.family == socket.AF_UNIX or ip_address(listener.getsockname()[0]).is_loopback


def _bind_tcp(host: str, port: int) -> socket.socket:
    [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # with the protocol named: asyncio sets TCP_NODELAY on nothing else, and answers would wait 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bound(listener, address)


def _bind_unix(path: str) -> socket.socket:
    """A socket file that nobody serves any more is replaced."""
    if Path(path).exists() and stat.S_ISSOCK(os.stat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) != 0:
                Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _bound(listener, path)
    os.chmod(path, 0o660)  # the proxy in front shares a group with us
    return listener


def _bound(listener: socket.socket, address: Any) -> socket.socket:
    """A socket that cannot be bound is not left open."""
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
