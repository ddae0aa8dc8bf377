"""The admin listener: the real server and store, over real sockets."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from tests.integration.web.served import NOON, Answer, Client, Headers, Services, core_in, served
from tracker.domain.links import Link, LinkKind
from tracker.domain.poller_state import PollerState
from tracker.errors import (
    AccountError,
    LinkEndedError,
    LinkRefusedError,
    NotFinishedError,
    NotFoundError,
    RefusedError,
    StoreError,
    TransientError,
    UnsafeLinkError,
)
from tracker.store.tables import translations
from tracker.web.admin import Admin, create_admin_app
from tracker.web.live_updates import LiveUpdates
from tracker.web.openapi import openapi

TOKEN = "a-long-random-word"
JSON: Headers = [("Content-Type", "application/json")]
PATHS = ("/", "/live.js", "/api/news", "/api/translations", "/metrics")
TICKING = PollerState(last_tick=NOON - timedelta(seconds=1))


class Serve(Protocol):
    def __call__(
        self,
        services: Services,
        *,
        token: str | Callable[[], str | None] | None = ...,
        any_host: bool = ...,
        poller: Callable[[], PollerState] = ...,
        link: Callable[[int, LinkKind], Awaitable[Link]] = ...,
    ) -> Client: ...


def create_app(
    services: Services,
    *,
    token: str | Callable[[], str | None] | None = None,
    any_host: bool = False,
    poller: Callable[[], PollerState] = lambda: TICKING,
    link: Callable[[int, LinkKind], Awaitable[Link]] | None = None,
) -> Starlette:
    async def expose() -> tuple[bytes, str]:
        counts = await services.repository.counts()
        text = services.metrics.expose(counts, oldest_due_age=0.0, poller=poller(), stretch=1.0, backlog={})
        return text, services.metrics.content_type

    async def stored(number: int, kind: LinkKind) -> Link:
        [row] = await services.repository.get([number])
        return Link(number, kind, row[kind.column], NOON)

    live_updates = LiveUpdates(services.repository)
    admin = Admin(
        services.repository, services.tracker, lambda: NOON, poller, expose, live_updates, link or stored
    )
    asked = token if callable(token) else lambda: token
    return create_admin_app(admin, token=asked, any_host=any_host)


@pytest.fixture(scope="module")
def shared_core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with core_in(tmp_path_factory.mktemp("shared")) as services:
        yield services


@pytest.fixture(scope="module")
def shared_client(shared_core: Services) -> Iterator[Client]:
    with served(create_app(shared_core)) as client:
        yield client


@pytest.fixture
def services(shared_core: Services) -> Services:
    """The shared store, empty."""
    shared_core.empty()
    return shared_core


@pytest.fixture
def client(shared_client: Client, services: Services) -> Client:
    """A client of the listener that most tests share, because each takes a moment to stop."""
    assert services.repository.is_alive
    return shared_client


@pytest.fixture
def own_core(tmp_path: Path) -> Iterator[Services]:
    """A store that may be broken."""
    with core_in(tmp_path) as services:
        yield services


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts listeners of one's own; they end with the test."""
    with ExitStack() as stack:

        def start(services: Services, **how: Any) -> Client:
            return stack.enter_context(served(create_app(services, **how)))

        yield start


def add(client: Client, wanted: object, headers: Headers = JSON) -> Answer:
    return client.request("POST", "/api/translations", body=json.dumps(wanted).encode(), headers=headers)


def get(client: Client, path: str, headers: Headers = ()) -> Answer:
    return client.request("GET", path, headers=headers)


def ids(answer: Answer) -> list[str]:
    return [row["video_translate_id"] for row in answer.json()["items"]]


# Adding


def test_what_is_added_is_tracked_and_shown(client: Client, services: Services) -> None:
    answer = add(client, {"video_translate_id": "a", "callback_id": "order-1", "title": "Mine"})

    assert answer.status == 201
    row = answer.json()
    assert (row["video_translate_id"], row["callback_id"], row["title"]) == ("a", "order-1", "Mine")
    assert (row["status"], row["created_at"], row["next_poll_at"]) == (
        "pending",
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00Z",
    )
    assert set(row) == set(translations.c.keys())
    assert services.sql("SELECT video_translate_id, title FROM translations") == [("a", "Mine")]


