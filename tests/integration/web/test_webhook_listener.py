"""The public listener: the real server, store and decoding, over real sockets."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.web.served import (
    DEADLINE,
    NOON,
    Answer,
    Client,
    Headers,
    Services,
    core_in,
    drip,
    is_closed,
    read_answer,
    served,
)
from tracker.daemon.process import WEBHOOK_FORMAT
from tracker.domain.limits import MAX_BODY_BYTES
from tracker.domain.record import Record, RecordResult
from tracker.errors import StoreError
from tracker.heygen import webhook_events
from tracker.tracking.webhook_secrets import WebhookSecrets
from tracker.web.public import create_public_app
from tracker.web.receiver import Receiver

SECRETS = {"main": "whsec_main", "old": "whsec_old"}
TOKEN = "unguessable-token"
HOOK = "/webhooks/heygen"
Recorder = Callable[[Sequence[Record]], Awaitable[list[RecordResult]]]


class Serve(Protocol):
    def __call__(
        self,
        record: Recorder,
        *,
        secrets: Callable[[], Mapping[str, str]] = ...,
        tokens: Sequence[str] = ...,
        body_seconds: float = ...,
        store_seconds: float = ...,
        header_seconds: float = ...,
    ) -> Client: ...


@pytest.fixture(scope="module")
def shared_core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with core_in(tmp_path_factory.mktemp("shared")) as services:
        yield services


@pytest.fixture(scope="module")
def client(shared_core: Services) -> Iterator[Client]:
    """A client of the listener that most tests share, because each takes a moment to stop."""
    receiver = Receiver(
        shared_core.tracker.record,
        WEBHOOK_FORMAT,
        lambda: NOON,
        secrets=lambda: SECRETS,
        tokens=lambda: [TOKEN],
        refused=lambda _: None,
    )
    with served(create_public_app(receiver)) as client:
        yield client


@pytest.fixture
def services(shared_core: Services) -> Services:
    """The shared store, empty."""
    shared_core.empty()
    return shared_core


@pytest.fixture
def refused() -> list[int]:
    """What the listeners of `serve` refused."""
    return []


@pytest.fixture
def serve(refused: list[int]) -> Iterator[Serve]:
    """Starts separate listeners, which stop with the test."""
    with ExitStack() as stack:

        def start(
            record: Recorder,
            *,
            secrets: Callable[[], Mapping[str, str]] = lambda: SECRETS,
            tokens: Sequence[str] = (TOKEN,),
            body_seconds: float = DEADLINE,
            store_seconds: float = DEADLINE,
            header_seconds: float = DEADLINE,
        ) -> Client:
            receiver = Receiver(
                record,
                WEBHOOK_FORMAT,
                lambda: NOON,
                secrets=secrets,
                tokens=lambda: tokens,
                refused=refused.append,
                body_seconds=body_seconds,
                store_seconds=store_seconds,
            )
            return stack.enter_context(served(create_public_app(receiver), header_seconds=header_seconds))

        yield start


def event(event_type: str = "video_translate.success", **data: Any) -> bytes:
    data = {"video_translate_id": "a", "url": "https://files.example/a.mp4"} | data
    return json.dumps({"event_type": event_type, "event_data": data}).encode()


def signature(body: bytes, secret: str = "whsec_main") -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(client: Client, body: bytes, *, headers: Headers = (), path: str = HOOK) -> Answer:
    return client.request("POST", path, body=body, headers=headers)


def post_signed(client: Client, body: bytes, *, headers: Headers = ()) -> Answer:
    return post(client, body, headers=[("Signature", signature(body)), *headers])


def stored_bodies(services: Services) -> list[bytes]:
    joined = "SELECT b.body FROM deliveries d JOIN delivery_bodies b ON b.delivery_id = d.id ORDER BY d.id"
    return [row[0] for row in services.sql(joined)]


# Signed webhooks


def test_signed_webhook_is_answered_after_the_commit(client: Client, services: Services) -> None:
    body = event(callback_id="order-1", output_language="German")

    answer = post_signed(client, body, headers=[("Heygen-Event-Id", "evt_1"), ("Authorization", "Bearer x")])

    assert (answer.status, answer.json()) == (200, {"status": "stored"})
    assert services.sql(
        "SELECT video_translate_id, callback_id, status, output_language, url FROM translations"
    ) == [("a", "order-1", "success", "German", "https://files.example/a.mp4")]
    assert services.sql("SELECT event_id, event_type, signed_by, outcome, body_sha256 FROM deliveries") == [
        ("evt_1", "video_translate.success", "main", "applied", hashlib.sha256(body).hexdigest())
    ]
    assert stored_bodies(services) == [body]
    [(kept,)] = services.sql("SELECT headers FROM delivery_bodies")
    names = [name for name, _ in json.loads(kept)]
    assert "signature" in names
    assert "authorization" not in names


def forms(body: bytes) -> dict[str, Headers]:
    good = signature(body)
    return {
        "Signature": [("Signature", good)],
        "Heygen-Signature": [("Heygen-Signature", good)],
        "lower case name": [("heygen-signature", good)],
        "upper case hex": [("Signature", good.upper())],
        "with its algorithm": [("Signature", f"sha256={good}")],
        "with its algorithm in upper case": [("Signature", f"SHA256={good.upper()}")],
        "with spaces around": [("Signature", f"   {good}  ")],
        "with timestamp and event id": [
            ("Heygen-Signature", good),
            ("Heygen-Timestamp", "1"),
            ("Heygen-Event-Id", "evt"),
        ],
        "both headers": [("Heygen-Signature", good), ("Signature", good)],
        "one of both wrong": [("Heygen-Signature", "f" * 64), ("Signature", good)],
        "doubled, first wrong": [("Signature", "f" * 64), ("Signature", good)],
        "doubled, second wrong": [("Signature", good), ("Signature", "f" * 64)],
        "by the old secret": [("Signature", signature(body, "whsec_old"))],
    }


@pytest.mark.parametrize("form", forms(b""))
def test_every_form_of_the_signature_is_accepted(client: Client, services: Services, form: str) -> None:
    body = event()

    assert post(client, body, headers=forms(body)[form]).status == 200
    signer = "old" if "old" in form else "main"
    assert services.sql("SELECT signed_by FROM deliveries") == [(signer,)]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Signature", "")],
        [("Signature", "sha256=")],
        [("Signature", "f" * 64)],
        [("Signature", signature(event(), "another-secret"))],
        [("Signature", signature(event() + b" "))],
        [("Signature", signature(event())[:-1])],
        [("Signature", signature(event()) + ", " + signature(event()))],
        [("X-HeyGen-Signature", signature(event()))],
        [("Signature", "üß-é".encode())],
        [("Signature", b"\xff\xfe\xed\xa0\x80")],
        [("Signature", "a" * 20_000)],
        [("Authorization", f"Bearer {TOKEN}")],
    ],
)
def test_without_a_valid_signature_nothing_is_stored(
    client: Client, services: Services, headers: Headers
) -> None:
    answer = post(client, event(), headers=headers)

    assert answer.status == 401
    assert "signature" in answer.json()["error"]
    assert (stored_bodies(services), services.sql("SELECT * FROM translations")) == ([], [])


def test_refusals_are_counted(serve: Serve, services: Services, refused: list[int]) -> None:
    client = serve(services.tracker.record)

    for body in (event(), b"nonsense"):
        post(client, body)
        post_signed(client, body)

    assert refused == [401, 401, 400]


def test_a_repeated_webhook_is_answered_200_and_counted(client: Client, services: Services) -> None:
    assert [post_signed(client, event()).status for _ in range(3)] == [200, 200, 200]
    assert services.sql("SELECT times_received FROM deliveries") == [(3,)]
    assert services.sql("SELECT COUNT(*) FROM changes") == [(1,)]


def test_the_content_type_does_not_matter(client: Client) -> None:
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "application/json; charset=latin-1",
    ):
        body = event(video_translate_id=kind.replace("/", "-")[:8])
        assert post_signed(client, body, headers=[("Content-Type", kind)]).status == 200


def test_without_a_secret_the_signed_route_refuses_everything(serve: Serve, services: Services) -> None:
    client = serve(services.tracker.record, secrets=dict)

    answer = post_signed(client, event())

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "no webhook secret" in answer.json()["error"]
    assert post(client, event(), headers=[("Signature", signature(event(), ""))]).status == 503
    assert stored_bodies(services) == []


def test_a_failure_carries_its_reason(client: Client, services: Services) -> None:
    post_signed(client, event("video_translate.fail", url=None, message="the audio is silent"))

    assert services.sql("SELECT status, message FROM translations") == [("failed", "the audio is silent")]


# Bodies that are no object


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"{", "not JSON"),
        (b"{'event_type': 1}", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"event_type": "\xff"}', "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'[{"event_type": "video_translate.success"}]', "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"12", "not a JSON object"),
        (b"NaN", "not a JSON object"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value[:16] if isinstance(value, bytes) else value,
)
def test_what_is_no_json_object_is_400_and_kept_where_it_is_authentic(
    client: Client, services: Services, body: bytes, problem: str
) -> None:
    answer = post_signed(client, body)

    assert answer.status == 400
    assert problem in answer.json()["error"]
    assert stored_bodies(services) == [body]
    [(outcome, error)] = services.sql("SELECT outcome, error FROM deliveries")
    assert (outcome, problem in error) == ("error", True)


def test_deep_nesting_is_never_an_error_of_ours(client: Client, services: Services) -> None:
    event_of = b'{"event_type":"video_translate.fail","event_data":{"video_translate_id":"a","message":%s}}'
    for opening, closing_ in ((b"[", b"]"), (b'{"message":', b"}")):
        for depth in (400, 490, 500, 980, 985, 990, 995, 1000, 10_000):
            body = event_of % (opening * depth + b"1" + closing_ * depth)
            assert post_signed(client, body).status in (200, 400), (opening, depth)
            assert stored_bodies(services)[-1] == body


# Bodies that are hard to read

BAD_IDS = {
    "slashes": "a/b/../c",
    "dots": "..",
    "spaces": "a b",
    "quotes": "a'b\"c;--",
    "unicode": "übersetzung-✓",
    "too long": "x" * 300,
    "newline": "a\n",
    "NUL": "a\x00b",
    "percent": "a%2Fb",
    "query": "a?x=1",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("name", BAD_IDS)
def test_ids_that_heygen_cannot_have_given_out_are_kept_and_never_tracked(
    client: Client, services: Services, name: str
) -> None:
    body = event(video_translate_id=BAD_IDS[name])

    assert post_signed(client, body).status == 200
    assert stored_bodies(services) == [body]
    assert services.sql("SELECT outcome FROM deliveries") == [("error",)]
    assert services.sql("SELECT * FROM translations") == []


ODD_EVENTS = {
    "event_data null": b'{"event_type": "video_translate.success", "event_data": null}',
    "event_data text": b'{"event_type": "video_translate.success", "event_data": "a"}',
    "event_data list": b'{"event_type": "video_translate.success", "event_data": [1]}',
    "event_data missing": b'{"event_type": "video_translate.success"}',
    "event_type missing": b'{"event_data": {"video_translate_id": "a"}}',
    "event_type null": b'{"event_type": null}',
    "event_type a number": b'{"event_type": 7}',
    "event_type a list": b'{"event_type": ["video_translate.success"]}',
    "event_type empty": b'{"event_type": ""}',
    "event_type with NUL": b'{"event_type": "video_translate.success\\u0000"}',
    "empty object": b"{}",
    "NaN and infinities": b'{"event_type": "video_translate.success", "created_at": NaN, '
    b'"event_data": {"video_translate_id": "a", "title": NaN, "message": -Infinity}}',
    "id a number": b'{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": 12345678901234567890123}}',
    "id an object": b'{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": {"a": 1}}}',
    "id true": b'{"event_type": "video_translate.success", "event_data": {"video_translate_id": true}}',
    "time beyond 64 bits": b'{"event_type": "video_translate.success", "created_at": '
    b'99999999999999999999, "event_data": {"video_translate_id": "a"}}',
    "time beyond floats": b'{"event_type": "video_translate.success", "created_at": 1'
    + b"0" * 400
    + b', "event_data": {"video_translate_id": "a"}}',
    "time an overflowing float": b'{"event_type": "video_translate.success", "created_at": 1e999, '
    b'"event_data": {"video_translate_id": "a"}}',
    "time long ago": b'{"event_type": "video_translate.success", "created_at": -99999999999, '
    b'"event_data": {"video_translate_id": "a"}}',
    "time nonsense": b'{"event_type": "video_translate.success", "created_at": "yesterday", '
    b'"event_data": {"video_translate_id": "a"}}',
    "5000 digits": b'{"event_type": "video_translate.success", "n": 1'
    + b"0" * 5000
    + b', "event_data": {"video_translate_id": "a"}}',
    "NUL everywhere": b'{"event_type": "video_translate.fail", "event_id": "\\u0000", '
    b'"event_data": {"video_translate_id": "a", "callback_id": "x\\u0000y", "message": "\\u0000", '
    b'"title": "\\u0000"}}',
    "lone surrogates": b'{"event_type": "video_translate.fail", "event_id": "\\ud800", '
    b'"event_data": {"video_translate_id": "a", "callback_id": "\\ud83d", "message": "\\udc00", '
    b'"url": "\\ud800"}}',
    "url a script": b'{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": "a", "url": "javascript:alert(1)"}}',
    "url an object": b'{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": "a", "url": {"href": "x"}}}',
    "byte order mark": b'\xef\xbb\xbf{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": "a"}}',
    "raw control characters": b'{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": "a", "title": "a\x01\tb"}}',
    "space around": b' \r\n{"event_type": "video_translate.success", "event_data": '
    b'{"video_translate_id": "a"}}\n\n',
}


@pytest.mark.parametrize("name", ODD_EVENTS)
def test_every_authentic_body_is_answered_and_kept_byte_for_byte(
    client: Client, services: Services, name: str
) -> None:
    answer = post_signed(client, ODD_EVENTS[name])

    assert answer.status in (200, 400)
    assert stored_bodies(services) == [ODD_EVENTS[name]]
    again = post_signed(client, event(video_translate_id="after"))
    assert again.status == 200


def test_the_last_of_duplicate_keys_counts_and_both_are_kept(client: Client, services: Services) -> None:
    twice = b'"video_translate_id": "a", "video_translate_id": "b"'
    body = b'{"event_type": "x", "event_type": "video_translate.success", "event_data": {' + twice + b"}}"

    assert post_signed(client, body).status == 200
    assert services.sql("SELECT video_translate_id FROM translations") == [("b",)]
    assert stored_bodies(services) == [body]


def test_unstorable_text_is_replaced(client: Client, services: Services) -> None:
    post_signed(client, event(callback_id="x\x00y", title="\ud800 title"))

    assert services.sql("SELECT callback_id, title FROM translations") == [("x\ufffdy", "\ufffd title")]


@pytest.mark.parametrize(
    ("callback_id", "kept"),
    [
        (None, None),
        ("", None),
        ("order-1", "order-1"),
        ("x" * 10_240, "x" * 10_240),
        ('{"order": 1, "line": "ü"}', '{"order": 1, "line": "ü"}'),
        ({"order": [1, 2]}, '{"order": [1, 2]}'),
        (17, "17"),
        (12345678901234567890123456789, "12345678901234567890123456789"),
        (False, "false"),
        ("'; DROP TABLE translations; --", "'; DROP TABLE translations; --"),
    ],
)
def test_callback_ids_of_every_kind_are_kept(
    client: Client, services: Services, callback_id: Any, kept: str | None
) -> None:
    assert post_signed(client, event(callback_id=callback_id)).status == 200

    assert services.sql("SELECT callback_id FROM translations") == [(kept,)]


def test_a_missing_callback_id_is_none(client: Client, services: Services) -> None:
    assert post_signed(client, event()).status == 200

    assert services.sql("SELECT callback_id FROM translations") == [(None,)]


def test_doubled_headers_are_kept_both(client: Client, services: Services) -> None:
    post_signed(client, event(), headers=[("X-Twice", "1"), ("x-twice", "2"), ("X-Bytes", b"\xff\x80")])

    [(headers,)] = services.sql("SELECT headers FROM delivery_bodies")
    kept = json.loads(headers)
    assert [value for name, value in kept if name == "x-twice"] == ["1", "2"]


def test_events_of_other_products_are_kept_and_ignored(client: Client, services: Services) -> None:
    assert post_signed(client, event("avatar_video.success")).status == 200

    assert services.sql("SELECT outcome FROM deliveries") == [("ignored",)]
    assert services.sql("SELECT * FROM translations") == []


# Sizes


def test_a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not(client: Client, services: Services) -> None:
    frame = len(event(title=""))
    fits, too_large = (event(title="x" * (MAX_BODY_BYTES - frame + extra)) for extra in (0, 1))
    assert len(fits) == MAX_BODY_BYTES

    assert post_signed(client, fits).status == 200
    assert post_signed(client, too_large).status == 413
    assert stored_bodies(services) == [fits]


def test_a_declared_length_that_is_too_large_is_refused_before_the_body_comes(client: Client) -> None:
    with client.connect() as connection:
        connection.sendall(client.head("POST", HOOK, [("Content-Length", str(MAX_BODY_BYTES + 1))]))
        assert read_answer(connection).status == 413


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def test_a_chunked_body_is_taken(client: Client, services: Services) -> None:
    body = event()
    with client.connect() as connection:
        headers: Headers = [("Transfer-Encoding", "chunked"), ("Signature", signature(body))]
        connection.sendall(client.head("POST", HOOK, headers))
        for byte in body:
            connection.sendall(chunked(bytes([byte])))
        connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection).status == 200
    assert stored_bodies(services) == [body]


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(client: Client, services: Services) -> None:
    with client.connect() as connection:
        connection.sendall(client.head("POST", HOOK, [("Transfer-Encoding", "chunked")]))
        connection.sendall(chunked(*[b"x" * 65_536] * 17))
        assert read_answer(connection).status == 413
    assert stored_bodies(services) == []


# When the store does not do it


def test_failing_store_is_answered_503_with_retry_after(serve: Serve, refused: list[int]) -> None:
    async def fail(_records: Sequence[Record]) -> list[RecordResult]:
        raise StoreError("the disk is full, said /var/lib/tracker")

    answer = post_signed(serve(fail), event())

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "disk" not in answer.body.decode()
    assert refused == [503]


def test_an_unexpected_error_is_answered_503_too(serve: Serve) -> None:
    async def fail(_records: Sequence[Record]) -> list[RecordResult]:
        raise ZeroDivisionError("of course")

    answer = post_signed(serve(fail), event())

    assert (answer.status, "course" in answer.body.decode()) == (503, False)


def test_slow_store_is_answered_503(serve: Serve) -> None:
    async def hang(_records: Sequence[Record]) -> list[RecordResult]:
        await asyncio.Event().wait()
        return []

    answer = post_signed(serve(hang, store_seconds=0.1), event())

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_a_database_that_is_locked_for_a_while_loses_nothing(serve: Serve, services: Services) -> None:
    client = serve(services.tracker.record, store_seconds=0.2)
    with closing(sqlite3.connect(services.path, isolation_level=None)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        assert post_signed(client, event()).status == 503
        rival.execute("ROLLBACK")

    assert post_signed(serve(services.tracker.record), event()).status == 200
    assert services.sql("SELECT status FROM translations") == [("success",)]
    assert services.sql("SELECT COUNT(*) FROM changes") == [(1,)]
    assert stored_bodies(services) == [event()]


def test_an_unusable_body_is_503_where_it_cannot_even_be_kept(serve: Serve, tmp_path: Path) -> None:
    with core_in(tmp_path) as gone:
        client = serve(gone.tracker.record)

    assert post_signed(client, b"not json").status == 503
    assert post_signed(client, event()).status == 503


# The unsigned route


def test_unsigned_webhook_only_moves_the_next_poll_forward(client: Client, services: Services) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, next_poll_at) VALUES ('a', '2026-11-23 13:00:00')"
    )

    answer = post(client, event(callback_id="order-1", title="Forged"), path=f"{HOOK}/{TOKEN}")

    assert answer.status == 200
    assert services.sql("SELECT status, url, title, callback_id, next_poll_at FROM translations") == [
        ("pending", None, None, None, "2026-11-23 12:00:00.000000")
    ]
    assert services.sql("SELECT outcome, signed_by FROM deliveries") == [("hint", None)]
    assert services.sql("SELECT * FROM changes") == []


def test_a_signature_on_the_unsigned_route_makes_it_no_more_believed(
    client: Client, services: Services
) -> None:
    body = event()

    post(client, body, headers=[("Signature", signature(body))], path=f"{HOOK}/{TOKEN}")

    assert services.sql("SELECT status FROM translations") == [("pending",)]


WRONG_TOKENS = ("wrong", TOKEN + "x", TOKEN[:-1], "%C3%A4", "%ED%A0%80", "%00", "a/b", "%2e%2e")


@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
def test_a_wrong_token_is_not_found(client: Client, services: Services, method: str) -> None:
    for token in WRONG_TOKENS:
        answer = client.request(method, f"{HOOK}/{token}", body=event() if method == "POST" else b"")
        assert (answer.status, answer.json()) == (404, {"error": "Not Found"}), token
    assert stored_bodies(services) == []


def test_without_tokens_the_unsigned_route_does_not_exist(serve: Serve, services: Services) -> None:
    assert post(serve(services.tracker.record, tokens=()), event(), path=f"{HOOK}/{TOKEN}").status == 404


def test_unsigned_nonsense_is_400_and_not_kept(client: Client, services: Services) -> None:
    assert post(client, b"nonsense", path=f"{HOOK}/{TOKEN}").status == 400
    assert stored_bodies(services) == []


# Everything else


def test_probes_are_answered_also_while_the_database_is_gone(serve: Serve, tmp_path: Path) -> None:
    with core_in(tmp_path) as gone:
        client = serve(gone.tracker.record)
    gone.path.unlink()

    for path in (HOOK, f"{HOOK}/{TOKEN}"):
        for method in ("OPTIONS", "GET", "HEAD"):
            answer = client.request(method, path)
            assert (answer.status, answer.headers["allow"]) == (200, "POST, OPTIONS, GET, HEAD")
    assert client.request("GET", "/healthz").json() == {"status": "ok"}


NO_PATHS = (
    "/",
    "/webhooks",
    f"{HOOK}/",
    f"{HOOK}/{TOKEN}/",
    f"{HOOK}//{TOKEN}",
    "/healthz/",
    "/metrics",
    "/api/translations",
    "/readyz",
    "//webhooks/heygen",
    "/webhooks/heygen%2F",
    "/WEBHOOKS/heygen",
    "/%00",
    "/%ff",
    "/../etc/passwd",
    "/webhooks/heygen;x=1",
)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_is_there(client: Client, method: str) -> None:
    for path in NO_PATHS:
        answer = client.request(method, path)
        assert (answer.status, answer.json()) == (404, {"error": "Not Found"}), path


@pytest.mark.parametrize("path", [HOOK, f"{HOOK}/{TOKEN}"])
def test_other_methods_are_405(client: Client, path: str) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
        answer = client.request(method, path)
        assert answer.status == 405, method
        assert "POST" in answer.headers["allow"]
        assert answer.json() == {"error": "Method Not Allowed"}


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"POST /webhooks/heygen HTTP/9.9\r\n\r\n",
        b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST webhooks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
        b"chunked\r\n\r\n0\r\n\r\n",
        b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_never_stops_the_listener(client: Client, raw: bytes) -> None:
    with client.connect() as connection:
        connection.sendall(raw)
        assert 400 <= read_answer(connection).status < 500
    assert post_signed(client, event()).status == 200


# Senders who lie or dawdle


def test_a_sender_who_promises_more_than_it_sends_stores_nothing(client: Client, services: Services) -> None:
    body = event()
    with client.connect() as connection:
        headers: Headers = [("Signature", signature(body)), ("Content-Length", str(len(body) + 10))]
        connection.sendall(client.head("POST", HOOK, headers) + body)
    assert post_signed(client, event(video_translate_id="b")).status == 200
    assert services.sql("SELECT video_translate_id FROM translations") == [("b",)]


def test_a_sender_who_sends_more_than_it_promises_is_not_believed(client: Client, services: Services) -> None:
    body = event()
    with client.connect() as connection:
        headers: Headers = [("Signature", signature(body)), ("Content-Length", str(len(body) - 10))]
        connection.sendall(client.head("POST", HOOK, headers) + body)
        assert read_answer(connection).status in (400, 401)
    assert stored_bodies(services) == []


def test_a_body_that_trickles_in_is_408_while_others_are_served(
    serve: Serve, services: Services, refused: list[int]
) -> None:
    client = serve(services.tracker.record, body_seconds=0.5)
    with client.connect() as connection:
        connection.sendall(client.head("POST", HOOK, [("Content-Length", "100000")]))
        slow = threading.Thread(target=drip, args=(connection, b"x"))
        slow.start()
        assert post_signed(client, event()).status == 200
        slow.join(DEADLINE)
        answer = read_answer(connection)

    assert answer.status == 408
    assert answer.json() == {"error": "the body took too long"}
    assert refused == [408]
    assert stored_bodies(services) == [event()]


def test_a_sender_who_falls_silent_in_the_body_is_408(serve: Serve, services: Services) -> None:
    client = serve(services.tracker.record, body_seconds=0.1)
    with client.connect() as connection:
        connection.sendall(client.head("POST", HOOK, [("Content-Length", "100")]))
        assert read_answer(connection).status == 408
        assert is_closed(connection)


@pytest.mark.parametrize("said", [b"", b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_sender_who_falls_silent_before_the_body_is_hung_up_on(
    serve: Serve, services: Services, said: bytes
) -> None:
    client = serve(services.tracker.record, header_seconds=0.2)
    with client.connect() as connection:
        connection.sendall(said)
        assert is_closed(connection)


def test_headers_without_an_end_are_hung_up_on(serve: Serve, services: Services) -> None:
    client = serve(services.tracker.record)
    with client.connect() as connection:
        connection.sendall(b"POST /webhooks/heygen HTTP/1.1\r\nX-Long: ")
        with suppress(ConnectionError):  # it may be closed while we still talk
            for _ in range(20):
                connection.sendall(b"x" * 16384)
        assert is_closed(connection)


def test_headers_that_trickle_in_are_hung_up_on_while_others_are_served(
    serve: Serve, services: Services
) -> None:
    client = serve(services.tracker.record, header_seconds=0.5)
    with client.connect() as connection:
        connection.sendall(b"POST /webhooks/heygen HTTP/1.1\r\nX-Slow: ")
        slow = threading.Thread(target=drip, args=(connection, b"x"))
        slow.start()
        assert post_signed(client, event()).status == 200
        slow.join(DEADLINE)
        assert is_closed(connection)


@pytest.mark.parametrize(
    ("request_", "rest", "status"),
    [
        (("POST", "/nothing", [("Content-Length", "100000")]), b"x", 404),
        (("POST", HOOK, [("Content-Length", "2000000")]), b"x", 413),
        (("GET", "/healthz", []), b"\r\n", 200),
    ],
)
def test_a_sender_who_goes_on_talking_after_the_answer_is_hung_up_on(
    serve: Serve, services: Services, request_: tuple[str, str, Headers], rest: bytes, status: int
) -> None:
    client = serve(services.tracker.record, header_seconds=0.3)
    with client.connect() as connection:
        connection.sendall(client.head(*request_))
        assert read_answer(connection).status == status
        drip(connection, rest)
        assert is_closed(connection)


def test_a_connection_is_used_again_and_again(serve: Serve, services: Services) -> None:
    client = serve(services.tracker.record, header_seconds=0.5)
    with client.connect() as connection:
        for number in range(5):
            body = event(video_translate_id=f"id-{number}")
            headers: Headers = [("Signature", signature(body)), ("Content-Length", str(len(body)))]
            connection.sendall(client.head("POST", HOOK, headers) + body)
            assert read_answer(connection).status == 200
    assert len(stored_bodies(services)) == 5


def test_requests_sent_without_waiting_are_all_answered(client: Client, services: Services) -> None:
    bodies = [event(video_translate_id=f"id-{number}") for number in range(5)]
    with client.connect() as connection:
        connection.sendall(
            b"".join(
                client.head(
                    "POST", HOOK, [("Signature", signature(body)), ("Content-Length", str(len(body)))]
                )
                + body
                for body in bodies
            )
            + client.head("GET", "/healthz", [("Connection", "close")])
        )
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 6
    assert stored_bodies(services) == bodies


def test_many_senders_at_once_are_all_stored(client: Client, services: Services) -> None:
    ids = [f"id-{number}" for number in range(100)]
    statuses: list[int] = []

    def send(name: str) -> None:
        statuses.append(post_signed(client, event(video_translate_id=name)).status)

    threads = [threading.Thread(target=send, args=(name,)) for name in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert statuses == [200] * 100
    assert {row[0] for row in services.sql("SELECT video_translate_id FROM translations")} == set(ids)


def test_pending_webhook_is_answered_before_the_listener_stops(services: Services) -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def slow(records: Sequence[Record]) -> list[RecordResult]:
        entered.set()
        await asyncio.to_thread(go_on.wait, DEADLINE)
        stored: list[RecordResult] = await services.tracker.record(records)
        return stored

    receiver = Receiver(
        slow, WEBHOOK_FORMAT, lambda: NOON, secrets=lambda: SECRETS, tokens=list, refused=lambda _: None
    )
    answers: list[Answer] = []
    with ExitStack() as serving:
        client = serving.enter_context(served(create_public_app(receiver), stop_seconds=DEADLINE))
        sender = threading.Thread(target=lambda: answers.append(post_signed(client, event())))
        sender.start()
        assert entered.wait(DEADLINE)
        stopping = threading.Thread(target=serving.pop_all().close)
        stopping.start()
        wait_until_refused(client)
        go_on.set()
        stopping.join(DEADLINE)
    sender.join(DEADLINE)

    assert [answer.status for answer in answers] == [200]
    assert stored_bodies(services) == [event()]


def wait_until_refused(client: Client) -> None:
    """Until the listener takes no more connections."""
    with suppress(ConnectionError):
        while True:
            client.connect().close()


def test_new_and_previous_secret_are_both_accepted_without_a_restart(
    services: Services, tmp_path: Path, serve: Serve
) -> None:
    path, now = tmp_path / "secrets.json", [NOON]
    daemon, verb = (
        WebhookSecrets({}, path, lambda: now[0]) for _ in range(2)
    )  # in two processes, in real life
    client = serve(services.tracker.record, secrets=daemon.secrets)

    def post(body: bytes, secret: str) -> int:
        return client.request(
            "POST", HOOK, body=body, headers=[("Signature", webhook_events.sign(body, secret))]
        ).status

    assert post(event(video_translate_id="a"), "whsec_1") == 503
    verb.add("heygen", "whsec_1", "ep")
    assert post(event(video_translate_id="a"), "whsec_1") == 200
    assert post(event(video_translate_id="b"), "whsec_2") == 401
    verb.replace("heygen", "whsec_2", "ep")
    assert post(event(video_translate_id="b"), "whsec_2") == 200
    assert post(event(video_translate_id="c"), "whsec_1") == 200
    now[0] += timedelta(hours=24)
    assert post(event(video_translate_id="d"), "whsec_1") == 401
    assert post(event(video_translate_id="d"), "whsec_2") == 200

    before = f"heygen-before-{NOON:%Y%m%dT%H%M%SZ}"
    assert services.sql("SELECT video_translate_id, signed_by FROM deliveries ORDER BY id") == [
        ("a", "heygen"),
        ("b", "heygen"),
        ("c", before),
        ("d", "heygen"),
    ]


def test_another_token_counts_without_a_restart(serve: Serve, services: Services) -> None:
    tokens = ["first-token"]
    client = serve(services.tracker.record, tokens=tokens)
    assert post(client, event(), path=f"{HOOK}/first-token").status == 200

    tokens[:] = ["second-token"]
    assert post(client, event(), path=f"{HOOK}/first-token").status == 404
    assert post(client, event(), path=f"{HOOK}/second-token").status == 200
