"""The status endpoint in both dialects, asked over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from tests.builders import NOON, after
from tests.integration.web.served import Client, served
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.status import Status
from tracker.errors import (
    KeyRejectedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.heygen import statuses
from tracker.heygen.client import HeyGenClient
from tracker.heygen.dialect import OTHER
from tracker.heygen.statuses import StatusEndpoint

pytestmark = pytest.mark.anyio

KEY = "the-key-of-the-tests"
NOT_FOUND_V3 = {"error": {"code": "not_found", "message": "Video translation not found", "param": None}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def v2_says(status: str = "running", **data: Any) -> Response:
    return JSONResponse({"error": None, "data": {"status": status, **data}})


def v3_says(status: str = "running", **data: Any) -> Response:
    return JSONResponse({"data": {"status": status, **data}})


def bulk(*rows: object, **more: Any) -> Response:
    return JSONResponse({"data": list(rows), "has_more": False, "next_token": None, **more})


def row(video_id: object, status: object = "processing", **more: Any) -> dict[str, Any]:
    return {"video_id": video_id, "status": status, "batch_id": None, "item_index": 0, "error": None, **more}


def told(status_code: int, body: object) -> Response:
    return JSONResponse(body, status_code)


@dataclass
class HeyGen:
    """Answers what it is told to, by dialect; `pages` by token. Keeps what it was asked."""

    v2: Response = field(default_factory=v2_says)
    v3: Response = field(default_factory=v3_says)
    pages: Mapping[str | None, Response] = field(default_factory=dict)
    of_one: Mapping[str, Response] = field(default_factory=dict)  # by dialect and id: "v2 a"
    asked: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    wanted: list[list[str]] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v2/video_translate/{name}", self._two),
                Route("/v3/video-translations/statuses", self._many),
                Route("/v3/video-translations/{name}", self._three),
                Route("/{rest:path}", self._elsewhere),
            ]
        )

    def _note(self, request: Request, what: str) -> None:
        self.asked.append(what)
        self.keys.append(request.headers.get("x-api-key"))

    async def _two(self, request: Request) -> Response:
        self._note(request, f"v2 {request.path_params['name']}")
        return self.of_one.get(self.asked[-1], self.v2)

    async def _three(self, request: Request) -> Response:
        self._note(request, f"v3 {request.path_params['name']}")
        return self.of_one.get(self.asked[-1], self.v3)

    async def _many(self, request: Request) -> Response:
        token = request.query_params.get("token")
        self._note(request, f"many {token}")
        self.wanted.append(request.query_params["video_translation_ids"].split(","))
        return self.pages[token]

    async def _elsewhere(self, request: Request) -> Response:
        self._note(request, f"elsewhere {request.url.path}")
        return v3_says("failed")


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[HeyGen, Client]]:
    heygen = HeyGen()
    with served(heygen.app()) as client:
        yield heygen, client


@pytest.fixture
def heygen(shared: tuple[HeyGen, Client]) -> HeyGen:
    """One server for all; each test finds it as new."""
    vars(shared[0]).update(vars(HeyGen()))
    return shared[0]


@pytest.fixture
def elsewhere() -> Iterator[tuple[HeyGen, str]]:
    """Another host, that must never be asked."""
    heygen = HeyGen()
    with served(heygen.app()) as client:
        yield heygen, url_of(client)


def url_of(client: Client) -> str:
    return f"http://{client.address[0]}:{client.address[1]}"


@dataclass
class Opened:
    """An endpoint, what it had stored and what it counted."""

    endpoint: StatusEndpoint
    stored: list[str]
    kinds: list[str]

    async def ask(self, name: str, at: datetime = NOON) -> Observation:
        return await self.endpoint.fetch(name, at)

    async def ask_many(self, *names: str) -> list[Observation]:
        return await self.endpoint.fetch_many(names, NOON)


@pytest.fixture
def open_as(shared: tuple[HeyGen, Client]) -> Any:
    """Opens an endpoint that speaks to the server."""

    @asynccontextmanager
    async def opening(setting: str = "auto", known: str | None = None) -> AsyncIterator[Opened]:
        stored: list[str] = []
        kinds: list[str] = []

        async def switched(api: str) -> None:
            stored.append(api)

        async with HeyGenClient(
            KEY, url_of(shared[1]), rate_limit=1000, concurrency=10, asked=kinds.append
        ) as client:
            yield Opened(StatusEndpoint(client, setting, known=known, switched=switched), stored, kinds)

    return opening


RETIRED: list[Response] = [
    told(410, {"error": {"code": "gone", "message": "v2 is retired"}}),
    told(410, NOT_FOUND_V3),
    Response(status_code=410),
    told(404, {"message": "Not Found"}),
    told(404, {"error": "Not Found"}),
    told(404, {"error": "not found."}),
    Response("404 page not found", 404, media_type="text/plain"),
    HTMLResponse("<h1>Not Found</h1>", 404),
    told(404, {"error": None, "data": None}),
    told(405, {"message": "Method Not Allowed"}),
    Response(status_code=405),
    HTMLResponse("<!doctype html><title>HeyGen</title>"),
    HTMLResponse("\n  <html>moved</html>"),
    Response(status_code=301, headers={"location": "/v3/elsewhere"}),
    Response(status_code=302),
]
# as it was logged; its HTTP status is not on record
LOGGED = {"data": None, "error": {"code": "internal_error", "message": "Video translate not found"}}
NOT_FOUND_V2 = [told(status_code, LOGGED) for status_code in (200, 404, 500)]
NOT_FOUND: list[Response] = [
    *NOT_FOUND_V2,
    told(404, NOT_FOUND_V3),
    told(404, {"error": "Video translate not found"}),
    told(405, {"error": {"code": "not_found", "message": "no"}}),
]
NOT_RETIRED: list[tuple[Response, type[Exception]]] = [
    (told(401, {"message": "Not Found"}), KeyRejectedError),
    (HTMLResponse("<h1>no</h1>", 403), KeyRejectedError),
    (told(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}), RateLimitedError),
    (HTMLResponse("<h1>Bad gateway</h1>", 502), TransientError),
    (Response(status_code=503), TransientError),
    (Response(b""), TransientError),
    (Response(b"{", media_type="application/json"), TransientError),
    (told(400, {"error": {"code": "bad_request", "message": "no"}}), TransientError),
]


def shown(given: object) -> str:
    if not isinstance(given, Response):
        return str(getattr(given, "__name__", given))
    return f"{given.status_code} {bytes(given.body)[:24]!r}"


# From v2 to v3


async def test_v2_is_spoken_first_and_its_answer_counts(heygen: HeyGen, open_as: Any) -> None:
    async with open_as() as opened:
        seen = await opened.ask("a")
        assert (seen.status, seen.details.api_version, seen.partial) == (Status.RUNNING, "v2", False)
        assert (opened.endpoint.api, opened.endpoint.batch_size) == ("v2", 1)
        assert (heygen.asked, heygen.keys, opened.kinds) == (["v2 a"], [KEY], ["status"])


@pytest.mark.parametrize("retired", RETIRED, ids=shown)
async def test_a_v2_that_looks_retired_for_two_ids_moves_the_account_to_v3_once(
    heygen: HeyGen, open_as: Any, retired: Response
) -> None:
    heygen.v2, heygen.v3 = retired, v3_says("completed")
    async with open_as() as opened:
        with capture_logs() as logs:
            seen = [await opened.ask(name) for name in ("a", "a", "b", "c", "d")]
        assert [one.status for one in seen] == [Status.SUCCESS] * 5
        assert (opened.endpoint.api, opened.endpoint.batch_size, opened.stored) == ("v3", 100, ["v3"])
        assert heygen.asked == ["v2 a", "v3 a", "v2 a", "v3 a", "v2 b", "v3 b", "v3 c", "v3 d"]
        assert [(line["event"], line["log_level"], line["now"]) for line in logs] == [
            ("heygen api switched", "warning", "v3")
        ]


async def test_one_id_alone_never_moves_it_and_is_answered_by_v3_all_the_same(
    heygen: HeyGen, open_as: Any
) -> None:
    heygen.v2 = told(404, {"message": "Not Found"})
    async with open_as() as opened:
        for _ in range(5):
            assert (await opened.ask("a")).details.api_version == "v3"
        assert (opened.endpoint.api, opened.stored) == ("v2", [])


async def test_a_good_answer_of_v2_in_between_begins_the_count_anew(heygen: HeyGen, open_as: Any) -> None:
    async with open_as() as opened:
        for name, answer in {
            "a": Response(status_code=410),
            "b": v2_says(),
            "c": Response(status_code=410),
        }.items():
            heygen.v2 = answer
            assert (await opened.ask(name)).status is Status.RUNNING
        assert (opened.endpoint.api, opened.stored) == ("v2", [])


async def test_several_at_once_move_it_once(heygen: HeyGen, open_as: Any) -> None:
    heygen.v2 = Response(status_code=410)
    async with open_as() as opened:
        with capture_logs() as logs:
            await asyncio.gather(*(opened.ask(f"id-{number}") for number in range(20)))
        assert (opened.stored, len(logs)) == (["v3"], 1)


async def test_v3_may_not_know_one_and_has_still_answered(heygen: HeyGen, open_as: Any) -> None:
    heygen.v2, heygen.v3 = Response(status_code=410), told(404, NOT_FOUND_V3)
    async with open_as() as opened:
        with capture_logs():
            for name in ("a", "b"):
                with pytest.raises(NotFoundError, match="Video translation not found"):
                    await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == ("v3", ["v3"])


@pytest.mark.parametrize(("answer", "kind"), NOT_RETIRED, ids=shown)
async def test_what_v2_says_itself_never_moves_it_and_v3_is_not_asked(
    heygen: HeyGen, open_as: Any, answer: Response, kind: type[Exception]
) -> None:
    heygen.v2 = answer
    async with open_as() as opened:
        for name in ("a", "b", "c"):
            with pytest.raises(kind):
                await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == ("v2", [])
    assert {one[:2] for one in heygen.asked} == {"v2"}


@pytest.mark.parametrize(
    "answer",
    [
        *(one for one in RETIRED if one.body != told(410, NOT_FOUND_V3).body),
        HTMLResponse("<h1>Bad gateway</h1>", 502),
        Response(status_code=500),
        Response(b""),
        told(200, {"data": {"id": "another", "status": "failed"}}),
        told(200, {"data": {"title": "Talk"}}),
    ],
    ids=shown,
)
async def test_a_v3_that_does_not_answer_either_moves_nothing_and_fails_nothing(
    heygen: HeyGen, open_as: Any, answer: Response
) -> None:
    heygen.v2, heygen.v3 = Response(status_code=410), answer
    async with open_as() as opened:
        for name in ("a", "b", "c"):
            with pytest.raises(TransientError, match=r"v2 answers as retired .*, and v3"):
                await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == ("v2", [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Response(status_code=401), KeyRejectedError), (Response(status_code=429), RateLimitedError)],
)
async def test_a_v3_that_rejects_the_account_moves_nothing(
    heygen: HeyGen, open_as: Any, answer: Response, kind: type[Exception]
) -> None:
    heygen.v2, heygen.v3 = Response(status_code=410), answer
    async with open_as() as opened:
        for name in ("a", "b"):
            with pytest.raises(kind):
                await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == ("v2", [])


@pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_and_the_key_goes_nowhere_else(
    heygen: HeyGen, open_as: Any, elsewhere: tuple[HeyGen, str], status_code: int
) -> None:
    stranger, url = elsewhere
    redirect = Response(status_code=status_code, headers={"location": f"{url}/v3/video-translations/a"})
    heygen.v2 = heygen.v3 = redirect
    heygen.pages = {None: redirect}
    async with open_as() as opened:
        with capture_logs():
            for ask in (opened.ask("a"), opened.ask("b"), opened.ask_many("a", "b")):
                with pytest.raises((TransientError, RefusedError)):
                    await ask
    assert stranger.asked == []
    assert set(heygen.asked) == {"v2 a", "v3 a", "v2 b", "v3 b", "many None"}


async def test_what_was_found_out_before_is_not_found_out_again(heygen: HeyGen, open_as: Any) -> None:
    async with open_as(known="v3") as opened:
        assert (opened.endpoint.api, opened.endpoint.batch_size) == ("v3", 100)
        assert (await opened.ask("a")).details.api_version == "v3"
    assert heygen.asked == ["v3 a"]


async def test_v2_by_setting_says_how_to_go_on_and_never_asks_v3(heygen: HeyGen, open_as: Any) -> None:
    heygen.v2 = Response(status_code=410)
    async with open_as("v2", known="v3") as opened:
        with capture_logs() as logs:
            for name in ("a", "b", "c"):
                with pytest.raises(TransientError, match="set TRACKER_HEYGEN_API to auto or v3"):
                    await opened.ask(name)
        assert (opened.endpoint.api, opened.endpoint.batch_size, opened.stored) == ("v2", 1, [])
    assert heygen.asked == ["v2 a", "v2 b", "v2 c"]
    assert [(line["event"], line["log_level"], line["advice"]) for line in logs] == [
        ("v2 answers as retired", "error", "set TRACKER_HEYGEN_API to auto")
    ]


async def test_v3_by_setting_never_asks_v2(heygen: HeyGen, open_as: Any) -> None:
    heygen.v3 = told(404, NOT_FOUND_V3)
    async with open_as("v3", known="v2") as opened:
        with pytest.raises(NotFoundError):
            await opened.ask("a")
        assert opened.stored == []
    assert heygen.asked == ["v3 a"]


@pytest.mark.parametrize("answer", [told(404, {"error": "Not Found"}), HTMLResponse("<h1>no</h1>", 404)])
async def test_somebody_elses_not_found_says_nothing_about_a_translation(
    heygen: HeyGen, open_as: Any, answer: Response
) -> None:
    heygen.v3 = answer
    async with open_as("v3") as opened:
        with pytest.raises(TransientError, match="HTTP 404"):
            await opened.ask("a")


# Not found: the other dialect is asked, too


@pytest.fixture(params=["v2", "v3"])
def spoken(request: pytest.FixtureRequest) -> str:
    """The dialect of the account; the other one is asked, too."""
    name: str = request.param
    return name


def gone(heygen: HeyGen, api: str, answer: Response, other: Response) -> str:
    """This dialect knows nothing any more, and the other answers so; returns the other's name."""
    heygen.v2, heygen.v3 = (answer, other) if api == "v2" else (other, answer)
    return OTHER[api]


