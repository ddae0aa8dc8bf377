"""The watch over our webhook endpoint: each problem is told once, and once when it is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import delivery
from tests.contract.openers import Database
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source
from tracker.errors import KeyRejectedError, TransientError
from tracker.polling.endpoint_check import ADVICE, EndpointCheck, find_ours, is_silent

pytestmark = pytest.mark.anyio

URL = "https://tracker.example/webhooks/heygen"
OURS = {"endpoint_id": "ep", "url": URL, "legacy": False}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True)
class One:
    endpoint_id: str = "ep"
    url: str = URL
    is_enabled: bool = True
    lacks: tuple[str, ...] = ()


class FakeList:
    def __init__(self, *found: One) -> None:
        self.answer: Sequence[One] | Exception = found
        self.asked = 0

    async def list(self) -> Sequence[One]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeMemory:
    def __init__(self, remembered: Mapping[str, Any] | None) -> None:
        self.remembered = remembered

    async def recall(self, name: str) -> Any:
        assert name == "webhook_endpoint"
        return self.remembered

    async def remember(self, name: str, value: Any) -> None:
        raise AssertionError


class Stage:
    def __init__(
        self,
        database: Database,
        *found: One,
        remembered: Mapping[str, Any] | None = OURS,
        url: str | None = None,
    ) -> None:
        self.v3, self.legacy = FakeList(*found), FakeList()
        self.key_values = FakeMemory(remembered)
        self.has_secrets = True
        self.watch = EndpointCheck(
            self.v3,
            self.legacy,
            self.key_values,
            database.store,
            url=url,
            has_secrets=lambda: self.has_secrets,
        )

    async def told(self) -> list[tuple[str, str]]:
        with capture_logs() as logs:
            await self.watch.check()
        return [(one["log_level"], one.get("problem") or one["event"]) for one in logs]


async def test_an_endpoint_that_is_well_is_no_news(database: Database) -> None:
    stage = Stage(database, One("another", "https://x/"), One())

    assert await stage.told() == []
    assert stage.watch.problems == ()


@pytest.mark.parametrize(
    ("found", "url", "problems"),
    [
        ([], None, ("endpoint_missing",)),
        ([One("another", "https://x/")], None, ("endpoint_missing",)),
        ([One("another", URL)], None, ()),
        ([One(is_enabled=False)], None, ("endpoint_disabled",)),
        ([One(url="https://x/")], None, ("endpoint_elsewhere",)),
        ([One()], "https://x/", ("endpoint_elsewhere",)),
        ([One(url="https://x/")], "https://x", ()),
        ([One(lacks=("video_translate.fail",))], None, ("endpoint_events",)),
        (
            [One(url="https://x/", is_enabled=False, lacks=("video_translate.fail",))],
            None,
            ("endpoint_disabled", "endpoint_elsewhere", "endpoint_events"),
        ),
    ],
)
async def test_what_is_wrong_with_ours_is_named(
    found: list[One], url: str | None, problems: tuple[str, ...], database: Database
) -> None:
    stage = Stage(database, *found, url=url)

    assert await stage.told() == [("warning", problem) for problem in problems]
    assert stage.watch.problems == problems


async def test_a_problem_is_told_once_and_so_is_its_end(database: Database) -> None:
    stage = Stage(database)
    assert await stage.told() == [("warning", "endpoint_missing")]
    assert await stage.told() == []
    stage.v3.answer = [One(is_enabled=False)]
    assert await stage.told() == [("warning", "endpoint_disabled"), ("info", "endpoint_missing")]
    stage.v3.answer = [One()]
    assert await stage.told() == [("info", "endpoint_disabled")]
    assert stage.watch.problems == ()


async def test_a_url_alone_is_enough_to_look_after_it(database: Database) -> None:
    assert await Stage(database, remembered=None, url=URL).told() == [("warning", "endpoint_missing")]
    assert await Stage(database, One("by-hand"), remembered=None, url=URL).told() == []


async def test_who_never_registered_one_is_left_alone(database: Database) -> None:
    stage = Stage(database, remembered=None)

    assert (await stage.told(), stage.v3.asked) == ([], 0)


async def test_one_that_was_removed_is_forgotten(database: Database) -> None:
    stage = Stage(database)
    await stage.told()
    stage.key_values.remembered = None
    assert await stage.told() == [("info", "endpoint_missing")]


async def test_a_legacy_endpoint_is_looked_for_among_its_own(database: Database) -> None:
    stage = Stage(database, remembered={**OURS, "legacy": True})
    stage.legacy.answer = [One()]

    assert (await stage.told(), stage.v3.asked, stage.legacy.asked) == ([], 0, 1)


@pytest.mark.parametrize("trouble", [TransientError("HTTP 500"), KeyRejectedError("HTTP 401")])
async def test_trouble_of_heygens_keeps_the_verdict_and_is_told_once(
    trouble: Exception, database: Database
) -> None:
    stage = Stage(database, One(is_enabled=False))
    await stage.told()
    stage.v3.answer = trouble

    assert await stage.told() == [("warning", "webhook endpoint not checked")]
    assert await stage.told() == []
    assert stage.watch.problems == ("endpoint_disabled",)
    stage.v3.answer = [One()]
    assert await stage.told() == [("info", "endpoint_disabled")]
    stage.v3.answer = trouble
    assert await stage.told() == [("warning", "webhook endpoint not checked")]


async def test_ends_that_no_webhook_told_of_mean_silence(database: Database) -> None:
    stage = Stage(database, remembered=None)
    database.end(*[Source.POLL] * 4)
    assert await stage.told() == []
    database.end(Source.POLL)
    assert await stage.told() == [("warning", "webhooks_silent")]
    database.end(Source.WEBHOOK)
    assert await stage.told() == [("info", "webhooks_silent")]


async def test_webhooks_that_come_after_the_polls_are_no_silence(database: Database) -> None:
    stage = Stage(database, remembered=None)
    database.end(*[Source.POLL] * 20)
    await database.store.apply([Record(delivery=delivery())], partial(determine_outcome, schedule=Schedule()))
    assert await stage.told() == []
    database.clock.advance(1)
    database.end(*[Source.POLL] * 20)
    assert await stage.told() == [("warning", "webhooks_silent")]


async def test_silence_is_expected_without_a_secret_and_seen_without_heygen(database: Database) -> None:
    stage = Stage(database)
    database.end(*[Source.POLL] * 5)
    stage.has_secrets = False
    stage.v3.answer = TransientError("HTTP 500")
    assert await stage.told() == [("warning", "webhook endpoint not checked")]
    stage.has_secrets = True
    assert await stage.told() == [("warning", "webhooks_silent")]


def test_one_webhook_among_the_latest_ends_breaks_the_silence() -> None:
    assert is_silent([Source.POLL] * 20, heard=False)
    assert not is_silent([Source.POLL] * 19 + [Source.WEBHOOK], heard=False)
    assert not is_silent([], heard=False)


def test_ours_is_found_by_id_before_its_url() -> None:
    by_url, by_id = One("another"), One("ep", "https://x/")

    assert find_ours([by_url, by_id], OURS, None) is by_id
    assert find_ours([by_url], OURS, None) is by_url
    assert find_ours([by_url], {}, None) is None


async def test_every_problem_comes_with_advice(database: Database) -> None:
    stage = Stage(database, One(is_enabled=False, url="https://x/", lacks=("video_translate.fail",)))
    database.end(*[Source.POLL] * 5)
    with capture_logs() as told:
        await stage.watch.check()

    assert {one["event"] for one in told} == {"webhook endpoint needs attention"}
    assert [one["advice"] for one in told] == [ADVICE[problem] for problem in stage.watch.problems]
