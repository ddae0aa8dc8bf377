"""Apps served by the real server on a real socket, with the real store; and a client that can misbehave."""

import asyncio
import http.client
import json
import queue
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette

from tests.databases import write_migrated
from tracker.domain.schedule import Schedule
from tracker.observability.metrics import Metrics
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.tracking.recorder import Recorder
from tracker.web.listen import open_listener
from tracker.web.server import Server

DEADLINE = 10.0
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
Headers = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Services:
    """The store and the door to it, on a SQLite file of its own."""

    path: Path
    repository: Repository
    tracker: Recorder
    metrics: Metrics

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def empty(self) -> None:
        """Forget everything, so that the next test begins afresh."""
        for table in ("changes", "delivery_bodies", "deliveries", "translations"):
            self.sql(f"DELETE FROM {table}")


@contextmanager
def core_in(folder: Path) -> Iterator[Services]:
    path = folder / "tracker.db"
    write_migrated(path)
    repository = Repository(open_engines(f"sqlite:///{path}", synchronous="normal"), lambda: NOON)
    repository.open()
    metrics = Metrics()
    try:
        yield Services(path, repository, Recorder(repository, Schedule(), metrics), metrics)
    finally:
        repository.close()


@dataclass
class Client:
    """A client of one server, that says exactly what it is told to say."""

    address: tuple[str, int]
    headers: Headers = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE)

    def request(self, method: str, path: str, *, body: bytes = b"", headers: Headers = ()) -> Answer:
        with self.connect() as connection:
            connection.sendall(self.head(method, path, [*headers, ("Content-Length", str(len(body)))]) + body)
            return read_answer(connection, method)

    def head(self, method: str, path: str, headers: Headers = ()) -> bytes:
        """The request line and the headers, as bytes."""
        given = {name.lower() for name, _ in [*self.headers, *headers]}
        host = [] if "host" in given else [("Host", f"{self.address[0]}:{self.address[1]}")]
        lines = [f"{method} {path} HTTP/1.1".encode()]
        for name, value in [*host, *self.headers, *headers]:
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
        return b"\r\n".join([*lines, b"", b""])


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    with closing(response):
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def drip(connection: socket.socket, content: bytes) -> None:
    """Send a byte of `content` now and then, again and again, until the other side has had enough."""
    position, start = 0, time.monotonic()
    while not select.select([connection], [], [], 0.02)[0]:
        assert time.monotonic() - start < DEADLINE, "the other side listens for ever"
        connection.sendall(content[position % len(content) :][:1])
        position += 1


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other side's end; False where it says something else first."""
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


@contextmanager
def served(
    app: Starlette, *, header_seconds: float = DEADLINE, stop_seconds: float = 1.0
) -> Iterator[Client]:
    """A client of `app`, which is served in a thread of its own."""
    listening: queue.Queue[tuple[Server, asyncio.AbstractEventLoop]] = queue.Queue()

    async def serve() -> None:
        listener = open_listener(host="127.0.0.1", port=0)
        server = Server("test", app, [listener], stop_seconds=stop_seconds, header_seconds=header_seconds)
        serving = asyncio.create_task(server.serve_here())
        await server.listening()
        listening.put((server, asyncio.get_running_loop()))
        await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop = listening.get(timeout=DEADLINE)
    where = urlsplit(server.address)
    try:
        yield Client((str(where.hostname), int(where.port or 0)))
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop)
        thread.join(DEADLINE)
        assert not thread.is_alive()
