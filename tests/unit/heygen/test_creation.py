"""What is asked of HeyGen to create translations, and what its answers mean."""

import asyncio
import socket
from typing import Any, cast

import pytest

from tests.builders import NOON, answer
from tracker.domain.submissions import Created, Order
from tracker.errors import (
    InputError,
    KeyRejectedError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    TransientError,
)
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.creation import Creation, request_of

pytestmark = pytest.mark.anyio

URL = "https://example.com/talk.mp4?signature=s3cret"
BOTH = Order(languages=("es", "de"), video_url=URL, title="Talk", callback_id="c", more={"speaker_num": 2})
HTML = b"<html><body>404 Not Found</body></html>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeClient:
    """Answers in turn; remembers what was asked."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.keys: list[str] = []

    async def ask(self, _kind: str, path: str, _at: object, **more: Any) -> Answer:
        self.asked.append((more["method"], path, more["body"]))
        self.keys.append(more["headers"]["idempotency-key"])
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


class Sent:
    """What was announced before each request went out."""

    def __init__(self) -> None:
        self.apis: list[str] = []

    async def __call__(self, api: str) -> None:
        self.apis.append(api)


def creation(client: FakeClient, api: str = "v2", *, follows: bool = True) -> Creation:
    return Creation(cast("HeyGenClient", client), lambda: api, follows=follows)


async def create(client: FakeClient, order: Order = BOTH, api: str = "v3", **more: Any) -> Created:
    return await creation(client, api, **more).create(order, "key-1", NOON, Sent())


@pytest.mark.parametrize(
    ("api", "order", "path", "body"),
    [
        (
            "v2",
            BOTH,
            "/v2/video_translate",
            {
                "video_url": URL,
                "output_languages": ["es", "de"],
                "speaker_num": 2,
                "callback_id": "c",
                "title": "Talk",
            },
        ),
        (
            "v2",
            Order(languages=("es",), video_url=URL),
            "/v2/video_translate",
            {"video_url": URL, "output_language": "es"},
        ),
        (
            "v3",
            Order(languages=("es",), video_url=URL),
            "/v3/video-translations",
            {"video": {"type": "url", "url": URL}, "output_languages": ["es"]},
        ),
        (
            "v3",
            Order(languages=("es",), asset_id="a1", callback_id="c"),
            "/v3/video-translations",
            {"video": {"type": "asset_id", "asset_id": "a1"}, "output_languages": ["es"], "callback_id": "c"},
        ),
        (
            "v2",
            Order(proofread_id="p1", callback_id="c", more={"captions": True}),
            "/v2/video_translate/proofread/p1/generate",
            {"captions": True, "callback_id": "c"},
        ),
        (
            "v3",
            Order(proofread_id="p/1"),
            "/v3/video-translations/proofreads/p%2F1/generate",
            {},
        ),
    ],
)
def test_the_request_in_each_dialect(api: str, order: Order, path: str, body: dict[str, Any]) -> None:
    assert request_of(api, order) == (path, body)


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        ({"video_translate_ids": ["a-es", "a-de"]}, ("a-es", "a-de")),
        ({"video_translation_ids": ["a-es", "a-de"]}, ("a-es", "a-de")),
        ({"video_translate_id": "a"}, ("a",)),
        ({"video_translation_id": "a", "status": "processing"}, ("a",)),
        ({"video_translation_ids": ["../x", None, "a"]}, (None, None, "a")),
    ],
)
async def test_the_ids_in_the_order_of_the_languages(data: dict[str, Any], ids: tuple[str]) -> None:
    client = FakeClient(answer({"error": None, "data": data}))
    assert await create(client) == Created("v3", ids)
    assert client.keys == ["key-1"]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            answer({"error": {"code": "invalid_parameter", "message": "bad language"}}, 400),
            RefusedError,
            "bad l",
        ),
        (answer({"error": {"code": "not_found", "message": "asset not found"}}, 404), RefusedError, "asset"),
        (answer({"error": "video too long", "data": None}), RefusedError, "too long"),
        (answer({"error": {"code": "x", "message": "no credits"}}, 402), RefusedError, "no credits"),
        (answer({"error": {"code": "internal_error", "message": "oops"}}), TransientError, "oops"),
        (answer({"error": {"code": "request_in_progress", "message": "busy"}}, 409), TransientError, "busy"),
        (answer({"error": {"message": "video not found"}}, 500), TransientError, "not found"),
        (answer(HTML, 400), TransientError, "HTTP 400"),
        (answer(HTML, 502), TransientError, "HTTP 502"),
        (answer(HTML), TransientError, "not JSON"),
        (answer({"error": None, "data": {"video_translation_ids": []}}), TransientError, "no ids"),
        (answer({"error": None, "data": {}}), TransientError, "without data"),
        (answer({"error": {"code": "unauthorized", "message": "wrong"}}, 401), KeyRejectedError, "401"),
        (answer({"error": {"code": "rate_limit_exceeded"}}, 429, retry_after="7"), RateLimitedError, "429"),
    ],
)
async def test_what_an_answer_without_ids_means(said: Answer, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        await create(FakeClient(said))
    assert type(caught.value) is kind
    assert "s3cret" not in str(caught.value)


NOT_FOUND = {"data": None, "error": {"code": "internal_error", "message": "Video translate not found"}}


@pytest.mark.parametrize(
    "gone",
    [
        answer(HTML, 404),
        answer(HTML, 405),
        answer(b"", 410),
        answer(b"", 301),
        answer(NOT_FOUND, 404),
        answer({"error": {"code": "not_found", "message": "Proofread not found"}}, 404),
    ],
)
async def test_a_retired_v2_is_followed_to_v3_with_the_same_key(gone: Answer) -> None:
    client = FakeClient(gone, answer({"data": {"video_translation_ids": ["a", "b"]}}))
    sent = Sent()
    created = await creation(client).create(BOTH, "key-1", NOON, sent)
    assert created == Created("v3", ("a", "b"))
    assert sent.apis == ["v2", "v3"]
    assert [path for _, path, _ in client.asked] == ["/v2/video_translate", "/v3/video-translations"]
    assert client.keys == ["key-1", "key-1"]


@pytest.mark.parametrize("status_code", [200, 500])
async def test_not_found_that_may_hide_a_creation_is_not_followed(status_code: int) -> None:
    client = FakeClient(answer(NOT_FOUND, status_code))
    with pytest.raises(TransientError, match="not found"):
        await create(client, api="v2")
    assert len(client.asked) == 1


async def test_what_v3_does_not_find_either_is_refused() -> None:
    said = {"error": {"code": "not_found", "message": "Proofread not found"}}
    with pytest.raises(RefusedError, match="Proofread not found"):
        await create(FakeClient(answer(NOT_FOUND, 404), answer(said, 404)), api="v2")


async def test_a_web_page_with_200_may_hide_anything_and_is_not_followed() -> None:
    client = FakeClient(answer(HTML))
    with pytest.raises(TransientError) as caught:
        await create(client, api="v2")
    assert not isinstance(caught.value, NotSentError)
    assert len(client.asked) == 1


async def test_a_setting_of_v2_does_not_follow_and_names_the_way_out() -> None:
    with pytest.raises(NotSentError, match="TRACKER_HEYGEN_API to auto or v3"):
        await create(FakeClient(answer(b"", 410)), api="v2", follows=False)


async def test_what_v3_has_the_key_of_goes_to_v3_whatever_is_spoken_now() -> None:
    client = FakeClient(answer({"data": {"video_translation_ids": ["a", "b"]}}))
    await creation(client, "v2").create(BOTH, "key-1", NOON, Sent(), "v3")
    assert [path for _, path, _ in client.asked] == ["/v3/video-translations"]


async def test_v2_takes_no_assets() -> None:
    asset = Order(languages=("es",), asset_id="a1")
    client = FakeClient()
    with pytest.raises(InputError, match="TRACKER_HEYGEN_API=v3"):
        creation(client).check(asset)
    creation(client, "v3").check(asset)
    sent = Sent()
    with pytest.raises(NotSentError):
        await creation(client).create(asset, "key-1", NOON, sent)
    assert (client.asked, sent.apis) == ([], ["v2"])  # it counts as an attempt, and backs off


async def test_a_connection_that_never_came_about_created_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with HeyGenClient("key", url, rate_limit=100, concurrency=1) as client:
        with pytest.raises(NotSentError):
            await Creation(client, lambda: "v2", follows=True).create(BOTH, "key-1", NOON, Sent())


async def test_a_connection_that_breaks_may_have_carried_it() -> None:
    async def hang_up(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, HeyGenClient("key", url, rate_limit=100, concurrency=1) as client:
        with pytest.raises(TransientError) as caught:
            await Creation(client, lambda: "v2", follows=True).create(BOTH, "key-1", NOON, Sent())
    assert not isinstance(caught.value, NotSentError)
