"""Scenarios: what a file may contain, and that a seed always draws the same fates."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InputError
from tracker.simulator.scenario import FateRule, Scenario, load_scenario


@given(seed=st.integers(), index=st.integers(0, 10_000), rate=st.floats(0, 0.25))
def test_the_same_seed_draws_the_same_fates(seed: int, index: int, rate: float) -> None:
    first, second = (Scenario(seed=seed, webhook_lost=rate, failure_rate=rate) for _ in range(2))
    assert first.fate(index) == second.fate(index)
    ruled = Scenario(seed=seed, webhook_lost=rate, failure_rate=rate, fates=(FateRule(pending_seconds=9),))
    assert ruled.fate(0) == first.fate(0).model_copy(update={"pending_seconds": 9})


def test_a_rate_of_1_always_happens_and_a_rate_of_0_never() -> None:
    certain = Scenario(failure_rate=1, webhook_reordered=1, url_delay_rate=1, not_found_rate=1)
    for index in range(100):
        fate, never = certain.fate(index), Scenario().fate(index)
        assert (fate.outcome, fate.webhook, fate.url) == ("failed", "reordered", "later")
        assert (never.outcome, never.webhook, never.url) == ("success", "prompt", "at_once")
        assert (fate.not_found_seconds, never.not_found_seconds) == (3, 0)


def test_toml_and_json_files_are_equal_and_flags_override_them(tmp_path: Path) -> None:
    toml, as_json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('seed = 7\npending_seconds = [1, 2.5]\n[[fates]]\noutcome = "failed"\n')
    as_json.write_text(json.dumps({"seed": 7, "pending_seconds": [1, 2.5], "fates": [{"outcome": "failed"}]}))
    assert load_scenario(toml) == load_scenario(as_json)
    scenario = load_scenario(toml, {"seed": 8, "error_rate": None, "running_seconds": "3"})
    assert (scenario.seed, scenario.pending_seconds, scenario.running_seconds) == (8, (1, 2.5), (3, 3))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("webhok_lost = 0.2", "webhok_lost: unknown key; did you mean webhook_lost = 0.2?"),
        ("colour = 1", "colour: unknown key; known: seed,"),
        ("failure_rate = 1.5", "failure_rate: Input should be less than or equal to 1, got 1.5; for example"),
        ("pending_seconds = [3, 1]", "pending_seconds: needs 0 <= MIN <= MAX"),
        ("pending_seconds = [{}, 1]", "pending_seconds: not a number, nor two of them"),
        ("webhook_lost = 0.7\nwebhook_late = 0.7", "add up to 1.4, at most 1 is possible"),
        ('[[fates]]\nwebhok = "late"', 'fates[0].webhok: unknown key; did you mean webhook = "lost"?'),
        ("seed = ", "not TOML"),
    ],
)
def test_an_error_names_the_file_and_the_problem(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        load_scenario(file)
    assert problem in str(raised.value)
    assert "wrong.toml" in str(raised.value)


def test_an_error_names_an_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    for text in ("{", "[]", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(InputError, match=r"wrong\.json"):
            load_scenario(file)
    with pytest.raises(InputError, match=r"absent\.toml: cannot be read: No such file"):
        load_scenario(tmp_path / "absent.toml")
