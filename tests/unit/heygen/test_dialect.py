"""Which dialect each translation is asked about in, and what moves the account."""

from datetime import timedelta

import pytest

from tests.builders import NOON, after
from tracker.heygen import dialect
from tracker.heygen.dialect import OTHER, Dialect

HOUR = 3600.0
DIRECTIONS = pytest.mark.parametrize("api", ["v2", "v3"])


def found_elsewhere(account: Dialect, name: str, seconds: float = 0) -> bool:
    """The account's dialect does not find it, the other one does; True where that moves the account."""
    at, other = after(seconds), OTHER[account.api]
    assert account.take_extra(name, at)
    account.record_known(name, other, at)
    return account.record_proof(name, other, at)


@DIRECTIONS
def test_two_different_translations_known_in_the_other_dialect_move_the_account(api: str) -> None:
    account = Dialect(api)
    assert [found_elsewhere(account, name) for name in ("a", "b")] == [False, True]
    assert account.api == OTHER[api]


def test_the_same_translation_twice_is_one_proof() -> None:
    account = Dialect("v2")
    assert [found_elsewhere(account, "a", at) for at in (0, HOUR, 2 * HOUR)] == [False] * 3
    assert account.api == "v2"


def test_the_accounts_own_dialect_that_knows_one_begins_the_proofs_anew() -> None:
    account = Dialect("v2")
    found_elsewhere(account, "a")
    account.record_known("x", "v2", after(1))
    assert [found_elsewhere(account, name, 2) for name in ("b", "c")] == [False, True]


def test_the_other_dialect_that_knows_one_leaves_the_proofs() -> None:
    account = Dialect("v2")
    found_elsewhere(account, "a")
    account.record_known("a", "v3", after(1))
    assert found_elsewhere(account, "b", 2)


def test_a_proof_for_the_accounts_own_dialect_moves_nothing() -> None:
    account = Dialect("v3")
    assert [account.record_proof(name, "v3", NOON) for name in ("a", "b")] == [False, False]


@pytest.mark.parametrize("seconds", [0, 1, HOUR - 1, -1, 1 - HOUR])
def test_an_extra_question_is_asked_once_an_hour(seconds: float) -> None:
    account = Dialect("v2")
    assert account.take_extra("a", NOON)
    assert not account.take_extra("a", after(seconds))
    assert account.take_extra("b", after(seconds))


@pytest.mark.parametrize("seconds", [HOUR, 2 * HOUR, -HOUR])
def test_after_an_hour_it_is_asked_again_also_by_a_clock_that_was_set_back(seconds: float) -> None:
    account = Dialect("v2")
    assert account.take_extra("a", NOON)
    assert account.take_extra("a", after(seconds))


def test_what_the_other_dialect_knows_is_asked_there_while_it_knows_it() -> None:
    account = Dialect("v2")
    found_elsewhere(account, "a")
    assert (account.api_for("a", after(1)), account.api_for("b", after(1))) == ("v3", "v2")
    account.record_known("a", "v3", after(HOUR - 1))
    assert account.api_for("a", after(2 * HOUR - 2)) == "v3"
    assert account.api_for("a", after(2 * HOUR - 1)) == "v2"


def test_what_neither_knows_is_asked_in_the_accounts_dialect() -> None:
    account = Dialect("v2")
    account.take_extra("a", NOON)
    assert account.api_for("a", after(1)) == "v2"


def test_what_the_accounts_dialect_knows_again_is_asked_there_and_no_extra_question_is_gained() -> None:
    account = Dialect("v2")
    found_elsewhere(account, "a")
    account.record_known("a", "v2", after(60))
    assert account.api_for("a", after(61)) == "v2"
    assert not account.take_extra("a", after(HOUR - 1))
    assert account.take_extra("a", after(HOUR))


def test_two_moves_are_an_hour_apart_and_each_translation_stays_where_it_is_known() -> None:
    account = Dialect("v2")
    for name in ("a", "b"):
        found_elsewhere(account, name)
    assert [found_elsewhere(account, name, 60) for name in ("c", "d", "e")] == [False] * 3
    assert (account.api, account.api_for("c", after(61))) == ("v3", "v2")
    assert [found_elsewhere(account, name, HOUR) for name in ("f",)] == [True]
    assert (account.api, account.api_for("a", after(HOUR - 1))) == ("v2", "v3")


def test_an_account_with_translations_in_both_dialects_neither_oscillates_nor_doubles_its_questions() -> None:
    account = Dialect("v2")
    home = {f"{api}-{number}": api for number in range(50) for api in ("v2", "v3")}
    moves = extras = asked = 0
    for second in range(0, 4 * 3600, 60):
        for name, knows in home.items():
            at, api = after(second), account.api_for(name, after(second))
            asked += 1
            if api == knows:
                account.record_known(name, api, at)
            elif account.take_extra(name, at):
                extras += 1
                account.record_known(name, knows, at)
                moves += account.record_proof(name, knows, at)
            else:
                pytest.fail(f"{name} is not found at {second} s")
    assert moves <= 4
    assert extras <= len(home) < asked / 100


def test_a_dialect_that_rejects_the_key_is_asked_nothing_extra_for_an_hour() -> None:
    account = Dialect("v3")
    account.record_rejected(NOON)
    assert not account.take_extra("a", after(HOUR - 1))
    assert account.take_extra("a", after(HOUR))


def test_no_more_are_remembered_than_fit_and_the_oldest_make_way_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialect, "REMEMBERED", 3)
    account = Dialect("v2")
    assert [account.take_extra(name, NOON) for name in ("a", "b", "c", "d")] == [True, True, True, False]
    account.record_known("a", "v3", after(60))
    assert [account.take_extra(name, NOON + timedelta(hours=1)) for name in ("d", "e", "f")] == [
        True,
        True,
        False,
    ]
    assert account.api_for("a", after(HOUR)) == "v3"
