"""Pages: all objects once, in order, whatever is added in front of them meanwhile."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tracker.simulator.answers import Refusal
from tracker.simulator.paging import USUAL, Asked, asked, cut, token

places = st.sets(st.integers(-(2**100), 2**100), min_size=1, max_size=40)


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def walk(objects: list[int], limit: int) -> list[int]:
    came: list[int] = []
    query = f"limit={limit}"
    while True:
        page, following = cut(objects, int, asked(request(query)))
        came += page
        if following is None:
            return came
        query = f"limit={limit}&token={following}"


@given(objects=places, limit=st.integers(1, 100))
def test_the_pages_are_the_whole(objects: set[int], limit: int) -> None:
    assert walk(sorted(objects), limit) == sorted(objects)


@given(objects=places, added=places, limit=st.integers(1, 5))
def test_a_token_stands_additions_in_front(objects: set[int], added: set[int], limit: int) -> None:
    first, following = cut(sorted(objects), int, Asked(limit, None))
    if following is None:
        return
    grown = sorted({place for place in added if place < first[0]} | objects)
    rest, _ = cut(grown, int, asked(request(f"limit=100&token={following}")))
    assert first + rest == sorted(objects)


def test_without_a_question_the_first_few_are_meant() -> None:
    assert asked(request("")) == asked(request("token=")) == Asked(USUAL, None)


BAD_TOKEN = base64.urlsafe_b64encode(b"after:soon").decode()


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=01000", "limit"),
        ("limit=%C2%B2", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("token=5", "token"),
        (f"token={BAD_TOKEN}", "token"),
        (f"token={token(5)[:-5]}", "token"),
    ],
)
def test_what_cannot_be_is_refused_by_name(query: str, param: str) -> None:
    with pytest.raises(Refusal) as raised:
        asked(request(query))
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (
        400,
        "invalid_parameter",
        param,
    )