def test_what_is_tracked_already_is_answered_200(client: Client) -> None:
    first = add(client, {"video_translate_id": "a"})
    again = add(client, {"video_translate_id": "a", "title": "Later"})

    assert (first.status, again.status) == (201, 200)
    assert again.json() == first.json() | {"title": "Later"}


def test_a_list_is_added_at_once(client: Client) -> None:
    add(client, {"video_translate_id": "b"})

    answer = add(
        client, [{"video_translate_id": "a"}, {"video_translate_id": "b"}, {"callback_id": "order-1"}]
    )

    assert answer.status == 201
    assert ids(answer) == ["b", "a", None]
    assert add(client, [{"video_translate_id": "a"}]).status == 200


def test_an_empty_list_adds_nothing(client: Client) -> None:
    answer = add(client, [])

    assert (answer.status, answer.json()) == (200, {"items": []})


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        5,
        None,
        "a",
        [5],
        [[]],
        {"video_translate_id": 5},
        {"video_translate_id": ["a"]},
        {"video_translate_id": ""},
        {"video_translate_id": "a/b"},
        {"video_translate_id": "x" * 256},
        {"video_translate_id": "a b"},
        {"video_translate_id": "a", "status": "success"},
        {"video_translate_id": "a", "\ud800": 1},
        {"callback_id": "\x00"},
        {"callback_id": "\ud800"},
        {"callback_id": "x", "title": "\x00"},
        {"title": "only"},
        [{"video_translate_id": "good"}, {"video_translate_id": "../bad"}],
    ],
)
def test_what_cannot_be_tracked_is_400_and_nothing_is_added(
    client: Client, services: Services, wanted: object
) -> None:
    answer = add(client, wanted)

    assert answer.status == 400
    assert answer.json()["error"]
    assert services.sql("SELECT * FROM translations") == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"video_translate_id": "a"', b"1" * 5000]
)
def test_a_body_that_is_no_json_is_400(client: Client, body: bytes) -> None:
    answer = client.request("POST", "/api/translations", body=body, headers=JSON)

    assert (answer.status, answer.json()) == (400, {"error": "the body is not JSON"})


@pytest.mark.parametrize(
    "headers", [[], [("Content-Type", "text/plain")], [("Content-Type", "application/x-www-form-urlencoded")]]
)
def test_other_kinds_of_bodies_are_415(client: Client, headers: Headers) -> None:
    assert add(client, {"video_translate_id": "a"}, headers).status == 415


def test_the_charset_of_json_may_be_named(client: Client) -> None:
    assert (
        add(client, {"video_translate_id": "a"}, [("Content-Type", "application/JSON; charset=utf-8")]).status
        == 201
    )


def test_a_body_over_one_mebibyte_is_413(client: Client) -> None:
    assert add(client, {"callback_id": "x" * 1_100_000}).status == 413


# Listing


def test_a_list_is_filtered(client: Client, services: Services) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, callback_id, status, attention) VALUES "
        "('a', 'x', 'pending', NULL),"
        " ('b', 'x', 'success', 'url_missing'), ('c', 'y/ü &', 'success', NULL)"
    )

    assert ids(get(client, "/api/translations")) == ["a", "b", "c"]
    assert ids(get(client, "/api/translations?status=success")) == ["b", "c"]
    assert ids(get(client, "/api/translations?callback_id=x&status=success")) == ["b"]
    assert ids(get(client, "/api/translations?callback_id=y%2F%C3%BC%20%26")) == ["c"]
    assert ids(get(client, "/api/translations?attention=url_missing")) == ["b"]
    assert ids(get(client, "/api/translations?callback_id=%00")) == []


