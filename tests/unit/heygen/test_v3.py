"""The v3 dialect: one status, many at once, the list."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ID, NOON, URL, answer
from tests.unit.heygen.test_payloads import any_text, json_values
from tracker.domain.observation import Details, Observation, ProblemKind
from tracker.domain.status import Source, Status
from tracker.errors import HeyGenError, NotFoundError, TransientError
from tracker.heygen.v3 import next_token, read_page, read_status, read_statuses, status_path, without_status

FULL = {
    "id": ID,
    "status": "completed",
    "title": "Talk",
    "output_language": "Urdu (Pakistan)",
    "input_language": "English",
    "duration": 61.5,
    "translate_audio_only": False,
    "video_url": URL,
    "audio_url": f"{URL}?a",
    "srt_caption_url": f"{URL}?s",
    "vtt_caption_url": f"{URL}?v",
    "callback_id": "mine",
    "created_at": 1795435200,
    "failure_message": None,
}
ALL = Details(
    title="Talk",
    output_language="Urdu (Pakistan)",
    input_language="English",
    duration_seconds=61.5,
    url=URL,
    audio_url=f"{URL}?a",
    srt_url=f"{URL}?s",
    vtt_url=f"{URL}?v",
    provider_created_at=NOON,
    api_version="v3",
)


def read(**data: object) -> Observation:
    return read_status(ID, answer({"data": data}))


def bulk(*rows: object, asked: tuple[str, ...] = (ID,)) -> dict[str, Observation]:
    return read_statuses(rows, asked, NOON)


@pytest.mark.parametrize(("name", "path"), [(ID, ID), ("a/../b", "a%2F..%2Fb"), ("a b?c", "a%20b%3Fc")])
def test_the_id_is_one_segment_of_the_path(name: str, path: str) -> None:
    assert status_path(name) == f"/v3/video-translations/{path}"


def test_a_completed_one_tells_everything() -> None:
    assert read(**FULL) == Observation(
        source=Source.POLL,
        observed_at=NOON,
        video_translate_id=ID,
        callback_id="mine",
        status=Status.SUCCESS,
        provider_status="completed",
        details=ALL,
    )


def test_all_but_the_status_may_be_absent() -> None:
    seen = read(status="running")
    assert (seen.status, seen.video_translate_id, seen.callback_id) == (Status.RUNNING, ID, None)
    assert seen.details == Details(api_version="v3")


def test_a_failure_has_its_reason_in_failure_message() -> None:
    seen = read(id=ID, status="failed", failure_message="Voice not found", video_url=None)
    assert (seen.status, seen.details.message, seen.details.url) == (Status.FAILED, "Voice not found", None)


def test_an_unknown_word_is_an_observation_without_a_status() -> None:
    seen = read(status="upscaling")
    assert (seen.status, seen.provider_status) == (None, "upscaling")


@pytest.mark.parametrize(
    ("data", "problem"), [({"title": "Talk"}, "no status"), ({"status": None}, "no status")]
)
def test_an_answer_without_a_status_tells_nothing(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(TransientError, match=problem):
        read(**data)


def test_an_answer_about_another_translation_is_refused() -> None:
    with pytest.raises(TransientError, match="another translation"):
        read(id="another", status="completed")


def test_not_found_is_told_as_such() -> None:
    with pytest.raises(NotFoundError):
        read_status(ID, answer({"error": {"code": "not_found", "message": "gone"}}, 404))


# Many at once


def test_a_bulk_answer_tells_the_status_alone() -> None:
    for word, status in [
        ("queued", Status.PENDING),
        ("processing", Status.RUNNING),
        ("completed", Status.SUCCESS),
        ("failed", Status.FAILED),
        ("reticulating", None),
    ]:
        seen = bulk({"video_id": ID, "status": word, "batch_id": None, "item_index": 0, "error": None})[ID]
        assert (seen.source, seen.status, seen.provider_status) == (Source.POLL, status, word)
        assert (seen.partial, seen.details, seen.problem) == (True, Details(api_version="v3"), None)


def test_what_a_bulk_answer_does_not_know_is_a_problem_to_be_looked_into() -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"status": "not_found"}, "does not find it"),
        ({"status": "Not_Found"}, "does not find it"),
        ({"status": "not_found", "error": {"message": "Gone"}}, "Gone"),
        ({"status": "not_found", "error": "Gone"}, "Gone"),
        ({"status": None, "error": "Gone"}, "has no status"),
        ({}, "has no status"),
    ]
    for row, why in rows:
        seen = bulk({"video_id": ID, **row})[ID]
        assert seen.problem is not None
        assert (seen.problem.kind, seen.status) == (ProblemKind.NOT_FOUND, None)
        assert why in seen.problem.message


def test_rows_about_nobody_we_asked_for_tell_nothing() -> None:
    rows: list[object] = [
        None,
        [],
        "text",
        {},
        {"video_id": None},
        {"video_id": 5},
        {"video_id": "stranger", "status": "failed"},
    ]
    for row in rows:
        assert bulk(row) == {}


def test_a_row_that_comes_twice_counts_once_unless_it_contradicts_itself() -> None:
    going, done = {"video_id": ID, "status": "processing"}, {"video_id": ID, "status": "completed"}
    assert bulk(done, done) == bulk(done)
    for rows in ((going, done), (done, going), (done, going, done)):
        problem = bulk(*rows)[ID].problem
        assert problem is not None
        assert "contradicts itself" in problem.message


def test_what_is_left_out_is_a_problem_of_the_same_kind() -> None:
    seen = without_status(ID, NOON, "left out")
    assert (seen.video_translate_id, seen.observed_at, str(seen.problem)) == (ID, NOON, "not_found: left out")


# The list


def test_a_page_of_the_list_tells_all_that_is_on_it() -> None:
    page = read_page(answer({"data": [FULL, {"id": "b"}], "has_more": True, "next_token": "t2"}))
    first, second = page.observations
    assert (first.source, first.status, first.callback_id) == (Source.LIST, Status.SUCCESS, "mine")
    assert (first.details, first.observed_at) == (ALL, NOON)
    assert (second.video_translate_id, second.status) == ("b", None)
    assert (page.next_token, page.cut, page.unreadable, page.ignored) == ("t2", None, 0, 0)
    assert page.times == [NOON]


def test_a_row_without_a_usable_id_is_counted() -> None:
    rows: list[object] = [None, [], 5, "a", {}, {"id": None}, {"id": "no id"}, {"callback_id": "mine"}]
    for row in rows:
        page = read_page(answer({"data": [row, FULL]}))
        assert (len(page.observations), page.unreadable) == (1, 1)


def test_whether_there_is_more_and_where() -> None:
    pages: list[tuple[dict[str, Any], str | None, bool]] = [
        ({"has_more": False, "next_token": None}, None, False),
        ({"has_more": False, "next_token": "t"}, None, False),
        ({"has_more": True, "next_token": "t"}, "t", False),
        ({"has_more": True, "next_token": 5}, "5", False),
        ({"has_more": True, "next_token": None}, None, True),
        ({"has_more": True, "next_token": ""}, None, True),
        ({"has_more": True}, None, True),
        ({"has_more": None, "next_token": "t"}, None, False),
        ({"next_token": "t"}, "t", False),
        ({"next_token": None}, None, False),
        ({}, None, False),
    ]
    for said, token, is_cut in pages:
        found, cut = next_token(answer({"data": [], **said}))
        assert (found, cut is not None) == (token, is_cut)


@given(json_values)
def test_whatever_a_page_holds_there_is_a_page_or_a_heygen_error(data: object) -> None:
    body = json.dumps({"data": data}).encode()
    try:
        page = read_page(answer(body))
    except HeyGenError:
        return
    assert isinstance(data, list)
    assert len(page.observations) + page.unreadable == len(data)


FIELDS = [*FULL, "error", "video_id"]
rows_of_junk = st.dictionaries(st.sampled_from(FIELDS) | any_text, json_values, max_size=6)


@given(st.lists(rows_of_junk | json_values, max_size=5))
def test_whatever_rows_hold_they_are_read(rows: list[object]) -> None:
    page = read_page(answer(json.dumps({"data": rows}).encode()))
    assert len(page.observations) + page.unreadable == len(rows)
    told = read_statuses(
        [{"video_id": ID, **row} if isinstance(row, dict) else row for row in rows], [ID], NOON
    )
    assert set(told) <= {ID}