def says(api: str, status: str = "running") -> Response:
    return v2_says(status) if api == "v2" else v3_says(status)


@pytest.mark.parametrize("answer", NOT_FOUND, ids=shown)
async def test_a_dialect_that_finds_nothing_moves_the_account_by_two_that_the_other_knows(
    heygen: HeyGen, open_as: Any, spoken: str, answer: Response
) -> None:
    other = gone(heygen, spoken, answer, says(OTHER[spoken]))
    async with open_as(known=spoken) as opened:
        with capture_logs() as logs:
            seen = [await opened.ask(name) for name in ("a", "b", "c")]
        assert [(one.status, one.details.api_version) for one in seen] == [(Status.RUNNING, other)] * 3
        assert (opened.endpoint.api, opened.stored) == (other, [other])
        assert set(opened.kinds) == {"status"}
    assert heygen.asked == [f"{spoken} a", f"{other} a", f"{spoken} b", f"{other} b", f"{other} c"]
    assert [(line["event"], line["log_level"], line["before"], line["now"]) for line in logs] == [
        ("heygen api switched", "warning", spoken, other)
    ]
    assert "HTTP" in logs[0]["because"]


async def test_one_translation_alone_moves_nothing_and_is_asked_where_it_is_known(
    heygen: HeyGen, open_as: Any, spoken: str
) -> None:
    other = gone(heygen, spoken, told(404, NOT_FOUND_V3), says(OTHER[spoken]))
    async with open_as(known=spoken) as opened:
        seen = [await opened.ask("a", after(minutes=10 * number)) for number in range(12)]
        assert {one.details.api_version for one in seen} == {other}
        assert (opened.endpoint.api, opened.stored) == (spoken, [])
    assert heygen.asked == [f"{spoken} a"] + [f"{other} a"] * 12


