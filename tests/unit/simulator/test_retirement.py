"""Which versions are retired, and when."""

from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from tracker.simulator.retirement import Retirement, retired_response
from tracker.simulator.scenario import Scenario

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def at(seconds: float, **scenario: object) -> Retirement:
    now = NOON + timedelta(seconds=seconds)
    return Retirement(Scenario.model_validate(scenario), lambda: now, NOON)


def test_nothing_retires_without_a_plan() -> None:
    assert [at(1e9).answer("v2"), at(1e9).answer("v3")] == [None, None]


def test_only_v2_retires_by_the_plan_and_at_its_moment() -> None:
    plan = {"retire_v2_after_seconds": 60, "retired_answer": "html"}
    assert [at(59.9, **plan).answer("v2"), at(60, **plan).answer("v2")] == [None, "html"]
    assert at(60, **plan).answer("v3") is None


def test_what_was_said_by_hand_wins_over_the_plan() -> None:
    retirement = at(60, retire_v2_after_seconds=60)
    retirement.said |= {"v2": None, "v3": "405"}
    assert [retirement.answer("v2"), retirement.answer("v3")] == [None, "405"]


def test_a_version_may_retire_by_finding_nothing() -> None:
    not_found = Response(status_code=404)
    assert at(60, retire_v2_after_seconds=60, retired_answer="not_found").answer("v2") == "not_found"
    assert retired_response("not_found", not_found) is not_found
    assert retired_response("410", not_found).status_code == 410
