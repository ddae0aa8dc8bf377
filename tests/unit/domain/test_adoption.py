"""Which translations are tracked that nobody registered."""

import pytest

from tests.builders import observation
from tracker.domain.adoption import Adoption


def test_who_is_adopted() -> None:
    for text, taken in [
        ("none", []),
        ("all", ["order-1", "orders", None]),
        ("prefix:order-", ["order-1"]),
        ("prefix:order", ["order-1", "orders"]),
        ("prefix:none", []),
    ]:
        adoption = Adoption.parse(text)
        assert str(adoption) == text
        assert [
            one for one in ("order-1", "orders", None) if adoption.takes(observation(callback_id=one))
        ] == taken


def test_any_other_policy_is_refused() -> None:
    for text in ["", "some", "ALL", "prefix:", "prefix", "order-", None, 5, ["all"]]:
        with pytest.raises(ValueError, match=r"^is neither none, all, nor prefix:TEXT$"):
            Adoption.parse(text)