async def test_what_neither_dialect_finds_is_asked_about_twice_once_an_hour(
    heygen: HeyGen, open_as: Any, spoken: str
) -> None:
    other = gone(heygen, spoken, told(404, LOGGED), told(404, NOT_FOUND_V3))
    async with open_as(known=spoken) as opened:
        for minutes in (0, 1, 59, 60, 119, 120):
            with pytest.raises(NotFoundError):
                await opened.ask("a", after(minutes=minutes))
        assert (opened.endpoint.api, opened.stored) == (spoken, [])
    assert heygen.asked.count(f"{spoken} a") == 6
    assert heygen.asked.count(f"{other} a") == 3


async def test_a_translation_that_the_account_knows_begins_the_proofs_anew(
    heygen: HeyGen, open_as: Any, spoken: str
) -> None:
    gone(heygen, spoken, told(404, NOT_FOUND_V3), says(OTHER[spoken]))
    heygen.of_one = {f"{spoken} known": says(spoken)}
    async with open_as(known=spoken) as opened:
        for name in ("a", "known", "b"):
            await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == (spoken, [])


async def test_a_bulk_answer_that_knows_one_begins_the_proofs_anew(heygen: HeyGen, open_as: Any) -> None:
    heygen.v3 = told(404, NOT_FOUND_V3)
    heygen.pages = {None: bulk(row("known"), row("b", "not_found"))}
    async with open_as(known="v3") as opened:
        await opened.ask("a")
        await opened.ask_many("known", "b")
        await opened.ask("b")
        assert (opened.endpoint.api, opened.stored) == ("v3", [])


