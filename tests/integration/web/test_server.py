"""The server's end: what was accepted is answered, and whoever comes later waits for the next process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from http import HTTPStatus

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.integration.web.served import DEADLINE
from tracker.web.listen import open_listener
from tracker.web.server import DRAIN_SECONDS, PromptProtocol, Server

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def running(listener: socket.socket, *, keep_alive: bool = True) -> AsyncIterator[Server]:
    """A server on the listener, as systemd hands it out: a copy."""

    async def answer(_request: Request) -> Response:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", answer)])
    server = Server("test", app, [listener.dup()], stop_seconds=1, keep_alive=keep_alive)
    serving = asyncio.create_task(server.serve_here())
    await server.listening()
    try:
        yield server
        await server.stop()
    finally:
        server.should_exit = True
        async with asyncio.timeout(DEADLINE):
            await serving


@asynccontextmanager
async def connected(to: socket.socket | tuple[str, int]) -> AsyncIterator[Stream]:
    """A connection to this address, or the one that is there already."""
    if isinstance(to, socket.socket):
        to.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=to)
    else:
        reader, writer = await asyncio.open_connection(*to)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(stream: Stream) -> tuple[int, str]:
    """The answer's status, and what it says of the connection."""
    async with asyncio.timeout(DEADLINE):
        head = (await stream[0].readuntil(b"\r\n\r\n")).decode().lower()
        assert await stream[0].readexactly(2) == b"ok"
    lines = dict(line.split(": ", 1) for line in head.splitlines()[1:-1])
    return int(head.split()[1]), lines.get("connection", "")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def listener() -> AsyncIterator[socket.socket]:
    with closing(open_listener(host="127.0.0.1", port=0)) as one:
        one.listen(4096)
        yield one


async def test_without_keep_alive_every_answer_ends_its_connection(listener: socket.socket) -> None:
    async with running(listener, keep_alive=False), connected(listener.getsockname()) as stream:
        stream[1].write(REQUEST)
        assert await status_of(stream) == (HTTPStatus.OK, "close")
        assert await stream[0].read() == b""


async def test_with_it_the_next_request_may_come_on_the_same(listener: socket.socket) -> None:
    async with running(listener), connected(listener.getsockname()) as stream:
        for _ in range(2):
            stream[1].write(REQUEST)
            assert await status_of(stream) == (HTTPStatus.OK, "")


async def test_a_request_that_comes_while_the_server_stops_is_answered(listener: socket.socket) -> None:
    async with running(listener) as server, connected(listener.getsockname()) as stream:
        await until(lambda: server.server_state.connections)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        stream[1].write(REQUEST)
        assert not server.should_exit
        assert (await status_of(stream))[0] == HTTPStatus.OK
        await stopping


@pytest.mark.parametrize("turns", range(5))
async def test_whoever_came_before_the_stop_is_answered_by_this_process_or_the_next(
    listener: socket.socket, turns: int
) -> None:
    async with running(listener, keep_alive=False) as server:
        senders = [socket.create_connection(listener.getsockname(), DEADLINE) for _ in range(50)]
        for sender in senders:
            sender.sendall(REQUEST)
        for _ in range(turns):  # of the loop: none, some or all were accepted when the end begins
            await asyncio.sleep(0)
        await server.stop()
    async with running(listener, keep_alive=False):
        for sender in senders:
            async with connected(sender) as stream:
                assert await status_of(stream) == (HTTPStatus.OK, "close")


async def test_whoever_comes_after_the_stop_waits_for_the_next_process(listener: socket.socket) -> None:
    async with running(listener) as server:
        await server.stop()
        sender = socket.create_connection(listener.getsockname(), DEADLINE)
        sender.sendall(REQUEST)
    async with running(listener), connected(sender) as stream:
        assert (await status_of(stream))[0] == HTTPStatus.OK


async def test_a_connection_that_was_answered_keeps_nobody_waiting(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with running(listener) as server, connected(listener.getsockname()) as stream:
        stream[1].write(REQUEST)
        await status_of(stream)
        began = loop.time()
        await server.stop()
        assert loop.time() - began < DRAIN_SECONDS / 2


async def test_a_connection_that_has_long_said_nothing_keeps_nobody_waiting(listener: socket.socket) -> None:
    """Browsers open some in reserve."""
    loop = asyncio.get_running_loop()
    async with running(listener) as server, connected(listener.getsockname()):
        await until(lambda: server.server_state.connections)
        for connection in server.server_state.connections:
            assert isinstance(connection, PromptProtocol)
            connection.connected_at -= DRAIN_SECONDS
        began = loop.time()
        await server.stop()
        assert loop.time() - began < DRAIN_SECONDS / 2


async def test_a_sender_who_says_nothing_is_hung_up_on(listener: socket.socket) -> None:
    async with connected(listener.getsockname()) as stream, running(listener) as server:
        await until(lambda: server.server_state.connections)
        async with asyncio.timeout(DEADLINE):
            await server.stop()
            assert await stream[0].read() == b""
