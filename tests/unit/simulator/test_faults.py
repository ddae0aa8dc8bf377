"""Which answers go wrong: by chance those that read, by force those that are named."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.simulator.faults import RANDOM_ROUTES, FaultRoute, Faults, Oddities
from tracker.simulator.scenario import Scenario

ROUTES: tuple[FaultRoute, ...] = get_args(FaultRoute)


def test_chance_breaks_what_reads_and_nothing_else() -> None:
    faults = Faults(Scenario(error_rate=1))
    broken = {route for route in ROUTES if faults.next(route) is not None}
    assert broken == RANDOM_ROUTES == set(ROUTES) - {"create", "endpoints"}


def test_a_forced_fault_is_of_the_status_routes_unless_others_are_named() -> None:
    faults = Faults(Scenario())
    faults.force("500")
    assert [route for route in ROUTES if faults.next(route)] == ["status", "statuses"]
    faults.force("quota", routes=["create"])
    assert [route for route in ROUTES if faults.next(route)] == ["create"]
    faults.force(None)
    assert not any(faults.next(route) for route in ROUTES)


@given(seed=st.integers(), routes=st.lists(st.sampled_from(ROUTES)))
def test_force_and_routes_without_chance_move_no_later_draw(seed: int, routes: list[FaultRoute]) -> None:
    plain, other = (Faults(Scenario(seed=seed, error_rate=0.5)) for _ in range(2))
    other.force("500", routes=routes)
    for route in ("status", "list", "events"):
        plain.next(route)
        other.next(route)
        other.next("create")
    other.force(None)
    assert [plain.next("status") for _ in range(5)] == [other.next("status") for _ in range(5)]


def test_only_status_answers_are_slow() -> None:
    faults = Faults(Scenario(latency_seconds=(1, 1)))
    assert [route for route in ROUTES if faults.latency(route)] == ["status", "statuses"]


def test_an_oddity_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Oddities.model_validate({"list_ordre": "oldest"})
    assert Oddities.model_validate({"list_empty_token": False}) == Oddities()