async def test_bulk_answers_that_find_nothing_lead_back_to_v2(heygen: HeyGen, open_as: Any) -> None:
    heygen.v3, heygen.pages = told(404, NOT_FOUND_V3), {None: bulk(row("a", "not_found"))}
    async with open_as(known="v3") as opened:
        seen = await opened.ask_many("a", "b")
        assert [(str(one.problem)[:9], one.partial) for one in seen] == [("not_found", True)] * 2
        with capture_logs():
            assert [(await opened.ask(name)).details.api_version for name in ("a", "b")] == ["v2"] * 2
        assert (opened.endpoint.api, opened.endpoint.batch_size, opened.stored) == ("v2", 1, ["v2"])


async def test_by_setting_a_bulk_answer_is_all_there_is(heygen: HeyGen, open_as: Any) -> None:
    heygen.pages = {None: bulk()}
    async with open_as("v3") as opened:
        assert [one.partial for one in await opened.ask_many("a", "b")] == [False] * 2


@pytest.mark.parametrize(
    "trouble",
    [
        HTMLResponse("<h1>Bad gateway</h1>", 502),
        Response(status_code=500),
        Response(status_code=403),
        HTMLResponse("<h1>firewall</h1>", 403),
        told(404, {"message": "Not Found"}),
        Response(status_code=410),
        HTMLResponse("<!doctype html>"),
        Response(status_code=302, headers={"location": "/elsewhere"}),
        Response(b""),
        v3_says("running", id="another", video_translate_id="another"),
    ],
    ids=shown,
)
async def test_where_the_other_dialect_has_no_answer_not_found_stands(
    heygen: HeyGen, open_as: Any, spoken: str, trouble: Response
) -> None:
    other = gone(heygen, spoken, told(404, LOGGED), trouble)
    async with open_as(known=spoken) as opened:
        for _ in range(3):
            for name in ("a", "b"):
                with pytest.raises(NotFoundError, match="Video translate not found"):
                    await opened.ask(name)
        assert (opened.endpoint.api, opened.stored) == (spoken, [])
    assert heygen.asked.count(f"{other} a") == 1


