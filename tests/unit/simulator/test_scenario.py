"""Scenarios: what may be written in one, and that one scenario tells one story."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InputError
from tracker.simulator.scenario import FateRule, Scenario, load_scenario

rates = st.floats(0, 0.25)
indexes = st.integers(0, 10_000)


@given(seed=st.integers(), index=indexes, rate=rates)
def test_the_same_seed_and_number_give_the_same_fate(seed: int, index: int, rate: float) -> None:
    first, second = (Scenario(seed=seed, webhook_lost=rate, failure_rate=rate) for _ in range(2))
    assert first.fate(index) == second.fate(index)


@given(seed=st.integers(), index=indexes)
def test_drawn_durations_stay_in_their_ranges(seed: int, index: int) -> None:
    fate = Scenario(seed=seed, pending_seconds=(1, 2), running_seconds=(5, 5)).fate(index)
    assert 1 <= fate.pending_seconds <= 2
    assert fate.running_seconds == 5


@given(index=indexes)
def test_a_rate_of_one_is_certain_and_a_rate_of_zero_never(index: int) -> None:
    certain = Scenario(failure_rate=1, webhook_reordered=1, url_delay_rate=1, not_found_rate=1).fate(index)
    never = Scenario().fate(index)
    assert (certain.outcome, certain.webhook, certain.url) == ("failed", "reordered", "later")
    assert certain.not_found_seconds == 3
    assert (never.outcome, never.webhook, never.url) == ("success", "prompt", "at_once")
    assert never.not_found_seconds == 0


@given(seed=st.integers())
def test_a_rule_decides_its_fields_and_moves_no_other(seed: int) -> None:
    drawn = Scenario(seed=seed, webhook_lost=0.5).fate(0)
    ruled = Scenario(
        seed=seed, webhook_lost=0.5, fates=(FateRule(outcome="failed", pending_seconds=9),)
    ).fate(0)
    assert ruled == drawn.model_copy(update={"outcome": "failed", "pending_seconds": 9})


def test_rules_are_used_in_order_and_end() -> None:
    scenario = Scenario(fates=(FateRule(webhook="lost"), FateRule(webhook="doubled")))
    assert [scenario.fate(index).webhook for index in range(3)] == ["lost", "doubled", "prompt"]


def test_toml_and_json_files_say_the_same(tmp_path: Path) -> None:
    toml, as_json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('seed = 7\npending_seconds = [1, 2.5]\n[[fates]]\noutcome = "failed"\n')
    as_json.write_text(json.dumps({"seed": 7, "pending_seconds": [1, 2.5], "fates": [{"outcome": "failed"}]}))
    assert load_scenario(toml) == load_scenario(as_json)
    assert load_scenario(toml).pending_seconds == (1, 2.5)


def test_flags_win_over_the_file_and_none_means_not_given(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("seed = 7\nerror_rate = 0.5\n")
    scenario = load_scenario(file, {"seed": 8, "error_rate": None, "running_seconds": "1,2"})
    assert (scenario.seed, scenario.error_rate, scenario.running_seconds) == (8, 0.5, (1, 2))


@pytest.mark.parametrize("text", ["3", "3,3"])
def test_one_number_is_a_range_too(text: str) -> None:
    assert load_scenario(None, {"pending_seconds": text}).pending_seconds == (3, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("webhok_lost = 0.2", "webhok_lost: unknown key; did you mean webhook_lost = 0.2?"),
        ("colour = 1", "colour: unknown key; known: seed,"),
        (
            "failure_rate = 1.5",
            "failure_rate: Input should be less than or equal to 1, got 1.5; for example: failure",
        ),
        ("pending_seconds = [3, 1]", "pending_seconds: needs 0 <= MIN <= MAX"),
        ("pending_seconds = [{}, 1]", "pending_seconds: not a number, nor two of them"),
        ("pending_seconds = true", "pending_seconds: not a number, nor two of them"),
        ("unknown_id_http_status = 410", "unknown_id_http_status: Input should be 200, 404 or 500"),
        ("webhook_lost = 0.7\nwebhook_late = 0.7", "add up to 1.4, at most 1 is possible"),
        ('[[fates]]\n[[fates]]\nwebhook = "slow"', "fates[1].webhook: Input should be 'prompt'"),
        ('[[fates]]\nwebhok = "late"', 'fates[0].webhok: unknown key; did you mean webhook = "lost"?'),
        ("fates = 3", "fates: Input should be a valid tuple"),
        ("retire_v2_after_seconds = -1", "retire_v2_after_seconds: Input should be greater than or equal"),
        ('retired_answer = "gone"', "retired_answer: Input should be '404', '405', '410'"),
        ("seed = ", "not TOML"),
    ],
)
def test_a_wrong_scenario_is_told_by_file_key_problem_and_example(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        load_scenario(file)
    assert told in str(raised.value)
    assert "wrong.toml" in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_json_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.json"):
        load_scenario(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.toml: cannot be read: No such file"):
        load_scenario(tmp_path / "absent.toml")


def test_a_wrong_flag_does_not_blame_the_file(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text("seed = 7")
    with pytest.raises(InputError, match=r"^scenario flags: pending_seconds: .*could not convert"):
        load_scenario(file, {"pending_seconds": "soon"})
