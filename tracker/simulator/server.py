"""Runs a simulator with uvicorn, in this process or in a thread of it."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.applications import Starlette

from tracker.errors import InputError, ListenError
from tracker.simulator.app import Simulator

OnListening = Callable[[str, int], None]
"""Called once with the host and the port that requests can now be sent to."""

STOP_SECONDS = 2


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would raise the signal again after serve(), and the exit code would be 143.
        yield


def serve(app: Starlette, host: str, port: int, on_listening: OnListening) -> None:
    """Serves until SIGTERM or SIGINT, in the main thread; returns after a clean stop.

    Raises ListenError when the address cannot be had, and what killed the webhook sender, if anything did.
    """
    asyncio.run(_serve_until_signal(app, host, port, on_listening))


async def _serve_until_signal(app: Starlette, host: str, port: int, on_listening: OnListening) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_until(stop, app, host, port, on_listening)


async def serve_until(
    stop: asyncio.Event, app: Starlette, host: str, port: int, on_listening: OnListening
) -> None:
    """Serves in the running loop until `stop` is set; otherwise as `serve`."""
    simulator: Simulator = app.state.simulator
    listener = _bind(host, port)
    address = listener.getsockname()
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    simulator.world.links.base_url = base_url(_reachable(address[0]), address[1])
    server = _Server(config, lambda: on_listening(address[0], address[1]))
    simulator.files.connections = lambda: list(server.server_state.connections)
    simulator.sender.on_death = stop.set
    watcher = asyncio.create_task(_stop_server(stop, simulator, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        listener.close()
    if simulator.sender.failure is not None:
        raise simulator.sender.failure


async def _stop_server(stop: asyncio.Event, simulator: Simulator, server: _Server) -> None:
    await stop.wait()
    simulator.stopping.set()  # frees the answers that hang on purpose
    server.should_exit = True


@contextmanager
def running(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """The simulator in a thread of its own; gives its base URL, and stops it at the end."""
    thread = _ServerThread(app, host, port)
    thread.start()
    try:
        thread.ready.wait()
        if thread.base_url is not None:
            yield thread.base_url
    finally:
        thread.stop()
    if thread.failure is not None:
        raise thread.failure


class _ServerThread(threading.Thread):
    def __init__(self, app: Starlette, host: str, port: int) -> None:
        super().__init__(name="simulator", daemon=True)
        self.ready = threading.Event()
        self.base_url: str | None = None
        self.failure: Exception | None = None
        self._app, self._address = app, (host, port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as problem:  # noqa: BLE001, RUF100 - handed over, raised by the owner of the thread
            self.failure = problem
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
        await serve_until(self._stop_event, self._app, *self._address, self._listening)

    def _listening(self, host: str, port: int) -> None:
        self.base_url = base_url(host, port)
        self.ready.set()

    def stop(self) -> None:
        if self._loop is not None and self._stop_event is not None:
            with suppress(RuntimeError):  # the loop is closed: the server has stopped by itself
                self._loop.call_soon_threadsafe(self._stop_event.set)
        self.join()


def base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reachable(host: str) -> str:
    """Where the links lead: listening everywhere is no address to connect to."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the other way round


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer on a kept
    # connection takes 40 ms. socket.create_server leaves it unnamed.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as problem:
        listener.close()
        refusal = InputError if isinstance(problem, OverflowError) else ListenError
        raise refusal(
            f"--listen {host}:{port}: cannot listen there: {problem}; for example: 127.0.0.1:8399"
        ) from problem
    return listener