async def test_a_rate_limit_of_the_other_dialect_concerns_the_account(
    heygen: HeyGen, open_as: Any, spoken: str
) -> None:
    slow = told(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}})
    gone(heygen, spoken, told(404, LOGGED), slow)
    async with open_as(known=spoken) as opened:
        with pytest.raises(RateLimitedError, match="slow"):
            await opened.ask("a")
        with pytest.raises(NotFoundError):  # that question was its one of this hour
            await opened.ask("a")
        with pytest.raises(RateLimitedError, match="slow"):
            await opened.ask("b")


async def test_a_key_that_the_other_dialect_rejects_pauses_the_account_once_an_hour(
    heygen: HeyGen, open_as: Any, spoken: str
) -> None:
    other = gone(heygen, spoken, told(404, LOGGED), Response(status_code=401))
    async with open_as(known=spoken) as opened:
        with pytest.raises(KeyRejectedError):
            await opened.ask("a")
        for name in ("a", "b", "c"):
            with pytest.raises(NotFoundError):
                await opened.ask(name)
        with pytest.raises(KeyRejectedError):
            await opened.ask("c", NOON + timedelta(hours=1))
    assert [one for one in heygen.asked if one.startswith(other)] == [f"{other} a", f"{other} c"]


async def test_a_proof_by_not_found_and_a_proof_by_retirement_count_together(
    heygen: HeyGen, open_as: Any
) -> None:
    heygen.of_one = {"v2 a": told(404, LOGGED), "v2 b": Response(status_code=410)}
    async with open_as() as opened:
        with capture_logs():
            for name in ("a", "b"):
                assert (await opened.ask(name)).details.api_version == "v3"
        assert opened.stored == ["v3"]


