"""A file host that says what it is told to, byte by byte, and remembers what it was asked."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tracker.domain.files.allowed_hosts import FileHosts
from tracker.outbound.file_client import FileClient
from tracker.outbound.stall_detection import Patience

QUERY = "Expires=1796040000&Signature=s3cret~signature&Key-Pair-Id=K1"
QUICK = Patience(connect=2, head=5, read=5, least=100, window=60)


def answer(status: int, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    """An HTTP answer as it goes over the wire; `length`: what it says instead of the truth, -1 nothing."""
    said = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Said So", *headers, *([f"Content-Length: {said}"] if said >= 0 else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Host:
    """Answers each request with the next of `answers`, and hangs up. At |PAUSE| it waits for `over`."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.port = 0
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for number, piece in enumerate(self.answers.pop(0).split(b"|PAUSE|")):
                if number:
                    await self.over.wait()
                writer.write(piece)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    def url(self, path: str = "/video/original.mp4", query: str = QUERY) -> str:
        return f"http://127.0.0.1:{self.port}{path}?{query}"

    def sent(self, header: str) -> list[str | None]:
        """What each request said under this header."""
        return [_header(request, header) for request in self.requests]


def _header(request: str, wanted: str) -> str | None:
    lines = (line.partition(": ") for line in request.split("\r\n")[1:])
    return next((value for name, _, value in lines if name.lower() == wanted.lower()), None)


@asynccontextmanager
async def host_with(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    host = Host(*answers)
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls) as listening:
        host.port = listening.sockets[0].getsockname()[1]
        yield host
        host.over.set()


@asynccontextmanager
async def client_for(*hosts: Host, **given: Any) -> AsyncIterator[FileClient]:
    """A client that may ask these hosts."""
    unsafe = [f"127.0.0.1:{host.port}" for host in hosts]
    options: dict[str, Any] = {"max_bytes": 10_000_000, "patience": QUICK} | given
    async with FileClient(FileHosts(["*.heygen.ai"], unsafe), **options) as client:
        yield client


class Names(AbstractResolver):
    """Answers each question about a name with the next of these addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append((host, port))
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        """Holds nothing."""
