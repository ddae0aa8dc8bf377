"""The client, given another rate limit and another key while it runs; over loopback."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.builders import NOON
from tracker.heygen.client import HeyGenClient

pytestmark = pytest.mark.anyio

DEADLINE = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """Keeps the key of each request."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.keys += re.findall(r"(?i)^x-api-key: (.*)\r$", request, re.MULTILINE)
        self.asked.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def client_of(server: Server, rate_limit: float) -> AsyncIterator[HeyGenClient]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        async with HeyGenClient(
            "key-1", f"http://{host}:{port}", rate_limit=rate_limit, concurrency=10
        ) as client:
            yield client


async def ask(client: HeyGenClient, times: int) -> None:
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(client.ask("status", "/x", NOON) for _ in range(times)))


async def test_another_key_is_used_from_the_next_question_on() -> None:
    server = Server()
    async with client_of(server, rate_limit=1000) as client:
        await ask(client, 1)
        assert client.set_api_key("key-1") is False
        assert client.set_api_key("key-2") is True
        assert client.set_api_key("key-2") is False
        await ask(client, 1)
    assert server.keys == ["key-1", "key-2"]


async def test_a_higher_rate_limit_is_used_at_once() -> None:
    server = Server()
    async with client_of(server, rate_limit=0.001) as client:
        await ask(client, 1)
        client.set_rate_limit(1000)
        await ask(client, 5)
    assert len(server.keys) == 6


async def test_those_that_wait_already_need_not_wait_at_the_old_one() -> None:
    server = Server()
    async with client_of(server, rate_limit=1) as client:
        asking = asyncio.create_task(ask(client, 2 * int(DEADLINE)))
        async with asyncio.timeout(DEADLINE):
            await server.asked.wait()
        client.set_rate_limit(1000)
        await asking  # in time, which at the old one they would not be
    assert len(server.keys) == 2 * DEADLINE


async def test_a_lower_one_makes_the_second_wait() -> None:
    server = Server()
    async with client_of(server, rate_limit=1000) as client:
        await ask(client, 3)
        client.set_rate_limit(0.001)
        await ask(client, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(client, 1)
    assert len(server.keys) == 4


async def test_it_is_idle_while_nobody_waits_for_a_turn_and_again_once_those_who_waited_are_gone() -> None:
    server = Server()
    async with client_of(server, rate_limit=0.001) as client:
        idle = [client.is_idle]
        await ask(client, 1)
        idle.append(client.is_idle)
        waiting = asyncio.create_task(ask(client, 3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        idle.append(client.is_idle)
        waiting.cancel()
        await asyncio.wait([waiting])
        idle.append(client.is_idle)
    assert idle == [True, True, False, True]
