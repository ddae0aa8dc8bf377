"""Sockets from systemd, handed to a real process as systemd does it, and what systemd is told."""

import asyncio
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
from structlog.testing import capture_logs

from tracker.daemon import systemd
from tracker.daemon.systemd import Manager, inherited_sockets, writes_to_journal

PROGRAM = """
import json, os, socket, sys
from tracker.daemon.systemd import inherited_sockets

def found(names):
    named = {} if names is None else {"LISTEN_FDNAMES": names}
    sockets = inherited_sockets({**os.environ, "LISTEN_PID": str(os.getpid()), **named})
    kept.append(sockets)  # a socket that is forgotten closes its descriptor
    return [describe(name, one) for name, several in sockets.items() for one in several]

def describe(name, one):
    return {
        "name": name,
        "fd": one.fileno(),
        "address": list(one.getsockname()) if one.family != socket.AF_UNIX else one.getsockname(),
        "inheritable": os.get_inheritable(one.fileno()),
        "no_delay": one.family == socket.AF_INET and one.getsockopt(socket.SOL_TCP, socket.TCP_NODELAY) > 0,
    }

kept = []
print(json.dumps([found(names) for names in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield sockets


def started_with(sockets: list[socket.socket], *names: str | None) -> list[list[dict[str, Any]]]:
    """What a process finds that has `sockets` as its descriptors 3, 4 and so on, with each of these names."""
    high = [os.dup(each.fileno()) for each in sockets]
    moves = "".join(f"exec {3 + n}<&{fd}; " for n, fd in enumerate(high))
    try:
        ran = subprocess.run(
            ["bash", "-c", f'{moves}exec "$0" -c "$1" "$2"', sys.executable, PROGRAM, json.dumps(names)],
            env={**os.environ, "LISTEN_FDS": str(len(sockets))},
            pass_fds=high,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        for fd in high:
            os.close(fd)
    found: list[list[dict[str, Any]]] = json.loads(ran.stdout)
    return found


def addresses(found: list[dict[str, Any]]) -> list[tuple[str, tuple[str, int]]]:
    return [(one["name"], tuple(one["address"])) for one in found]


ORDERS: dict[str | None, list[str]] = {
    "public:admin": ["public", "admin"],
    "admin:public": ["admin", "public"],
    None: ["public", "admin"],
    "tracker.socket:tracker.socket": ["public", "admin"],
    "admin": ["admin", "public"],
    "unknown:public": ["admin", "public"],
}


def test_two_sockets_are_known_by_name_else_by_order_and_are_passed_on_to_nobody(
    listeners: list[socket.socket],
) -> None:
    pair = listeners[:2]

    results = started_with(pair, *ORDERS)

    for found, order in zip(results, ORDERS.values(), strict=True):
        assert addresses(found) == [
            (name, each.getsockname()) for name, each in zip(order, pair, strict=True)
        ]
        assert [each["fd"] for each in found] == [3, 4]
        assert not any(each["inheritable"] for each in found)
        assert all(each["no_delay"] for each in found)


def test_several_of_one_name_are_all_taken(listeners: list[socket.socket]) -> None:
    [found] = started_with(listeners, "public:admin:public")

    public, admin, also_public = (each.getsockname() for each in listeners)
    assert addresses(found) == [("public", public), ("public", also_public), ("admin", admin)]


def test_one_that_is_neither_is_refused(listeners: list[socket.socket]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        started_with(listeners, "public:admin:metrics")

    assert "a socket named 'metrics' beside public and admin" in refused.value.stderr


def test_one_socket_is_the_public_one(listeners: list[socket.socket]) -> None:
    [found] = started_with(listeners[:1], "tracker.socket")

    assert addresses(found) == [("public", listeners[0].getsockname())]


def test_a_unix_socket_is_taken_as_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "public.sock"))
        listener.listen()

        [found] = started_with([listener], "public")

    assert [(one["name"], one["address"]) for one in found] == [("public", str(tmp_path / "public.sock"))]


def test_without_systemd_there_are_none() -> None:
    assert inherited_sockets({}) == {}


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    assert inherited_sockets({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}) == {}


def test_no_sockets_are_none() -> None:
    assert inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}) == {}
    assert inherited_sockets({"LISTEN_PID": str(os.getpid())}) == {}


class Listener:
    """The end of the notification socket where systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._socket.settimeout(10)

    def heard(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    one = Listener(str(tmp_path / "notify") if request.param == "path" else f"@tracker-test-{os.getpid()}")
    yield one
    one.close()


def test_the_manager_is_told_what_happens(listener: Listener) -> None:
    manager = Manager.of({"NOTIFY_SOCKET": listener.address})

    manager.ready()
    assert listener.heard() == ["READY=1"]
    manager.feed_watchdog()
    assert listener.heard() == ["WATCHDOG=1"]
    manager.stopping(within=25)
    assert listener.heard() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=25000000"]
    manager.reloading()
    first, second = listener.heard()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_a_status_is_one_line_and_told_when_it_changes(listener: Listener) -> None:
    manager = Manager.of({"NOTIFY_SOCKET": listener.address})

    manager.status("1 open,\nREADY=1")
    manager.status("1 open,\nREADY=1")
    manager.status("2 open")

    assert [listener.heard(), listener.heard()] == [["STATUS=1 open, READY=1"], ["STATUS=2 open"]]


def test_what_takes_long_asks_for_time_again_and_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "EXTEND_EVERY", 0.001)
    manager = Manager.of({"NOTIFY_SOCKET": listener.address})

    async def work() -> None:
        async with manager.patience():
            asked = [await asyncio.to_thread(listener.heard) for _ in range(3)]
        assert asked == [["EXTEND_TIMEOUT_USEC=30000000"]] * 3

    asyncio.run(work())


def test_a_manager_that_is_gone_stops_nobody(listener: Listener) -> None:
    manager = Manager.of({"NOTIFY_SOCKET": listener.address})
    listener.close()

    with capture_logs() as events:
        manager.ready()

    assert [(one["event"], one["message"]) for one in events] == [("systemd not notified", "READY=1")]


def test_where_nobody_listens_nobody_is_told() -> None:
    manager = Manager.of({})

    with capture_logs() as events:
        manager.ready()

    assert (manager.is_there, manager.watchdog, events) == (False, None, [])


def test_the_watchdog_is_ours_or_nobodys() -> None:
    for environ, seconds in [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ]:
        assert Manager.of(environ).watchdog == seconds


def test_the_journal_is_known_by_what_standard_error_is() -> None:
    mine = os.fstat(2)

    assert writes_to_journal({"JOURNAL_STREAM": f"{mine.st_dev}:{mine.st_ino}"})
    assert not writes_to_journal({"JOURNAL_STREAM": f"{mine.st_dev}:{mine.st_ino + 1}"})
    assert not writes_to_journal({})
