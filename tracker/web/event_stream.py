"""News as server-sent events (WHATWG HTML, section 9.2): each says to look again, and nothing else."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tracker.web.live_updates import LiveUpdates, Stream

HEARTBEAT_SECONDS = 20.0  # proxies end what is silent, some after 30 s
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is nginx's
MEDIA_TYPE = "text/event-stream"
RETRY = "retry: 2000\n\n"  # milliseconds
NEWS = "event: change\ndata: {}\n\n"  # without data a browser would not tell it
HEARTBEAT = ": still here\n\n"


class EventStream(StreamingResponse):
    """Tells one page of changes until either side has had enough."""

    media_type = MEDIA_TYPE

    def __init__(
        self, live_updates: LiveUpdates, stream: Stream, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        super().__init__(_events(stream, heartbeat_seconds), headers=HEADERS)
        self._live_updates, self._stream = live_updates, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live_updates.leave(self._stream)


async def _events(stream: Stream, heartbeat_seconds: float) -> AsyncIterator[str]:
    yield RETRY
    while not stream.has_ended:
        is_new = await stream.told(heartbeat_seconds)
        if not stream.has_ended:
            yield NEWS if is_new else HEARTBEAT
