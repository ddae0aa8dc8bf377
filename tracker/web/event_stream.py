"""Change notifications as server-sent events (WHATWG HTML, section 9.2); they carry no data."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tracker.web.live_updates import LiveUpdates, Stream

HEARTBEAT_SECONDS = 20.0  # proxies close idle connections, some after 30 s
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is nginx's
MEDIA_TYPE = "text/event-stream"
RETRY = "retry: 2000\n\n"  # milliseconds
CHANGE = "event: change\ndata: {}\n\n"  # browsers drop an event without data
HEARTBEAT = ": still here\n\n"


class EventStream(StreamingResponse):
    """Notifies one page of changes until either side closes the connection."""

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
        has_changed = await stream.wait(heartbeat_seconds)
        if not stream.has_ended:
            yield CHANGE if has_changed else HEARTBEAT
