"""uvicorn, embedded: our sockets, our signals, and no patience with senders that dawdle."""

import asyncio
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tracker.web.listen import address_of

HEADER_SECONDS = 10.0
MAX_CONNECTIONS = 4096  # as many as wait in the listener's queue while the daemon restarts
SPARE_FILES = 256  # for the database, HeyGen and the libraries
DRAIN_SECONDS = 2.0  # of a connection's life, for a request that has not come yet
DRAIN_LOOK_SECONDS = 0.01
MAX_HEADER_BYTES = 64 * 1024


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection whose headers take too long or too much; uvicorn alone has no bound."""

    header_seconds = HEADER_SECONDS
    connected_at = 0.0  # by the loop's clock
    _header_bytes = 0
    _in_headers = False
    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.connected_at = self.loop.time()
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers:  # a body that is still sent after the answer is let run out
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.transport.close()
        if getattr(self.cycle, "response_complete", False):
            self._expect_headers()  # such bytes begin no request, and ended uvicorn's keep-alive time-out

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._expect_headers()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_hurrying()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_hurrying()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._hurry is None:
            self._hurry = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_hurrying(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


class Server(uvicorn.Server):
    """Serves one app on its listeners until `stop`; installs no signal handlers.

    `keep_alive` False: each answer closes its connection. A sender that comes back on an old one could
    meet it being closed by our stop, and its request would be lost.
    """

    def __init__(
        self,
        name: str,
        app: Starlette,
        listeners: Sequence[socket.socket],
        *,
        stop_seconds: float,
        keep_alive: bool = True,
        header_seconds: float = HEADER_SECONDS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (PromptProtocol,), {"header_seconds": header_seconds}),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the sender's address is read from our own setting's header
                headers=[] if keep_alive else [("Connection", "close")],
                backlog=MAX_CONNECTIONS,
                limit_concurrency=_most_connections(),
                timeout_graceful_shutdown=max(1, int(stop_seconds)),
            )
        )
        self.name = name
        self._listeners = list(listeners)
        self._is_listening = asyncio.Event()

    @property
    def address(self) -> str:
        """Where it can be reached, for people."""
        return ", ".join(map(address_of, self._listeners))

    async def listening(self) -> None:
        """Wait until connections are accepted."""
        await self._is_listening.wait()

    async def serve_here(self) -> None:
        """Serve until `stop`; what is being answered then is answered first."""
        await self.serve(sockets=self._listeners)

    async def stop(self) -> None:
        """Accept nothing more, answer what was accepted; then `serve_here` ends.

        Where systemd holds the listener, too, whoever comes from now on waits in its queue for the next
        process. uvicorn alone would close accepted connections whose request has not been read yet, and
        asyncio those that it has accepted while its server is closed: both are given their time first.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + DRAIN_SECONDS
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        is_accepting = True  # asyncio attaches what it has accepted a moment later
        while (is_accepting or self._awaits_requests()) and loop.time() < latest:
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
            is_accepting = False
        self.should_exit = True

    def _awaits_requests(self) -> bool:
        """Whether a connection has not brought any request, though it may; browsers open some in reserve."""
        young_since = asyncio.get_running_loop().time() - DRAIN_SECONDS
        return any(
            getattr(one, "cycle", None) is None and getattr(one, "connected_at", 0.0) > young_since
            for one in self.server_state.connections
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would raise the signal again after serve(), and nothing behind it would run
        yield


def _most_connections() -> int:
    """More than the process may open files would end in errors at accept."""
    most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(SPARE_FILES, min(MAX_CONNECTIONS, most_files - SPARE_FILES))
