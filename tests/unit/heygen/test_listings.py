"""HeyGen's list and its event log, asked for over HTTP and read whatever they say."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.builders import ID, NOON, URL, after, event
from tracker.domain.page import Page
from tracker.domain.status import Source, Status
from tracker.errors import HeyGenError, KeyRejectedError, RateLimitedError, RefusedError, TransientError
from tracker.heygen.client import HeyGenClient
from tracker.heygen.listings import EventLog, TranslationList

pytestmark = pytest.mark.anyio

HTML = b"<html><body>Moved</body></html>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """Answers every request in the same way, and keeps what was asked."""

    def __init__(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", "connection: close", *headers]
        self._answer = "\r\n".join([*lines, "", ""]).encode() + body
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        parts = urlsplit(request.split()[1])
        self.asked.append((parts.path, parse_qs(parts.query)))
        writer.write(self._answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[HeyGenClient]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        async with HeyGenClient("a-key", f"http://{host}:{port}", rate_limit=1000, concurrency=1) as client:
            yield client


async def log_of(*entries: object, **more: object) -> Page:
    server = Server(200, json.dumps({"data": entries, **more}).encode())
    async with client_of(server) as client:
        return await EventLog(client).page(None, NOON)


def logged(
    event_type: str = "video_translate.success", at: object = 1795435200, **data: Any
) -> dict[str, Any]:
    return {"event_id": "e", "created_at": at, **event(event_type, **data)}


async def test_the_list_is_asked_for_whole_pages_by_token() -> None:
    row = {"id": ID, "status": "completed", "video_url": URL, "created_at": 1795435200, "callback_id": "mine"}
    server = Server(200, json.dumps({"data": [row, {}], "has_more": True, "next_token": "t2"}).encode())
    async with client_of(server) as client:
        page = await TranslationList(client).page(None, NOON)
        await TranslationList(client).page("a b&c", NOON)
    path = "/v3/video-translations"
    assert server.asked == [(path, {"limit": ["100"]}), (path, {"limit": ["100"], "token": ["a b&c"]})]
    [seen] = page.observations
    assert (seen.source, seen.status, seen.video_translate_id) == (Source.LIST, Status.SUCCESS, ID)
    assert (seen.callback_id, seen.details.url, seen.observed_at) == ("mine", URL, NOON)
    assert (page.next_token, page.unreadable, page.cut, page.times) == ("t2", 1, None, [NOON])


async def test_the_log_is_asked_for_whole_pages_of_all_types() -> None:
    server = Server(200, json.dumps({"data": []}).encode())
    async with client_of(server) as client:
        assert await EventLog(client).page("t", NOON) == Page([], times=[])
    assert server.asked == [("/v3/webhooks/events", {"limit": ["100"], "token": ["t"]})]


async def test_ends_are_read_as_webhooks_are() -> None:
    page = await log_of(
        logged(url=URL, callback_id="mine", output_language="Urdu"),
        logged("video_translate.fail", at="2026-11-23T12:00:05Z", msg="No speech"),
    )
    good, bad = page.observations
    assert (good.source, good.status, good.provider_status) == (Source.EVENT_LOG, Status.SUCCESS, "success")
    assert (good.occurred_at, good.observed_at, good.authentic, good.hint) == (NOON, NOON, True, False)
    assert (good.details.url, good.callback_id, good.details.output_language) == (URL, "mine", "Urdu")
    assert (bad.status, bad.details.message, bad.occurred_at) == (Status.FAILED, "No speech", after(5))
    assert page.times == [NOON, after(5)]


@pytest.mark.parametrize("name", ["video_translate_id", "video_translation_id", "id"])
async def test_an_end_names_its_translation_in_any_of_the_known_ways(name: str) -> None:
    entry = {"event_type": "video_translate.success", "event_data": {name: "other-es"}, "created_at": None}
    page = await log_of(entry)
    assert [one.video_translate_id for one in page.observations] == ["other-es"]
    assert page.times == []


async def test_preflight_and_batch_events_and_ends_without_an_id_are_dated_hints() -> None:
    page = await log_of(
        logged("video_translate.preflight.validation_failed"),
        logged("batch.finished"),
        logged(video_translate_id=None, callback_id="mine"),
    )
    assert [(one.hint, one.status, one.occurred_at) for one in page.observations] == [(True, None, NOON)] * 3


async def test_other_products_are_ignored_and_what_cannot_be_read_is_counted() -> None:
    page = await log_of(
        logged("avatar_video.success"),
        logged("batch.finished", video_translate_id=None),
        logged(video_translate_id="no id of theirs"),
        logged(video_translate_id=None),
        {"event_data": {"video_translate_id": ID}},
        *(None, "text", 5, []),
    )
    assert (page.observations, page.ignored, page.unreadable) == ([], 2, 7)
    assert page.times == [NOON] * 4  # also where it is none of ours: it tells how far back the page goes


async def test_more_without_a_token_is_no_end_to_be_trusted() -> None:
    page = await log_of(has_more=True, next_token=None)
    assert page.next_token is None
    assert page.cut is not None
    assert "names no token" in page.cut


@pytest.mark.parametrize("listing", [TranslationList, EventLog])
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": {"code": "invalid_parameter", "message": "The token is not valid"}}', RefusedError),
        (404, b'{"error": {"code": "not_found", "message": "No such token"}}', RefusedError),
        (404, HTML, RefusedError),
        (410, b"", RefusedError),
        (405, b"{}", RefusedError),
        (302, HTML, RefusedError),
        (200, HTML, RefusedError),
        (401, b'{"error": {"code": "unauthorized", "message": "no"}}', KeyRejectedError),
        (403, HTML, KeyRejectedError),
        (429, b"{}", RateLimitedError),
        (500, HTML, TransientError),
        (200, b"", TransientError),
        (200, b'{"data": {}}', TransientError),
        (200, b'{"has_more": false}', TransientError),
        (200, b"[]", TransientError),
    ],
)
async def test_an_answer_that_is_no_page_is_told_for_what_it_is(
    listing: type[TranslationList] | type[EventLog], status: int, body: bytes, kind: type[HeyGenError]
) -> None:
    server = Server(status, body, "location: http://127.0.0.1:1/elsewhere")
    async with client_of(server) as client:
        with pytest.raises(HeyGenError) as caught:
            await listing(client).page("t", NOON)
    assert type(caught.value) is kind
    assert len(server.asked) == 1  # no redirect is followed
    assert "a-key" not in str(caught.value)