def test_a_list_is_read_page_by_page(client: Client, services: Services) -> None:
    services.sql("INSERT INTO translations (video_translate_id) VALUES ('a'), ('b'), ('c'), ('d'), ('e')")
    first = get(client, "/api/translations?limit=2")
    second = get(client, f"/api/translations?limit=2&after={first.json()['next']}")
    third = get(client, f"/api/translations?limit=2&after={second.json()['next']}")

    pages = [ids(page) for page in (first, second, third)]
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert third.json()["next"] is None
    assert get(client, "/api/translations?limit=5").json()["next"] is not None
    assert get(client, "/api/translations?limit=6").json()["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "status=",
        "attention=bored",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=%D9%A3",
        "after=-1",
        "after=x",
        "after=9223372036854775808",
        "after=" + "9" * 5000,
    ],
)
def test_questions_that_make_no_sense_are_400(client: Client, query: str) -> None:
    answer = get(client, f"/api/translations?{query}")

    assert answer.status == 400
    assert query.partition("=")[0] in answer.json()["error"]


# One translation


def test_one_translation_is_shown_with_its_changes(client: Client, services: Services) -> None:
    services.sql("INSERT INTO translations (id, video_translate_id, status) VALUES (1, 'a', 'running')")
    services.sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at, recorded_at)"
        " VALUES (1, 'pending', 'running', 'poll', '2026-11-23 09:30:00', '2026-11-23 09:30:00.25')"
    )

    shown = get(client, "/api/translations/a").json()

    assert set(shown) == {*translations.c.keys(), "changes"}
    [change] = shown["changes"]
    assert (change["new_status"], change["observed_at"], change["recorded_at"]) == (
        "running",
        "2026-11-23T09:30:00Z",
        "2026-11-23T09:30:00.250000Z",
    )


@pytest.mark.parametrize(
    "name", ["nobody", "%00", "%ff", "%ED%A0%80", "a%20b", "x" * 3000, "'", "%3Cscript%3E"]
)
def test_what_is_not_tracked_is_404(client: Client, name: str) -> None:
    shown, polled = (
        get(client, f"/api/translations/{name}"),
        client.request("POST", f"/api/translations/{name}/poll"),
    )

    assert (shown.status, polled.status) == (404, 404)
    assert "is not tracked" in shown.json()["error"]


def test_a_poll_is_due_at_once_also_for_what_has_ended(client: Client, services: Services) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, status, next_poll_at) VALUES"
        " ('a', 'running', '2026-11-23 13:00:00'), ('b', 'success', NULL)"
    )

    answers = [client.request("POST", f"/api/translations/{name}/poll") for name in "ab"]

    assert [answer.status for answer in answers] == [202, 202]
    assert [answer.json()["next_poll_at"] for answer in answers] == ["2026-11-23T12:00:00Z"] * 2
    assert services.sql("SELECT status FROM translations ORDER BY id") == [("running",), ("success",)]


# Metrics, health


