"""Until when a link works: what the url says, else 7 days."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, URL, after
from tracker.domain.links import expires_at

IN_A_WEEK = after(days=7)


def test_a_url_without_an_expiry_works_for_seven_days_after_it_was_fetched() -> None:
    assert expires_at(URL, NOON) == IN_A_WEEK
    assert expires_at(f"{URL}?response-content-disposition=attachment", NOON) == IN_A_WEEK


def test_cloudfront_says_when_in_unix_seconds() -> None:
    url = f"{URL}?Expires=1795435200&Signature=abc&Key-Pair-Id=K"
    assert expires_at(url, NOON) == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_s3_says_when_it_was_signed_and_for_how_long() -> None:
    assert expires_at(f"{URL}?X-Amz-Date=20261123T120000Z&X-Amz-Expires=3600", NOON) == after(3600)


@pytest.mark.parametrize(
    "query",
    [
        "Expires=soon",
        "Expires=",
        "Expires=99999999999999999999",
        "Expires=" + "9" * 5000,
        "X-Amz-Date=20261123T120000Z",
        "X-Amz-Expires=3600",
        "X-Amz-Date=yesterday&X-Amz-Expires=3600",
        "X-Amz-Date=20261123T120000Z&X-Amz-Expires=forever",
        "X-Amz-Date=99991231T235959Z&X-Amz-Expires=604800",
    ],
)
def test_nonsense_counts_as_nothing_said(query: str) -> None:
    assert expires_at(f"{URL}?{query}", NOON) == IN_A_WEEK


def test_a_url_that_is_none_works_for_seven_days_too() -> None:
    assert expires_at("https://[broken?Expires=1795435200", NOON) == IN_A_WEEK


@given(st.text() | st.builds("{}?Expires={}".format, st.just(URL), st.integers() | st.text()))
def test_whatever_the_url_says_there_is_an_aware_answer(url: str) -> None:
    assert expires_at(url, NOON).tzinfo is UTC