async def test_a_move_survives_a_restart(heygen: HeyGen, open_as: Any, spoken: str) -> None:
    other = gone(heygen, spoken, told(404, LOGGED), says(OTHER[spoken]))
    async with open_as(known=spoken) as opened:
        with capture_logs():
            for name in ("a", "b"):
                await opened.ask(name)
        [stored] = opened.stored
    heygen.asked.clear()
    async with open_as(known=stored) as opened:
        await opened.ask("a")
        assert opened.endpoint.api == other
    assert heygen.asked == [f"{other} a"]


async def test_a_setting_asks_nothing_extra(heygen: HeyGen, open_as: Any, spoken: str) -> None:
    gone(heygen, spoken, told(404, LOGGED), says(OTHER[spoken]))
    async with open_as(spoken) as opened:
        for name in ("a", "b", "c"):
            with pytest.raises(NotFoundError):
                await opened.ask(name)
    assert heygen.asked == [f"{spoken} {name}" for name in ("a", "b", "c")]


# Bulk questions


async def many(heygen: HeyGen, open_as: Any, *names: str, **pages: Response) -> list[Observation]:
    """What a bulk question about these tells; `pages` by token, the first is called `first`."""
    heygen.pages = {None if token == "first" else token: page for token, page in pages.items()}
    async with open_as("v3") as opened:
        seen: list[Observation] = await opened.ask_many(*names)
        assert set(opened.kinds) == {"statuses"}
    assert [one.video_translate_id for one in seen] == list(names)
    assert all(one.observed_at == NOON for one in seen)
    return seen


def words(seen: list[Observation]) -> list[Status | ProblemKind | str | None]:
    return [one.problem.kind if one.problem else one.status or one.provider_status for one in seen]


async def test_one_question_tells_the_status_of_each_and_nothing_else(heygen: HeyGen, open_as: Any) -> None:
    rows = [row("c", "failed"), row("a", "queued"), row("d", "completed"), row("b", "processing")]
    seen = await many(heygen, open_as, "a", "b", "c", "d", first=bulk(*rows))
    assert words(seen) == [Status.PENDING, Status.RUNNING, Status.FAILED, Status.SUCCESS]
    assert all(one.partial and one.details.url is None for one in seen)
    assert [one.provider_status for one in seen] == ["queued", "processing", "failed", "completed"]
    assert {one.details.api_version for one in seen} == {"v3"}
    assert (heygen.asked, heygen.wanted) == (["many None"], [["a", "b", "c", "d"]])


async def test_a_hundred_ids_fit_into_one_question(heygen: HeyGen, open_as: Any) -> None:
    names = [f"{number:032x}-{'x' * 200}" for number in range(100)]
    seen = await many(heygen, open_as, *names, first=bulk(*map(row, names)))
    assert words(seen) == [Status.RUNNING] * 100
    assert heygen.wanted == [names]


async def test_more_pages_are_read_until_all_are_told(heygen: HeyGen, open_as: Any) -> None:
    seen = await many(
        heygen,
        open_as,
        "a",
        "b",
        "c",
        first=bulk(row("a"), has_more=True, next_token="2"),
        **{
            "2": told(200, {"data": [row("b")], "next_token": "3"}),
            "3": bulk(row("c"), has_more=True, next_token="4"),
        },
    )
    assert words(seen) == [Status.RUNNING] * 3
    assert heygen.asked == ["many None", "many 2", "many 3"]