def test_metrics_are_read_by_prometheus_and_count_what_the_database_holds(
    client: Client, services: Services
) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, status, attention) VALUES ('a', "
        "'running', 'overdue'), ('b', 'pending', NULL)"
    )

    answer = get(client, "/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    counted = {tuple(one.labels.items()): one.value for one in families["tracker_translations"].samples}
    assert counted == {
        (("attention", "overdue"), ("status", "running")): 1.0,
        (("attention", "none"), ("status", "pending")): 1.0,
    }
    assert {"tracker_changes", "tracker_polls", "tracker_webhook_refused", "process_open_fds"} <= set(
        families
    )


def test_ready_says_what_works(client: Client) -> None:
    answer = get(client, "/readyz")

    assert (answer.status, answer.json()) == (
        200,
        {
            "status": "ready",
            "problems": [],
            "database": "ok",
            "poller": {
                "last_tick_age_seconds": 1.0,
                "state": "polling",
                "heygen_api": None,
                "mode": None,
                "staleness_seconds": None,
                "max_staleness_seconds": None,
            },
            "webhooks": {"delivery_rate": None, "problems": []},
        },
    )


def test_a_paused_poller_is_ready_and_says_why_it_rests(serve: Serve, services: Services) -> None:
    resting = PollerState(NOON, paused="HeyGen refuses the API key", until=NOON + timedelta(seconds=30))

    answer = get(serve(services, poller=lambda: resting), "/readyz")

    assert answer.status == 200
    assert answer.json()["poller"] == {
        "last_tick_age_seconds": 0.0,
        "state": "paused",
        "heygen_api": None,
        "mode": None,
        "staleness_seconds": None,
        "max_staleness_seconds": None,
        "reason": "HeyGen refuses the API key",
        "until": "2026-11-23T12:00:30Z",
    }


def test_ready_says_which_api_is_spoken_and_how_polling_goes(serve: Serve, services: Services) -> None:
    state = PollerState(
        NOON,
        api="v3",
        mode="saturated",
        staleness=71.5,
        promised=60.0,
        webhook_problems=("disabled",),
        delivery_rate=0.75,
    )

    answer = get(serve(services, poller=lambda: state), "/readyz")

    assert (answer.status, answer.json()["webhooks"]) == (
        200,
        {"delivery_rate": 0.75, "problems": ["disabled"]},
    )
    assert answer.json()["poller"] == {
        "last_tick_age_seconds": 0.0,
        "state": "polling",
        "heygen_api": "v3",
        "mode": "saturated",
        "staleness_seconds": 71.5,
        "max_staleness_seconds": 60.0,
    }


def test_ready_says_that_the_key_seems_to_be_of_another_account(serve: Serve, services: Services) -> None:
    strangers = PollerState(NOON, knows_translations=False)

    answer = get(serve(services, poller=lambda: strangers), "/readyz")

    assert answer.status == 200
    assert "another account" in answer.json()["poller"]["account"]


@pytest.mark.parametrize("last_tick", [None, NOON - timedelta(seconds=31)])
def test_not_ready_while_the_poller_does_not_tick(serve: Serve, services: Services, last_tick: Any) -> None:
    answer = get(serve(services, poller=lambda: PollerState(last_tick)), "/readyz")

    assert (answer.status, answer.json()["problems"]) == (503, ["poller"])


def test_not_ready_without_the_database(serve: Serve, own_core: Services) -> None:
    client = serve(own_core)
    own_core.repository.close()

    answer = get(client, "/readyz")

    assert (answer.status, answer.json()["problems"]) == (503, ["database"])
    assert get(client, "/healthz").json() == {"status": "ok"}


def test_not_ready_on_an_outdated_schema(serve: Serve, own_core: Services) -> None:
    client = serve(own_core)
    own_core.sql("UPDATE alembic_version SET version_num = '0000'")

    answer = get(client, "/readyz")

    assert answer.status == 503
    assert "0000" in answer.json()["database"]


@pytest.mark.parametrize("path", ["/", "/api/translations", "/api/translations/a", "/metrics"])
def test_without_the_database_the_pages_answer_503(serve: Serve, own_core: Services, path: str) -> None:
    client = serve(own_core)
    own_core.repository.close()

    answer = get(client, path)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"error": "the store is closed"}


# Links

# What is signed counts sign by sign: nothing of it may be quoted, or quoted anew, on its way.
SIGNED = (
    "https://resource2.heygen.ai/a/original.mp4?response-content-disposition=attachment;name=%22a|b%22"
    "&Expires=1795435200&Signature=a~b-c_d&Key-Pair-Id=K%2B"
)


