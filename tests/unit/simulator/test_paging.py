"""Pages: each object once, in order, even while objects are added in front."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tracker.simulator.answers import Refusal
from tracker.simulator.paging import USUAL, Asked, asked, cut, token

places = st.sets(st.integers(-(2**100), 2**100), min_size=1, max_size=40)


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@given(objects=places, added=places, limit=st.integers(1, 100))
def test_pages_are_complete_while_objects_are_added(objects: set[int], added: set[int], limit: int) -> None:
    page, following = cut(sorted(objects), int, asked(request(f"limit={limit}")))
    grown = sorted({place for place in added if place < page[0]} | objects)
    pages = page
    while following is not None:
        page, following = cut(grown, int, asked(request(f"limit={limit}&token={following}")))
        pages += page
    assert pages == sorted(objects)


def test_an_empty_query_asks_for_the_first_page() -> None:
    assert asked(request("")) == asked(request("token=")) == Asked(USUAL, None)


@pytest.mark.parametrize("query", ["limit=01000", "limit=%C2%B2", "token=5", f"token={token(5)[:-5]}"])
def test_a_refusal_names_the_invalid_parameter(query: str) -> None:
    with pytest.raises(Refusal) as raised:
        asked(request(query))
    assert (raised.value.http_status, raised.value.param) == (400, query.partition("=")[0])
