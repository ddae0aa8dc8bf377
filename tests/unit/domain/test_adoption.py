"""Which translations are tracked that nobody registered."""

import pytest

from tests.builders import observation
from tracker.domain.adoption import Adoption


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("none", []),
        ("all", ["order-1", "orders", None]),
        ("prefix:order-", ["order-1"]),
        ("prefix:order", ["order-1", "orders"]),
        ("prefix:none", []),
    ],
)
def test_who_is_adopted(text: str, taken: list[str | None]) -> None:
    adoption = Adoption.parse(text)
    assert str(adoption) == text
    assert [
        one for one in ("order-1", "orders", None) if adoption.takes(observation(callback_id=one))
    ] == taken


@pytest.mark.parametrize("text", ["", "some", "ALL", "prefix:", "prefix", "order-", None, 5, ["all"]])
def test_any_other_policy_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"^is neither none, all, nor prefix:TEXT$"):
        Adoption.parse(text)