@pytest.fixture
def ended(services: Services) -> Services:
    services.sql(
        "INSERT INTO translations (video_translate_id, status, url, srt_url) VALUES ('a', 'success', ?, ?)",
        SIGNED,
        f"{SIGNED}&srt",
    )
    return services


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_video_is_where_the_link_leads_and_nobody_keeps_the_way(
    client: Client, ended: Services, method: str
) -> None:
    answer = client.request(method, "/api/translations/a/video")

    assert (answer.status, answer.headers["location"], answer.body) == (302, SIGNED, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_other_files_are_named_by_their_kind(client: Client, ended: Services) -> None:
    assert get(client, "/api/translations/a/video?kind=srt").headers["location"] == f"{SIGNED}&srt"
    refused = get(client, "/api/translations/a/video?kind=gif")
    assert (refused.status, refused.json()) == (
        400,
        {"error": "kind='gif': use one of video, audio, captions, srt, vtt"},
    )
    assert get(client, "/api/translations/nobody/video").status == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFinishedError("not finished yet"), 409),
        (NotFoundError("it has no audio"), 404),
        (LinkEndedError("it ended"), 410),
        (AccountError("it rests"), 503),
        (TransientError("HTTP 502"), 503),
        (StoreError("it is down"), 503),
        (RefusedError("HTTP 400"), 502),
        (LinkRefusedError("it is refused"), 502),
        (UnsafeLinkError("it leads elsewhere"), 502),
    ],
)
def test_where_there_is_no_link_the_answer_says_why(
    serve: Serve, ended: Services, error: Exception, status: int
) -> None:
    async def refuse(_number: int, _kind: LinkKind) -> Link:
        raise error

    answer = get(serve(ended, link=refuse), "/api/translations/a/video")

    assert (answer.status, answer.json()) == (status, {"error": str(error)})
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "location" not in answer.headers


def test_a_link_is_given_to_nobody_without_the_token(serve: Serve, ended: Services) -> None:
    asked = []

    async def link(number: int, kind: LinkKind) -> Link:
        asked.append(number)
        return Link(number, kind, SIGNED, NOON)

    client = serve(ended, token=TOKEN, link=link)
    path = "/api/translations/a/video"
    for method in ("GET", "HEAD"):
        assert client.request(method, path).status == 401
    assert asked == []
    assert get(client, path, [("Authorization", f"Bearer {TOKEN}")]).headers["location"] == SIGNED


# The document


def test_the_openapi_document_is_valid_and_names_the_columns(client: Client) -> None:
    document = get(client, "/api/openapi.json").json()

    validate(document)
    assert document == openapi()
    fields = document["components"]["schemas"]["Translation"]["properties"]
    assert set(fields) == {*translations.c.keys(), "changes"}


def test_the_openapi_document_names_every_path_that_programs_may_use(client: Client) -> None:
    document = get(client, "/api/openapi.json").json()

    for path, operations in document["paths"].items():
        for method in operations:
            asked = "HEAD" if path == "/api/news" else method.upper()  # what it answers to GET has no end
            answer = client.request(asked, path.replace("{video_translate_id}", "nobody"))
            assert str(answer.status) in operations[method]["responses"] or answer.status in (404, 415), (
                method,
                path,
            )


# Who may come in


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        basic(TOKEN),
        basic(TOKEN, user=""),
        basic(TOKEN).replace("B", "b", 1),
    ],
)
def test_the_token_opens_the_door(serve: Serve, services: Services, authorization: str) -> None:
    client = serve(services, token=TOKEN)

    assert get(client, "/api/translations", [("Authorization", authorization)]).status == 200
    assert get(client, "/", [("Authorization", authorization), ("Host", "tracker.example")]).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", TOKEN)],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", "Bearer")],
        [("Authorization", basic("wrong"))],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", "Basic ///")],
        [("Authorization", b"Basic \xff\xfe")],
        [("Authorization", "Basic " + base64.b64encode(b"\xff:\xfe").decode())],
        [("Authorization", b"Bearer \xff")],
        [("Authorization", f"Digest {TOKEN}")],
        [("X-Api-Key", TOKEN)],
        [("Cookie", f"token={TOKEN}")],
    ],
)
def test_without_the_token_everything_but_the_health_page_is_401(
    serve: Serve, services: Services, headers: Headers
) -> None:
    client = serve(services, token=TOKEN)

    for path in (*PATHS, "/readyz", "/api/openapi.json", "/nothing"):
        answer = get(client, path, headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Basic realm=tracker")
        assert TOKEN not in answer.body.decode()
    assert get(client, "/healthz", headers).status == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8322", "localhost", "localhost:1", "[::1]:8322", "127.3.2.1", "LOCALHOST"]
)
def test_this_machine_is_served_without_a_token(client: Client, host: str) -> None:
    assert get(client, "/api/translations", [("Host", host)]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8322",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[",
        "[::1",
    ],
)
def test_a_name_that_was_pointed_at_this_machine_is_refused(client: Client, host: str) -> None:
    for path in PATHS:
        assert get(client, path, [("Host", host)]).status == 403
    assert get(client, "/healthz", [("Host", host)]).status == 200


