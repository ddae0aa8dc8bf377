"""Renewals: one after the other, each only while nobody else wants to ask."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from tests.builders import ID, URL, failed_poll, poll
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.status import Status
from tracker.errors import AccountError, StoreError
from tracker.polling.renewals import Renewals

pytestmark = pytest.mark.anyio

RENEWED = poll(Status.SUCCESS, url=URL)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """What renewing gives, time after time, and whether somebody else wants to ask."""

    given: list[Observation | Exception] = field(default_factory=list)
    is_idle: Callable[[], bool] = lambda: True
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.renewals = Renewals(
            self.renew,
            lambda: self.is_idle(),
            lambda cause: self.counted.update([("renewed", cause)]),
            lambda cause: self.counted.update([("failed", cause)]),
            is_on=True,
        )

    async def renew(self) -> Observation | None:
        if not self.given:
            return None
        one = self.given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


async def test_all_that_is_due_is_renewed_and_counted() -> None:
    stage = Stage([RENEWED, poll(Status.SUCCESS, srt_url=URL), RENEWED])
    await stage.renewals.tick()
    assert (stage.given, stage.counted) == ([], {("renewed", "always"): 3})


async def test_unless_it_is_off() -> None:
    stage = Stage([RENEWED])
    stage.renewals.is_on = False
    await stage.renewals.tick()
    assert len(stage.given) == 1


async def test_whoever_waits_to_ask_goes_first() -> None:
    stage = Stage([RENEWED] * 3)
    stage.is_idle = lambda: len(stage.given) > 2  # while the first was renewed, a poll came
    await stage.renewals.tick()
    assert len(stage.given) == 2
    await stage.renewals.tick()
    assert len(stage.given) == 2


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (failed_poll(ProblemKind.NOT_FOUND, "no such video"), "not_found: no such video"),
        (poll(Status.SUCCESS), "HeyGen's answer has no link"),
    ],
)
async def test_one_without_a_new_link_is_told_and_holds_up_no_other(seen: Observation, error: str) -> None:
    stage = Stage([seen, RENEWED])
    with capture_logs() as logs:
        await stage.renewals.tick()
    assert stage.counted == {("failed", "always"): 1, ("renewed", "always"): 1}
    assert [(one["id"], one["error"]) for one in logs if one["event"] == "link not renewed"] == [(ID, error)]


async def test_where_the_account_comes_to_rest_the_others_wait() -> None:
    stage = Stage([AccountError("HTTP 429"), RENEWED])
    await stage.renewals.tick()
    assert (len(stage.given), stage.counted) == (1, {("failed", "always"): 1})


async def test_a_database_that_is_away_is_the_tickers_to_tell() -> None:
    with pytest.raises(StoreError):
        await Stage([StoreError("it is down")]).renewals.tick()
