"""JSON values as they really come."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON
from tracker.domain.status import Status
from tracker.heygen.payloads import (
    EARLIEST,
    as_number,
    as_object,
    as_status,
    as_text,
    as_time,
    as_url,
    first_text,
    parse_json_object,
)

any_text = st.text(st.characters())  # with lone surrogates, as JSON may hold them
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# Bodies


def test_an_object_is_read_with_and_without_a_byte_order_mark() -> None:
    assert parse_json_object(b'{"a": 1}') == {"a": 1}
    assert parse_json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_an_integer_of_any_length_is_read() -> None:
    assert parse_json_object(b'{"a": 18446744073709551617}') == {"a": 2**64 + 1}
    assert parse_json_object(b'{"a": ' + b"9" * 5000 + b"}") == {"a": math.inf}


def test_any_other_body_is_refused_with_what_is_wrong() -> None:
    for body, problem in [
        (b"", "the body is not JSON"),
        (b"<html><body>502 Bad Gateway</body></html>", "the body is not JSON"),
        (b'{"error": null, "data": {"status": "suc', "the body is not JSON"),
        (b'{"a": 1} trailing', "the body is not JSON"),
        (b"\xff\xfe{\x00", "the body is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "the body is not UTF-8"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"[]", "the body is not a JSON object"),
        (b'"text"', "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b"NaN", "the body is not a JSON object"),
    ]:
        with pytest.raises(ValueError, match=f"^{problem}$"):
            parse_json_object(body)


def outcome(body: bytes) -> object:
    try:
        return parse_json_object(body)
    except ValueError as error:
        return str(error)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_an_object_or_a_value_error(body: bytes) -> None:
    came = outcome(body)
    assert isinstance(came, dict) or str(came).startswith("the body is n")


def test_integers_are_exact_up_to_300_digits_and_none_is_too_long_to_be_read() -> None:
    exact, huge = b"1" + b"0" * 299, b"1" + b"0" * 300
    assert parse_json_object(b'{"a": ' + exact + b', "b": ' + huge + b"}") == {"a": 10**299, "b": math.inf}


def test_only_objects_are_objects() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert [as_object(value) for value in (None, "text", [1], 1)] == [{}] * 4


# Text


def test_text_is_what_both_engines_can_store() -> None:
    for value, text in [
        (None, None),
        ("", None),
        ("mine", "mine"),
        ("x" * 10_000, "x" * 10_000),
        ('{"order": 7}', '{"order": 7}'),
        (7, "7"),
        (7.5, "7.5"),
        (True, "true"),
        ({"order": "é"}, '{"order": "é"}'),
        ([1, None], "[1, null]"),
        (float("nan"), "NaN"),
        ("a\x00b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ({"a": "\udfff"}, '{"a": "\ufffd"}'),
        ("\U0001f600", "\U0001f600"),
    ]:
        assert as_text(value) == text


def test_what_is_nested_too_deeply_to_be_written_again_is_no_text() -> None:
    assert as_text(nested(100_000)) is None


@given(json_values)
def test_every_text_can_be_encoded(value: object) -> None:
    text = as_text(value)
    assert text is None or (text and b"\x00" not in text.encode())


def test_the_first_field_that_holds_anything_wins() -> None:
    assert first_text({"b": "two", "a": "one"}, "a", "b") == "one"
    assert first_text({"a": "", "b": None, "c": "three"}, "a", "b", "c") == "three"
    assert first_text({"d": "four"}, "a", "b") is None


def test_an_object_stands_for_its_message_or_its_code() -> None:
    assert first_text({"error": {"code": "c", "message": "m"}}, "error") == "m"
    assert first_text({"error": {"code": "c", "message": ""}}, "error") == "c"
    assert first_text({"error": {"detail": 1}}, "error") == '{"detail": 1}'


# Addresses


def test_a_web_address_is_kept_as_it_is() -> None:
    for url in ["https://a.heygen.ai/x.mp4?Signature=a~b&y='", "http://h", "HTTPS://H/ü"]:
        assert as_url(url) == url


@pytest.mark.parametrize(
    "other",
    [
        *(None, "", "null", 7, {"url": "https://h"}),
        *(
            "javascript:alert(1)",
            "ftp://h/x",
            "//h/x",
            "https://",
            "https://h/a b",
            "https://h/x\n",
            " https://h",
        ),
    ],
)
def test_anything_else_is_no_address(other: object) -> None:
    assert as_url(other) is None


# Numbers and times


def test_finite_numbers_are_numbers() -> None:
    for value, number in [(0, 0.0), (7, 7.0), (-1.5, -1.5), (1e308, 1e308)]:
        assert as_number(value) == number


def test_nothing_else_is_a_number() -> None:
    for other in [None, True, "7", [7], float("nan"), float("inf"), 10**400, -(10**400)]:
        assert as_number(other) is None


def test_times_are_unix_seconds_or_iso_8601_in_utc() -> None:
    for value in [
        1795435200,
        1795435200.0,
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00",
        "2026-11-23T13:00:00+01:00",
    ]:
        time = as_time(value)
        assert time == NOON
        assert time is not None
        assert time.tzinfo is UTC


@pytest.mark.parametrize(
    "other",
    [
        *(None, True, [], 1e20, -1e20, 1795435200000, float("nan"), 10**400),
        *("", "soon", "0001-01-01T00:00:00+23:59", "\ud800"),
    ],
)
def test_nothing_else_is_a_time(other: object) -> None:
    assert as_time(other) is None


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5))])))
def test_every_iso_time_is_understood_unless_it_was_before_heygen(time: datetime) -> None:
    assert as_time(time.isoformat()) == (time if time >= EARLIEST else None)


# Status words


def test_the_words_met_across_endpoints_are_ours() -> None:
    for words, status in [
        (["pending", "queued", "waiting"], Status.PENDING),
        (["running", "processing"], Status.RUNNING),
        (["success", "completed", "succeeded"], Status.SUCCESS),
        (["failed", "error"], Status.FAILED),
    ]:
        assert [as_status(word) for word in words] == [(status, word) for word in words]


def test_what_counts_stands_before_the_first_colon() -> None:
    for raw, status in [
        ("pending: Waiting in queue", Status.PENDING),
        ("failed: Video rendering failed", Status.FAILED),
        ("failed: success: no", Status.FAILED),
        (" Success ", Status.SUCCESS),
        ("RUNNING : rendering", Status.RUNNING),
    ]:
        assert as_status(raw) == (status, raw)


def test_a_word_we_do_not_know_is_no_status_and_is_kept() -> None:
    for raw in ["upscaling", "successful", ": failed", " ", "{'status': 1}"]:
        assert as_status(raw) == (None, raw)


def test_no_word_at_all_is_neither() -> None:
    assert as_status(None) == (None, None)
    assert as_status("") == (None, None)
    assert as_status(200) == (None, "200")
    assert as_status({"failed": 1}) == (None, '{"failed": 1}')


@given(json_values)
def test_readers_raise_nothing(value: object) -> None:
    url, number, time, (status, word) = as_url(value), as_number(value), as_time(value), as_status(value)
    assert url is None or url.lower().startswith("http")
    assert number is None or (isinstance(value, int | float) and number == float(value))  # which may round
    assert time is None or time.tzinfo is UTC
    assert status is None or word is not None
