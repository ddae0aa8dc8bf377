"""The v2 status endpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ID, NOON, URL, answer, payload
from tests.unit.heygen.test_payloads import any_text, json_values
from tracker.domain.observation import Details, Observation
from tracker.domain.status import Source, Status
from tracker.errors import HeyGenError, NotFoundError, TransientError
from tracker.heygen.v2 import read_status, status_path


def read(**data: object) -> Observation:
    return read_status(ID, answer({"error": None, "data": data}))


def test_the_id_is_one_segment_of_the_path() -> None:
    for name, path in [
        (ID, f"/v2/video_translate/{ID}"),
        ("a/../b", "/v2/video_translate/a%2F..%2Fb"),
        ("a b?c#d", "/v2/video_translate/a%20b%3Fc%23d"),
        ("é", "/v2/video_translate/%C3%A9"),
    ]:
        assert status_path(name) == path


def test_a_success_tells_everything() -> None:
    assert read_status(ID, answer(payload("v2_success"))) == Observation(
        source=Source.POLL,
        observed_at=NOON,
        video_translate_id=ID,
        callback_id="mine",
        status=Status.SUCCESS,
        provider_status="success",
        details=Details(
            title="Talk",
            output_language="Urdu (Pakistan)",
            url=URL,
            caption_url="https://resource2.heygen.ai/video_translate/7544/caption.ass",
            api_version="v2",
        ),
    )


def test_a_pending_one_tells_what_it_has() -> None:
    seen = read_status(ID, answer(payload("v2_pending")))
    assert (seen.status, seen.callback_id) == (Status.PENDING, None)
    assert seen.details == Details(title="Talk", api_version="v2")


def test_a_failure_has_its_reason_in_message_and_its_word_before_a_colon() -> None:
    seen = read_status(ID, answer(payload("v2_failed")))
    assert (seen.status, seen.provider_status) == (Status.FAILED, "failed: Video rendering failed")
    assert seen.details.message == "Voice not found"


def test_not_found_stands_in_the_message_of_a_500() -> None:
    with pytest.raises(NotFoundError, match="Video translate not found"):
        read_status(ID, answer(payload("v2_not_found"), 500))


def test_an_unknown_word_is_an_observation_without_a_status() -> None:
    seen = read(status="upscaling")
    assert (seen.status, seen.provider_status, seen.is_informed) == (None, "upscaling", True)


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_answer_without_a_status_tells_nothing(nothing: object) -> None:
    with pytest.raises(TransientError, match="no status"):
        read(status=nothing, title="Talk")


def test_an_answer_about_another_translation_is_refused() -> None:
    with pytest.raises(TransientError, match="another translation"):
        read(status="success", video_translate_id="another")


def test_an_answer_that_names_none_is_taken() -> None:
    assert read(status="success", video_translate_id=None).video_translate_id == ID


def test_a_success_without_a_usable_url_is_a_success() -> None:
    for url in [None, "", "null", {"href": URL}, "javascript:alert(1)"]:
        seen = read(status="success", url=url)
        assert (seen.status, seen.details.url) == (Status.SUCCESS, None)


def test_numbers_and_times_are_taken_where_they_make_sense() -> None:
    assert read(status="running", duration=12.5, created_at=1795435200).details == Details(
        duration_seconds=12.5, provider_created_at=NOON, api_version="v2"
    )
    assert read(status="running", duration="long", created_at="now").details == Details(api_version="v2")
    nan = read_status(ID, answer(b'{"data": {"status": "running", "duration": NaN, "created_at": 1e999}}'))
    assert nan.details == Details(api_version="v2")


FIELDS = ["video_translate_id", "status", "url", "title", "message", "callback_id", "duration", "created_at"]
datas = st.dictionaries(st.sampled_from(FIELDS) | any_text, json_values, max_size=6)


@given(datas | json_values)
def test_whatever_the_data_hold_there_is_an_observation_or_a_heygen_error(data: object) -> None:
    body = json.dumps({"data": data}).encode()
    try:
        seen = read_status(ID, answer(body))
    except HeyGenError:
        return
    assert (seen.video_translate_id, seen.source, seen.observed_at) == (ID, Source.POLL, NOON)
    assert seen.provider_status
