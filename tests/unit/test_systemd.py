"""Sockets from systemd, handed to a real process as systemd does it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tracker.systemd import inherited_sockets

PROGRAM = """
import json, os, socket, sys
from tracker.systemd import inherited_sockets
environ = {**os.environ, "LISTEN_PID": str(os.getpid())}
sockets = inherited_sockets(environ)
answer = {
    name: {
        "fd": one.fileno(),
        "address": list(one.getsockname()) if one.family != socket.AF_UNIX else one.getsockname(),
        "inheritable": os.get_inheritable(one.fileno()),
        "no_delay": one.family == socket.AF_INET and one.getsockopt(socket.SOL_TCP, socket.TCP_NODELAY) > 0,
    }
    for name, one in sockets.items()
}
print(json.dumps(answer))
"""


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield sockets


def started_with(sockets: list[socket.socket], names: str | None) -> dict[str, Any]:
    """What a process finds that has `sockets` as its descriptors 3, 4 and so on."""
    environ = {**os.environ, "LISTEN_FDS": str(len(sockets))}
    if names is not None:
        environ["LISTEN_FDNAMES"] = names
    high = [os.dup(one.fileno()) for one in sockets]
    moves = "; ".join(f"exec {3 + n}<&{fd}" for n, fd in enumerate(high))
    try:
        ran = subprocess.run(
            [
                "bash",
                "-c",
                f'{moves}; exec "$0" -c "$1"' if moves else 'exec "$0" -c "$1"',
                sys.executable,
                PROGRAM,
            ],
            env=environ,
            pass_fds=high,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        for fd in high:
            os.close(fd)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def addresses(found: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {name: tuple(one["address"]) for name, one in found.items()}


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("public:admin", ["public", "admin"]),
        ("admin:public", ["admin", "public"]),
        (None, ["public", "admin"]),
        ("tracker.socket:tracker.socket", ["public", "admin"]),
        ("admin", ["admin", "public"]),
        ("unknown:public", ["admin", "public"]),
    ],
)
def test_sockets_are_known_by_name_else_by_order(
    listeners: list[socket.socket], names: str | None, order: list[str]
) -> None:
    given = listeners[:2]

    found = started_with(given, names)

    assert addresses(found) == {name: one.getsockname() for name, one in zip(order, given, strict=True)}


def test_one_socket_is_the_public_one(listeners: list[socket.socket]) -> None:
    found = started_with(listeners[:1], "tracker.socket")

    assert addresses(found) == {"public": listeners[0].getsockname()}


def test_they_answer_at_once_and_are_passed_on_to_nobody(listeners: list[socket.socket]) -> None:
    found = started_with(listeners[:2], "public:admin")

    assert [one["fd"] for one in found.values()] == [3, 4]
    assert not any(one["inheritable"] for one in found.values())
    assert all(one["no_delay"] for one in found.values())


def test_a_unix_socket_is_taken_as_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "public.sock"))
        listener.listen()

        found = started_with([listener], "public")

    assert found["public"]["address"] == str(tmp_path / "public.sock")


def test_without_systemd_there_are_none() -> None:
    assert inherited_sockets({}) == {}


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    assert inherited_sockets({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}) == {}


def test_no_sockets_are_none() -> None:
    assert inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}) == {}
    assert inherited_sockets({"LISTEN_PID": str(os.getpid())}) == {}
