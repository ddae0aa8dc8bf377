"""HTTP answers, good and bad."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import answer, payload
from tests.unit.heygen.test_payloads import any_text, json_values
from tracker.errors import HeyGenError, KeyRejectedError, NotFoundError, RateLimitedError, TransientError
from tracker.heygen.answers import MESSAGE_LENGTH, Answer


def error(code: object = None, message: object = None) -> dict[str, Any]:
    return {"data": None, "error": {"code": code, "message": message}}


def outcome(said: Answer) -> object:
    try:
        return said.data()
    except HeyGenError as error:
        return error


def test_a_good_answer_gives_its_data() -> None:
    assert answer({"error": None, "data": {"status": "running"}}).data() == {"status": "running"}


def test_body_and_headers_stay_out_of_its_repr() -> None:
    shown = repr(answer(b"https://h/?Signature=s3cret", set_cookie="s3cret"))
    assert "200" in shown
    assert "s3cret" not in shown


def test_a_warning_beside_the_data_does_not_matter() -> None:
    assert answer(payload("v2_failed")).data()["message"] == "Voice not found"


def test_an_error_that_is_empty_is_none() -> None:
    empty: list[object] = [None, "", {}, [], False, 0]
    for nothing in empty:
        assert answer({"error": nothing, "data": {"a": 1}}).data() == {"a": 1}


# The key


def test_401_and_403_concern_the_key_whatever_they_say() -> None:
    for status_code in (401, 403):
        for body in (b"", b"<html>", error("forbidden"), {"error": "no", "data": {"a": 1}}):
            assert isinstance(outcome(answer(body, status_code)), KeyRejectedError)


def test_so_do_these_codes_under_any_status() -> None:
    for status_code, code in ((200, "unauthorized"), (400, "authentication_failed"), (500, "Forbidden")):
        for body in (error(code), {"error": code}):
            assert isinstance(outcome(answer(body, status_code)), KeyRejectedError)


# Too many requests


def test_429_says_how_long_to_wait_in_seconds_or_until_a_date() -> None:
    delays = {
        "3": 3.0,
        " 120 ": 120.0,
        "0": 0.0,
        "Mon, 23 Nov 2026 12:01:30 GMT": 90.0,
        "Mon, 23 Nov 2026 14:01:30 +0200": 90.0,
        "Mon, 23 Nov 2026 11:00:00 GMT": 0.0,
        "9" * 400: 86400.0,
        "Fri, 31 Dec 9999 23:59:59 GMT": 86400.0,
    }
    read = {value: answer(b"", 429, retry_after=value).retry_after() for value in delays}
    assert read == delays
    with pytest.raises(RateLimitedError, match="slow down") as caught:
        answer(error("rate_limit_exceeded", "slow down"), 429, retry_after="3").data()
    assert (caught.value.retry_after, caught.value.quota) == (3.0, False)


def test_a_delay_that_makes_no_sense_is_none() -> None:
    values = [
        *("", "soon", "-1", "1.5", "²"),
        *("Mon, 32 Nov 2026 12:00:00 GMT", "Mon, 23 Nov 2026 12:00:00 -0000"),
        *("Mon, 23 Nov 2026 12:00:00 +9999999999999999999", "1 Jan 99999999999999 00:00:00 GMT"),
    ]
    read = {value: answer(b"", 429, retry_after=value).retry_after() for value in values}
    assert read == dict.fromkeys(values)


def test_429_without_a_delay_and_without_json_is_a_rate_limit_too() -> None:
    for body in (b"", b"<html>Too Many Requests</html>"):
        with pytest.raises(RateLimitedError) as caught:
            answer(body, 429).data()
        assert (caught.value.retry_after, caught.value.quota) == (None, False)


def test_a_used_up_quota_is_told_apart() -> None:
    for body in (error("quota_exceeded", "quota"), {"error": "QUOTA_EXCEEDED"}):
        with pytest.raises(RateLimitedError) as caught:
            answer(body, 429).data()
        assert caught.value.quota


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,20} \d\d:\d\d:\d\d [+-]\d{1,20}")
)
def test_any_retry_after_is_a_delay_or_nothing(value: str) -> None:
    delay = answer(b"", 429, retry_after=value).retry_after()
    assert delay is None or delay >= 0


# Not found


def test_not_found_is_recognised_by_its_words_under_any_status() -> None:
    bodies: list[Any] = [
        payload("v2_not_found"),
        error("not_found"),
        error("x", "Translation NOT FOUND"),
        {"error": "not_found"},
        {"error": "Video translate not found"},
    ]
    for body in bodies:
        for status_code in (200, 400, 404, 500):
            with pytest.raises(NotFoundError, match=f"HTTP {status_code}"):
                answer(body, status_code).data()


def test_a_404_that_is_not_heygens_own_says_nothing_about_the_translation() -> None:
    for body in (b"", b"<html>404 not found</html>", {"detail": "Not Found"}):
        with pytest.raises(TransientError, match="HTTP 404"):
            answer(body, 404).data()


def test_a_failure_whose_reason_is_something_not_found_is_an_answer() -> None:
    assert answer(payload("v2_failed")).data()["status"] == "failed: Video rendering failed"


# Everything else


def test_other_http_errors_are_transient() -> None:
    bodies: list[Any] = [
        b"",
        b"<html>",
        error("internal_error", "x"),
        {"error": "x"},
        {"error": None, "data": {"a": 1}},
    ]
    for body in bodies:
        for status_code in (300, 302, 400, 409, 410, 418, 500, 502, 503, 504):
            with pytest.raises(TransientError, match=f"HTTP {status_code}"):
                answer(body, status_code).data()


def test_a_200_without_data_is_transient_and_says_why() -> None:
    problems = {
        b"": "HTTP 200: the body is not JSON",
        b'{"error": null, "data": {"status": "succ': "HTTP 200: the body is not JSON",
        b"[" * 100_000: "HTTP 200: the body is nested too deeply",
        b"[]": "HTTP 200: the body is not a JSON object",
        b"{}": "HTTP 200 without data",
        b'{"error": null, "data": null}': "HTTP 200 without data",
        b'{"error": null, "data": {}}': "HTTP 200 without data",
        b'{"data": [{"status": "running"}]}': "HTTP 200 without data",
        b'{"data": NaN}': "HTTP 200 without data",
        b'{"error": "busy", "data": {"status": "running"}}': "HTTP 200: busy",
        b'{"error": {"code": "busy"}, "data": {"status": "running"}}': "HTTP 200: busy",
        b'{"error": {"status": 1}}': "HTTP 200: error",
        b'{"error": ["busy"]}': 'HTTP 200: ["busy"]',
        b'{"error": 5}': "HTTP 200: 5",
    }
    outcomes = {body: outcome(answer(body)) for body in problems}
    assert {type(error) for error in outcomes.values()} == {TransientError}
    assert {body: str(error) for body, error in outcomes.items()} == problems


def test_the_request_id_is_told_and_long_texts_are_cut() -> None:
    with pytest.raises(TransientError) as caught:
        answer({"error": "x" * 999}, 500, x_request_id="r" * 99).data()
    assert str(caught.value) == f"HTTP 500 (request {'r' * 64}): {'x' * MESSAGE_LENGTH}"


@given(
    st.integers(100, 599),
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), st.text()),
)
def test_whatever_comes_is_data_or_a_heygen_error(
    status_code: int, body: bytes, headers: dict[str, str]
) -> None:
    read = outcome(answer(body, status_code, **headers))
    assert read
    assert isinstance(read, dict) or str(read).startswith(f"HTTP {status_code}")


@given(st.integers(200, 299), json_values, st.dictionaries(any_text, json_values, max_size=2) | json_values)
def test_whatever_the_error_and_the_data_hold(status_code: int, problem: object, data: object) -> None:
    read = outcome(answer(json.dumps({"error": problem, "data": data}).encode(), status_code))
    if isinstance(read, dict):
        assert not problem
    else:
        assert str(read).encode()


# Lists


def test_a_list_gives_its_rows_and_everything_beside_them() -> None:
    page = answer({"data": [1, "two"], "has_more": True, "next_token": "t"})
    assert page.rows() == [1, "two"]
    assert page.payload() == {"data": [1, "two"], "has_more": True, "next_token": "t"}
    assert answer({"data": []}).rows() == []


def test_a_list_that_is_none_is_transient() -> None:
    for data in (None, {}, {"a": 1}, "text", 7):
        with pytest.raises(TransientError, match="HTTP 200 without a list"):
            answer({"data": data}).rows()


def test_trouble_with_a_list_is_told_like_any_other() -> None:
    with pytest.raises(KeyRejectedError):
        answer({"data": []}, 401).rows()
    with pytest.raises(NotFoundError):
        answer({"data": [], "error": {"code": "not_found", "message": "no"}}).payload()


# Whether it is of use to ask again


def test_what_is_refused_for_good_is_4xx_but_for_what_concerns_the_key_or_the_moment() -> None:
    refused = {status_code for status_code in range(100, 600) if answer({}, status_code).is_refusal}
    assert refused == set(range(400, 500)) - {401, 403, 408, 409, 425, 429}


# Whether the endpoint is gone


RETIRED: list[tuple[int, Any]] = [
    (410, b""),
    (410, error("not_found", "Video translate not found")),
    (404, b""),
    (404, b"<html>"),
    (404, b"404 page not found"),
    (404, {"message": "Not Found"}),
    (404, {"error": "Not Found"}),
    (404, {"error": "NOT FOUND."}),
    (404, {"code": 404, "error": None}),
    (405, b""),
    (405, error("method_not_allowed", "use v3")),
    (301, b""),
    (307, {"error": None}),
    (302, b"<html>"),
    (200, b"<!doctype html>"),
    (200, b" \n<html>"),
]
NOT_RETIRED: list[tuple[int, Any]] = [
    (404, error("not_found")),
    (404, error("NOT_FOUND", "x")),
    (404, error("internal_error", "Video translate not found")),
    (404, {"error": "Video translate not found"}),
    (405, error("not_found")),
    (200, b""),
    (200, b"{"),
    (200, {"data": {"status": "running"}}),
    (200, error("not_found")),
    (400, b"<html>"),
    (401, b"<html>"),
    (403, {"message": "Not Found"}),
    (429, b""),
    (500, error("internal_error", "Video translate not found")),
    (502, b"<html>"),
]


def test_a_retired_endpoint_is_told_from_a_translation_that_is_not_found() -> None:
    judged = [
        (status_code, body) for status_code, body in RETIRED + NOT_RETIRED if looks_retired(status_code, body)
    ]
    assert judged == RETIRED


def looks_retired(status_code: int, body: Any) -> bool:
    return answer(body, status_code).looks_retired


@given(status_code=st.integers(100, 599), body=st.binary() | json_values)
def test_no_answer_is_too_strange_to_be_judged(status_code: int, body: object) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    judged = answer(raw, status_code)
    assert judged.looks_retired in (True, False)
    assert not (judged.looks_retired and (status_code >= 500 or status_code in (401, 403, 429)))
