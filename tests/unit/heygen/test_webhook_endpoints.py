"""Webhook endpoints at HeyGen: what is asked, and how tolerantly the answers are read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import pytest

from tests.builders import NOON
from tracker.errors import (
    HeyGenError,
    KeyRejectedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    TransientError,
)
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.webhook_endpoints import OUR_EVENTS, Endpoint, Endpoints, LegacyEndpoints

pytestmark = pytest.mark.anyio

URL = "https://tracker.example/webhooks/heygen"
ROW: dict[str, Any] = {"endpoint_id": "ep", "url": URL, "events": [*OUR_EVENTS], "status": "enabled"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class FakeClient:
    """Gives the answers one after the other, and keeps what was asked."""

    answers: list[Answer]
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def ask(
        self,
        kind: str,
        path: str,
        at: datetime,
        *,
        method: str = "GET",
        params: Mapping[str, str | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        assert (kind, at) == ("webhook", NOON)
        self.asked.append((method, path, params, body))
        return self.answers.pop(0)


def answer(status_code: int, payload: object = None) -> Answer:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Answer(status_code, {}, body, NOON)


def v3(*answers: Answer) -> tuple[Endpoints, FakeClient]:
    client = FakeClient([*answers])
    return Endpoints(cast("HeyGenClient", client), lambda: NOON), client


def legacy(*answers: Answer) -> tuple[LegacyEndpoints, FakeClient]:
    client = FakeClient([*answers])
    return LegacyEndpoints(cast("HeyGenClient", client), lambda: NOON), client


# v3


async def test_a_registered_endpoint_comes_with_its_secret_and_shows_it_to_nobody() -> None:
    endpoints, client = v3(answer(201, {"data": {**ROW, "secret": "whsec_1", "created_at": 1}}))

    new = await endpoints.register(URL)

    assert new == Endpoint("ep", URL, "enabled", OUR_EVENTS, "whsec_1")
    assert "whsec" not in repr(new)
    assert client.asked == [("POST", "/v3/webhooks/endpoints", None, {"url": URL, "events": [*OUR_EVENTS]})]


async def test_the_list_is_read_to_its_last_page() -> None:
    endpoints, client = v3(
        answer(200, {"data": [ROW], "has_more": True, "next_token": "t"}),
        answer(200, {"data": [ROW, {**ROW, "endpoint_id": "two"}], "has_more": False, "next_token": None}),
    )

    assert [one.endpoint_id for one in await endpoints.list()] == ["ep", "two"]
    assert [params for _, _, params, _ in client.asked] == [
        {"limit": "100", "token": None},
        {"limit": "100", "token": "t"},
    ]


@pytest.mark.parametrize(
    "pages",
    [
        [{"data": [], "has_more": True, "next_token": "t"}] * 2,
        [{"data": [], "has_more": True}],
        [{"data": [], "has_more": True, "next_token": ""}],
        [{"data": [], "has_more": True, "next_token": str(number)} for number in range(50)],
    ],
)
async def test_a_list_that_never_ends_is_not_believed(pages: list[object]) -> None:
    endpoints, client = v3(*[answer(200, page) for page in pages])

    with pytest.raises(TransientError, match="has no end"):
        await endpoints.list()
    assert client.answers == []


async def test_rows_are_read_tolerantly() -> None:
    rows = [
        {"id": "a", "url": URL},
        {"endpoint_id": "b", "url": URL, "events": None, "status": "DISABLED", "secret": None},
        {"endpoint_id": "c", "url": URL, "events": ["video_translate.fail", 5]},
        {"endpoint_id": "d"},
        {"url": URL},
        None,
        "nonsense",
    ]
    endpoints, _ = v3(answer(200, {"data": rows}))

    found = await endpoints.list()

    assert [(one.endpoint_id, one.is_enabled, one.lacks) for one in found] == [
        ("a", True, ()),
        ("b", False, ()),
        ("c", True, ("video_translate.success",)),
    ]


async def test_only_what_is_given_is_changed() -> None:
    endpoints, client = v3(answer(200, {"data": ROW}), answer(204, b""))

    await endpoints.update("a/b", events=["x"])
    await endpoints.update("ep", enable=True)

    assert client.asked == [
        ("PATCH", "/v3/webhooks/endpoints/a%2Fb", None, {"events": ["x"]}),
        ("PATCH", "/v3/webhooks/endpoints/ep", None, {"status": "enabled"}),
    ]


async def test_a_rotation_answers_the_new_secret() -> None:
    endpoints, client = v3(answer(200, {"data": {"endpoint_id": "ep", "secret": "whsec_2"}}))

    assert await endpoints.rotate("ep") == "whsec_2"
    assert client.asked == [("POST", "/v3/webhooks/endpoints/ep/rotate-secret", None, None)]


@pytest.mark.parametrize("data", [{"endpoint_id": "ep"}, {"secret": None, "endpoint_id": "ep"}, {}])
async def test_a_rotation_without_a_secret_is_told(data: object) -> None:
    endpoints, _ = v3(answer(200, {"data": data}))

    with pytest.raises(TransientError):
        await endpoints.rotate("ep")


@pytest.mark.parametrize("good", [answer(204, b""), answer(200, b""), answer(200, {"data": None})])
async def test_a_removal_may_be_answered_without_a_body(good: Answer) -> None:
    endpoints, client = v3(good)

    await endpoints.remove("ep")

    assert client.asked == [("DELETE", "/v3/webhooks/endpoints/ep", None, None)]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (answer(401, {"error": {"code": "unauthorized", "message": "no"}}), KeyRejectedError),
        (answer(403, b""), KeyRejectedError),
        (answer(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}), RateLimitedError),
        (answer(404, {"error": {"code": "not_found", "message": "no such endpoint"}}), NotFoundError),
        (answer(400, {"error": {"code": "invalid_parameter", "message": "https only"}}), RefusedError),
        (answer(422, b"<html>"), RefusedError),
        (answer(409, {"error": {"code": "conflict", "message": "busy"}}), TransientError),
        (answer(500, b""), TransientError),
        (answer(200, b"<html>"), TransientError),
        (answer(200, {"data": {}}), TransientError),
        (answer(200, {"data": {"url": URL, "secret": "whsec_hunter2"}}), TransientError),
        (answer(302, b""), TransientError),
    ],
)
async def test_every_other_answer_is_one_clear_error(bad: Answer, error: type[HeyGenError]) -> None:
    endpoints, _ = v3(bad)

    with pytest.raises(HeyGenError) as refused:
        await endpoints.register(URL)
    assert type(refused.value) is error
    assert "hunter2" not in str(refused.value)


# Legacy


async def test_a_legacy_endpoint_is_registered_listed_and_removed() -> None:
    row = {**ROW, "secret": "whsec_1"}
    endpoints, client = legacy(
        answer(200, {"code": 100, "data": row, "message": None}),
        answer(200, {"code": 100, "data": [row, None], "message": None}),
        answer(200, {"code": 100, "data": None, "message": "Success"}),
    )

    assert await endpoints.register(URL) == Endpoint("ep", URL, "enabled", OUR_EVENTS, "whsec_1")
    assert [one.secret for one in await endpoints.list()] == ["whsec_1"]
    await endpoints.remove("ep")

    assert client.asked == [
        ("POST", "/v1/webhook/endpoint.add", None, {"url": URL, "events": [*OUR_EVENTS]}),
        ("GET", "/v1/webhook/endpoint.list", None, None),
        ("DELETE", "/v1/webhook/endpoint.delete", {"endpoint_id": "ep"}, None),
    ]


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (
            answer(200, {"code": 40001, "data": None, "message": "url unreachable"}),
            RefusedError,
            "unreachable",
        ),
        (answer(400, {"code": 400, "data": None, "message": "no answer"}), RefusedError, "no answer"),
        (answer(200, {"code": 40002, "data": None}), RefusedError, "code 40002"),
        (answer(400, {"code": 4, "message": "endpoint not found"}), NotFoundError, "not found"),
        (answer(500, {"code": 500, "message": "oops"}), TransientError, "oops"),
        (answer(401, {"code": 400112, "message": "Unauthorized"}), KeyRejectedError, "401"),
        (answer(200, b"<html>"), TransientError, "not JSON"),
    ],
)
async def test_a_legacy_refusal_is_told_in_its_own_words(
    bad: Answer, error: type[HeyGenError], words: str
) -> None:
    endpoints, _ = legacy(bad)

    with pytest.raises(HeyGenError, match=words) as refused:
        await endpoints.register(URL)
    assert type(refused.value) is error