def test_any_host_is_served_where_the_listener_says_so(serve: Serve, services: Services) -> None:
    assert (
        get(serve(services, any_host=True), "/api/translations", [("Host", "tracker.example")]).status == 200
    )


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_pages_of_others_cannot_change_anything(client: Client, services: Services, origin: str) -> None:
    assert add(client, {"video_translate_id": "a"}, [*JSON, ("Origin", origin)]).status == 403
    assert services.sql("SELECT * FROM translations") == []
    assert get(client, "/api/translations", [("Origin", origin)]).status == 200


def test_pages_of_others_cannot_use_a_browsers_password(serve: Serve, services: Services) -> None:
    headers: Headers = [*JSON, ("Authorization", basic(TOKEN)), ("Origin", "https://evil.example")]

    assert add(serve(services, token=TOKEN), {"video_translate_id": "a"}, headers).status == 403


def test_our_own_page_may(client: Client) -> None:
    host = f"{client.address[0]}:{client.address[1]}"

    assert add(client, {"video_translate_id": "a"}, [*JSON, ("Origin", f"http://{host}")]).status == 201


# The dashboard


def test_the_dashboard_shows_what_there_is(client: Client, services: Services) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, callback_id, status, title, attention, url) VALUES"
        " ('a', 'order-1', 'running', 'Mine', 'overdue', NULL),"
        " ('b&c', NULL, 'success', NULL, NULL, 'https://x.example/b?Signature=secret')"
    )

    answer = get(client, "/")
    page = answer.body.decode()

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert all(
        word in page
        for word in (
            "order-1",
            "Mine",
            "running",
            "overdue",
            'href="api/translations/b%26c/video"',
            "Needs a look",
        )
    )
    assert "Signature" not in page


def test_the_dashboard_of_an_empty_database_is_a_page(client: Client) -> None:
    assert "none" in get(client, "/").body.decode()


def test_the_dashboard_says_why_polling_rests(serve: Serve, services: Services) -> None:
    resting = PollerState(NOON, paused="HeyGen refuses the <key>", until=NOON + timedelta(seconds=30))

    page = get(serve(services, poller=lambda: resting), "/").body.decode()

    assert "HeyGen refuses the &lt;key&gt;" in page
    assert "in 30 s" in page


def test_the_dashboard_tells_how_polling_goes_and_what_is_wrong_with_webhooks(
    serve: Serve, services: Services
) -> None:
    slow = PollerState(
        NOON,
        api="v3",
        mode="saturated",
        staleness=200.0,
        promised=60.0,
        knows_translations=False,
        webhook_problems=("endpoint_disabled",),
        delivery_rate=0.95,
    )

    page = get(serve(services, poller=lambda: slow), "/").body.decode()

    for told in ("endpoint_disabled", "every 200 s", "60 s are promised", "another account", "95 %", ">v3<"):
        assert told in page