@pytest.mark.parametrize("token", ["2", "1", None, ""])
async def test_a_token_that_leads_nowhere_ends_it(heygen: HeyGen, open_as: Any, token: str | None) -> None:
    again = bulk(row("b"), has_more=True, next_token=token)
    pages = {"first": bulk(row("a"), has_more=True, next_token="1"), "1": again}
    pages["2"] = bulk(has_more=True, next_token="2")
    seen = await many(heygen, open_as, "a", "b", "c", **pages)
    assert words(seen) == [Status.RUNNING, Status.RUNNING, ProblemKind.NOT_FOUND]
    assert len(heygen.asked) <= 3


async def test_pages_that_tell_nothing_new_end_it(heygen: HeyGen, open_as: Any) -> None:
    endless = {str(number): bulk(row("a"), has_more=True, next_token=str(number + 1)) for number in range(50)}
    seen = await many(heygen, open_as, "a", "b", first=endless["0"], **endless)
    assert words(seen) == [Status.RUNNING, ProblemKind.NOT_FOUND]
    assert len(heygen.asked) == 2


async def test_what_is_left_out_or_not_found_is_a_problem_of_its_own(heygen: HeyGen, open_as: Any) -> None:
    seen = await many(
        heygen,
        open_as,
        "a",
        "b",
        "c",
        "d",
        first=bulk(
            row("b", "not_found"), row("c", "Not_Found", error={"message": "no such video"}), row("d")
        ),
    )
    assert [str(one.problem) for one in seen] == [
        "not_found: HeyGen's bulk answer omits it",
        "not_found: HeyGen's bulk answer does not find it",
        "not_found: no such video",
        "None",
    ]
    assert not any(one.status for one in seen[:3])


async def test_rows_of_nobody_and_rows_that_are_none_do_not_matter(heygen: HeyGen, open_as: Any) -> None:
    rows: list[object] = [
        row(None),
        row("stranger", "failed"),
        row(7),
        None,
        "a",
        [],
        {},
        {"status": "failed"},
    ]
    seen = await many(heygen, open_as, "a", "b", first=bulk(*rows, row("a"), {"video_id": "b"}))
    assert words(seen) == [Status.RUNNING, ProblemKind.NOT_FOUND]
    assert str(seen[1].problem) == "not_found: HeyGen's bulk answer has no status"


async def test_an_unknown_word_is_kept(heygen: HeyGen, open_as: Any) -> None:
    seen = await many(heygen, open_as, "a", "b", first=bulk(row("a", "upscaling"), row("b", 7)))
    assert words(seen) == ["upscaling", "7"]


async def test_a_doubled_id_is_told_once_and_one_that_contradicts_itself_is_not(
    heygen: HeyGen, open_as: Any
) -> None:
    rows = [row("a"), row("a"), row("b", "failed"), row("b", "completed"), row("b", "failed")]
    seen = await many(heygen, open_as, "a", "b", first=bulk(*rows))
    assert words(seen) == [Status.RUNNING, ProblemKind.NOT_FOUND]
    assert "contradicts itself" in str(seen[1].problem)


async def test_also_where_the_contradiction_stands_on_another_page(heygen: HeyGen, open_as: Any) -> None:
    first = bulk(row("a", "failed"), has_more=True, next_token="2")
    second = bulk(row("a", "completed"), row("b"))
    seen = await many(heygen, open_as, "a", "b", first=first, **{"2": second})
    assert words(seen) == [ProblemKind.NOT_FOUND, Status.RUNNING]


@pytest.mark.parametrize(
    "body", [{"data": []}, {"data": [], "has_more": True}, {"data": [], "next_token": None}]
)
async def test_absent_keys_mean_that_there_is_no_more(heygen: HeyGen, open_as: Any, body: object) -> None:
    seen = await many(heygen, open_as, "a", first=told(200, body))
    assert words(seen) == [ProblemKind.NOT_FOUND]


