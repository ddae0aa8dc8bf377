"""What an answer promises: the rest, all of it, or nothing that can be relied on."""

from typing import Any

import pytest

from tracker.errors import BrokenTransferError, LinkRefusedError
from tracker.outbound.file_answers import Promise, is_validator, read_promise, refuse_status

ETAG, DATE = '"v1"', "Mon, 23 Nov 2026 12:00:00 GMT"
SHOWN = "https://resource2.heygen.ai/x"


def promise(
    status: int = 200, asked: int = 0, validator: str | None = None, **headers: str
) -> Promise | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_promise(status, named, asked, validator, SHOWN)


def test_a_whole_file() -> None:
    found = promise(Content_Length="1000", ETag=ETAG, Last_Modified=DATE, Content_Type="video/mp4; charset=x")
    assert found == Promise(offset=0, size=1000, length=1000, validator=ETAG, content_type="video/mp4")


def test_a_whole_file_of_which_nobody_knows_the_length() -> None:
    assert promise(Transfer_Encoding="Chunked") == Promise(0, None, None, None, None)


def test_a_file_can_be_resumed_by_a_strong_etag_or_a_date() -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"ETag": ETAG, "Last_Modified": DATE}, ETAG),
        ({"ETag": f"W/{ETAG}", "Last_Modified": DATE}, DATE),
        ({"ETag": "v1"}, None),
        ({"ETag": '"v1\u202e"'}, None),
        ({"ETag": '"' + "x" * 300 + '"'}, None),
        ({"Last_Modified": "yesterday"}, None),
        ({}, None),
    ]
    for headers, validator in cases:
        found = promise(Content_Length="5", **headers)
        assert found is not None
        assert found.validator == validator
        assert is_validator(found.validator) == (validator is not None)


def test_a_content_type_that_is_none() -> None:
    for said in ["", "video", "video/mp4\r\nx: y", "text/html<script>", "a/" + "b" * 200]:
        found = promise(Content_Length="5", Content_Type=said)
        assert found is not None
        assert found.content_type is None


def test_a_whole_file_that_cannot_be_relied_on() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "does not say how long"),
        ({"Content_Length": "-5"}, "does not say how long"),
        ({"Content_Length": "9" * 19}, "does not say how long"),
        ({"Content_Length": "\u0665"}, "does not say how long"),
        ({"Content_Length": "5", "Content_Encoding": "gzip"}, "comes encoded"),
        ({"Content_Length": "5", "Content_Encoding": "identity, br"}, "comes encoded"),
    ]
    for headers, said in cases:
        with pytest.raises(BrokenTransferError, match=said) as refused:
            promise(**headers)
        assert str(refused.value).startswith(SHOWN)


def test_a_status_that_was_not_asked_for() -> None:
    for status in [201, 203, 204, 206, 416]:
        with pytest.raises(BrokenTransferError, match=f"HTTP {status} does not answer what was asked"):
            promise(status, Content_Length="5", Content_Range="bytes 0-4/5")


def rest(**headers: str) -> Promise | None:
    usual: dict[str, Any] = {"Content_Range": "bytes 400-999/1000", "Content_Length": "600", "ETag": ETAG}
    return promise(206, 400, ETAG, **(usual | headers))


def test_the_rest_of_a_file() -> None:
    expected = Promise(offset=400, size=1000, length=600, validator=ETAG, content_type=None)
    assert rest() == rest(Content_Length="") == rest(Content_Encoding="identity") == expected


def test_a_piece_of_the_rest_promises_the_rest() -> None:
    """What is missing of it in the end is a broken transfer, and the next attempt goes on from there."""
    found = rest(Content_Range="bytes 400-499/1000", Content_Length="100")
    assert found is not None
    assert found.length == 600


def test_another_piece_or_another_version_is_begun_anew() -> None:
    for headers in [
        {"Content_Range": ""},
        {"Content_Range": "bytes 0-999/1000", "Content_Length": "1000"},
        {"Content_Range": "bytes 399-999/1000", "Content_Length": "601"},
        {"Content_Range": "bytes 401-999/1000", "Content_Length": "599"},
        {"Content_Range": "bytes 400-999/*"},
        {"Content_Range": "bytes 400-1000/1000", "Content_Length": "601"},
        {"Content_Range": "bytes 400-399/1000", "Content_Length": "0"},
        {"Content_Range": "bytes */1000"},
        {"Content_Range": "items 400-999/1000"},
        {"Content_Length": "599"},
        {"ETag": '"v2"'},
    ]:
        assert rest(**headers) is None


def test_a_file_that_is_another_one_now_comes_from_its_beginning() -> None:
    found = promise(200, 400, ETAG, Content_Length="700", ETag='"v2"')
    assert found == Promise(offset=0, size=700, length=700, validator='"v2"', content_type=None)


def test_the_date_counts_where_there_is_no_strong_etag() -> None:
    said = {"Content_Range": "bytes 400-999/1000", "ETag": 'W/"v2"'}
    assert promise(206, 400, DATE, Last_Modified=DATE, **said) is not None
    assert promise(206, 400, DATE, Last_Modified=DATE.replace("12:", "13:"), **said) is None


def test_there_is_nothing_left_where_all_of_it_is_here() -> None:
    expected = Promise(offset=1000, size=1000, length=0, validator=ETAG, content_type=None)
    assert promise(416, 1000, ETAG, Content_Range="bytes */1000", ETag=ETAG) == expected
    assert promise(416, 1000, ETAG, Content_Range="bytes */900", ETag=ETAG) is None
    assert promise(416, 1000, ETAG, Content_Range="bytes */1000", ETag='"v2"') is None
    assert promise(416, 1000, ETAG) is None


def test_a_link_is_refused() -> None:
    for status in [400, 401, 403, 404, 405, 410, 451]:
        with pytest.raises(LinkRefusedError, match=rf"^{SHOWN}: .* \(HTTP {status}\)"):
            refuse_status(status, SHOWN)


def test_trouble_of_the_host_may_pass() -> None:
    for status in [304, 399, 408, 425, 429, 500, 502, 503, 504, 599, 600]:
        with pytest.raises(BrokenTransferError, match=f"^{SHOWN}: HTTP {status}"):
            refuse_status(status, SHOWN)


def test_what_is_looked_at_further() -> None:
    for status in [200, 204, 206, 416]:
        refuse_status(status, SHOWN)