def test_the_dashboard_escapes_whatever_others_wrote_and_runs_no_script_but_ours(
    client: Client, services: Services
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    services.sql(
        "INSERT INTO translations (video_translate_id, callback_id, status, title, "
        "output_language, message, url, attention)"
        " VALUES (?1, ?1, 'failed', ?1, ?1, ?1, 'https://x.example/\"><script>', 'conflict')",
        evil,
    )

    answer = get(client, "/")
    page = answer.body.decode()

    assert re.findall(r"<(?:script|img)[^>]*>", page, re.IGNORECASE) == ['<script src="live.js" defer>']
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {"script-src 'self'", "connect-src 'self'"} <= set(policy)
    assert "unsafe" not in answer.headers["content-security-policy"].replace("style-src 'unsafe-inline'", "")


def test_the_dashboard_links_to_no_script_address(client: Client, services: Services) -> None:
    services.sql(
        "INSERT INTO translations (video_translate_id, status, url) VALUES ('a', 'success', "
        "'javascript:alert(1)')"
    )

    assert "javascript:" not in get(client, "/").body.decode()


def test_the_script_is_of_the_listener_itself_and_asks_what_is_there(client: Client) -> None:
    answer = get(client, "/live.js")
    script = answer.body.decode()

    assert (answer.status, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"
    [stream] = re.findall(r"new EventSource\(`\$\{HERE\}([^`]+)`\)", script)
    assert client.request("HEAD", f"/{stream}").headers["content-type"].startswith("text/event-stream")


def test_what_the_script_looks_for_is_on_the_page(client: Client, services: Services) -> None:
    services.sql("INSERT INTO translations (id, video_translate_id, attention) VALUES (7, 'a', 'overdue')")
    page, script = get(client, "/").body.decode(), get(client, "/live.js").body.decode()

    for name in re.findall(r'getElementById\("(\w+)"\)', script):
        assert f'id="{name}"' in page
    assert page.count("<main>") == page.count("</main>") == 1
    assert page.count('<tr data-key="7">') == 2
    outside = page.partition("<main>")[0] + page.partition("</main>")[2]
    assert 'id="state"' in outside


def test_without_scripts_the_page_loads_itself_anew(client: Client) -> None:
    page = get(client, "/").body.decode()

    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert page.count("http-equiv") == 1


# Everything else


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/translations/a/b", "/webhooks/heygen", "/static/x", "/%00"]
)
def test_nothing_else_is_there(client: Client, path: str) -> None:
    answer = get(client, path)

    assert (answer.status, answer.json()) == (404, {"error": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/translations/a"),
        ("PUT", "/api/translations"),
        ("POST", "/"),
        ("GET", "/api/translations/a/poll"),
        ("POST", "/api/translations/a/video"),
    ],
)
def test_other_methods_are_405(client: Client, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert (answer.status, answer.json()) == (405, {"error": "Method Not Allowed"})


def broken_state() -> PollerState:
    raise ZeroDivisionError("the secret reason")


def test_an_unexpected_error_is_500_without_its_reason(serve: Serve, services: Services) -> None:
    client = serve(services, poller=broken_state)

    for path in ("/readyz", "/", "/metrics"):
        answer = get(client, path)
        assert (answer.status, answer.json()) == (500, {"error": "an unexpected error; the log tells more"})
    assert get(client, "/healthz").status == 200


def failing_with(error: Exception) -> Callable[[], PollerState]:
    def state() -> PollerState:
        raise error

    return state


def test_a_store_error_is_503_with_its_text(serve: Serve, services: Services) -> None:
    answer = get(serve(services, poller=failing_with(StoreError("the disk is full"))), "/")

    assert (answer.status, answer.json()) == (503, {"error": "the disk is full"})


def test_a_page_of_a_thousand_rows_is_answered(client: Client, services: Services) -> None:
    services.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001)"
        " INSERT INTO translations (video_translate_id) SELECT 'id-' || i FROM n"
    )

    page = get(client, "/api/translations?limit=1000").json()

    assert (len(page["items"]), page["next"]) == (1000, page["items"][-1]["id"])


def test_another_token_counts_without_a_restart(serve: Serve, services: Services) -> None:
    tokens: list[str | None] = [TOKEN]
    client = serve(services, token=lambda: tokens[-1])
    old, new = [("Authorization", f"Bearer {TOKEN}")], [("Authorization", "Bearer another")]
    assert [get(client, "/api/translations", one).status for one in (old, new)] == [200, 401]

    tokens.append("another")
    assert [get(client, "/api/translations", one).status for one in (old, new)] == [401, 200]
    tokens.append(None)
    assert get(client, "/api/translations").status == 200