@pytest.mark.parametrize(
    "answer",
    [
        told(400, {"error": {"code": "invalid_parameter", "message": "too many ids"}}),
        told(414, {"message": "URI too long"}),
        told(404, NOT_FOUND_V3),
        told(404, {"message": "Not Found"}),
        told(405, {}),
        *NOT_FOUND_V2,
        told(200, {"error": {"code": "not_found", "message": "none of them"}}),
    ],
    ids=shown,
)
async def test_a_refused_bulk_question_is_told_once_and_the_next_ones_are_smaller(
    heygen: HeyGen, open_as: Any, answer: Response
) -> None:
    heygen.pages = {None: answer}
    hundred = [f"id-{number}" for number in range(100)]
    async with open_as("v3") as opened:
        with capture_logs() as logs:
            outcomes = await asyncio.gather(
                *(opened.ask_many(*hundred) for _ in range(3)), return_exceptions=True
            )
            assert [type(one) for one in outcomes] == [RefusedError] * 3
            assert opened.endpoint.batch_size == 10  # each counts by its own size
            with pytest.raises(RefusedError):
                await opened.ask_many(*hundred[:10])
        assert [(line["event"], line["log_level"]) for line in logs] == [("bulk request failed", "warning")]
        assert (opened.endpoint.batch_size, opened.endpoint.api) == (1, "v3")
        assert (await opened.ask("a")).status is Status.RUNNING


async def test_after_a_while_bulk_questions_are_tried_again_and_grow_as_they_work(
    heygen: HeyGen, open_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heygen.pages = {None: told(400, {})}
    async with open_as("v3") as opened:
        with capture_logs(), pytest.raises(RefusedError):
            await opened.ask_many("a", "b")
        assert opened.endpoint.batch_size == 1
        monkeypatch.setattr(statuses, "SINGLY_SECONDS", -1.0)  # the while is over
        with capture_logs(), pytest.raises(RefusedError):
            await opened.ask_many("a", "b")
        sizes = []
        for _ in range(7):
            names = [f"id-{number}" for number in range(opened.endpoint.batch_size)]
            heygen.pages = {None: bulk(*map(row, names))}
            await opened.ask_many(*names)
            sizes.append(len(names))
        assert sizes == [2, 4, 8, 16, 32, 64, 100]
        await opened.ask_many("a", "b")  # one that is not full tells nothing of larger ones
        assert opened.endpoint.batch_size == 100


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(status_code=401), KeyRejectedError),
        (told(403, {"error": {"code": "forbidden", "message": "no"}}), KeyRejectedError),
        (told(429, {"error": {"code": "quota_exceeded", "message": "no"}}), RateLimitedError),
        (HTMLResponse("<h1>Bad gateway</h1>", 502), TransientError),
        (told(408, {}), TransientError),
        (told(409, {"error": {"code": "request_in_progress", "message": "wait"}}), TransientError),
        (told(200, {"data": None}), TransientError),
        (told(200, {"data": {"a": 1}}), TransientError),
        (Response(b"{"), TransientError),
    ],
    ids=shown,
)
async def test_other_trouble_shrinks_only_when_it_lasts(
    heygen: HeyGen, open_as: Any, answer: Response, kind: type[Exception]
) -> None:
    async with open_as("v3") as opened:
        sizes = []
        for page in (answer, bulk(row("a"), row("b")), answer, answer):
            heygen.pages = {None: page}
            with capture_logs(), suppress(kind):
                await opened.ask_many("a", "b")
            sizes.append(opened.endpoint.batch_size)
        lasting = 1 if issubclass(kind, TransientError) else 100
        assert sizes == [100, 100, 100, lasting]


async def test_trouble_on_a_later_page_is_trouble_with_the_question(heygen: HeyGen, open_as: Any) -> None:
    heygen.pages = {
        None: bulk(row("a"), has_more=True, next_token="2"),
        "2": Response(status_code=500),
    }
    async with open_as("v3") as opened:
        with pytest.raises(TransientError, match="HTTP 500"):
            await opened.ask_many("a", "b")


async def test_a_switch_that_cannot_be_stored_keeps_the_answer(heygen: HeyGen, open_as: Any) -> None:
    async def away(_api: str) -> None:
        raise StoreError("the database is away")

    heygen.v2 = Response(status_code=410)
    async with open_as("auto") as opened:
        opened.endpoint._switched = away
        with capture_logs() as logs:
            seen = [await opened.ask(one) for one in ("a", "b")]
        assert [one.status for one in seen] == [Status.RUNNING] * 2
        assert [line["event"] for line in logs] == ["heygen api switched", "heygen api not stored"]
        assert opened.endpoint.api == "v3"
