"""The v3 dialect: one status, many statuses, the list (heygen-api section 2)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from tracker.domain.observation import Details, Observation, Problem, ProblemKind
from tracker.domain.page import Page
from tracker.domain.status import Source
from tracker.domain.translation import is_video_translate_id
from tracker.errors import TransientError
from tracker.heygen.answers import Answer
from tracker.heygen.payloads import as_number, as_object, as_status, as_text, as_time, as_url, first_text

API_VERSION = "v3"
TRANSLATIONS_PATH = "/v3/video-translations"
STATUSES_PATH = f"{TRANSLATIONS_PATH}/statuses"
BATCH = 100  # ids in one request
NOT_FOUND = "not_found"


def status_path(video_translate_id: str) -> str:
    """The path of one translation's status."""
    return f"{TRANSLATIONS_PATH}/{quote(video_translate_id, safe='')}"


def read_status(video_translate_id: str, answer: Answer) -> Observation:
    """Read the status of this translation; raises HeyGenError if the answer has none."""
    observation = _read_translation(answer.data(), Source.POLL, answer.at)
    if observation.video_translate_id not in (None, video_translate_id):
        raise TransientError("HeyGen answered about another translation")
    if observation.provider_status is None:
        raise TransientError("HeyGen's answer has no status")
    return Observation(
        source=Source.POLL,
        observed_at=observation.observed_at,
        video_translate_id=video_translate_id,
        callback_id=observation.callback_id,
        status=observation.status,
        provider_status=observation.provider_status,
        details=observation.details,
    )


def read_statuses(rows: Iterable[object], asked: Sequence[str], at: datetime) -> dict[str, Observation]:
    """Read a bulk answer, by id. An id with two different statuses counts as an id without one."""
    observations: dict[str, Observation] = {}
    words: dict[str, object] = {}
    for row in map(as_object, rows):
        translation_id = row.get("video_id")
        if not isinstance(translation_id, str) or translation_id not in asked:
            continue
        if words.setdefault(translation_id, row.get("status")) != row.get("status"):
            problem = "HeyGen's bulk answer contradicts itself"
            observations[translation_id] = without_status(translation_id, at, problem)
        elif translation_id not in observations:
            observations[translation_id] = _read_bulk_row(translation_id, row, at)
    return observations


def without_status(video_translate_id: str, at: datetime, problem: str) -> Observation:
    """The bulk answer has no status for this id. Not final: a request for this id alone follows."""
    return Observation(
        source=Source.POLL,
        observed_at=at,
        video_translate_id=video_translate_id,
        problem=Problem(ProblemKind.NOT_FOUND, problem),
    )


def _read_bulk_row(video_translate_id: str, row: Mapping[str, Any], at: datetime) -> Observation:
    status, word = as_status(row.get("status"))
    if word is None or word.strip().lower() == NOT_FOUND:
        message = first_text(row, "error") or "HeyGen's bulk answer does not find it"
        problem = message if word else "HeyGen's bulk answer has no status"
        return without_status(video_translate_id, at, problem)
    return Observation(
        source=Source.POLL,
        observed_at=at,
        video_translate_id=video_translate_id,
        status=status,
        provider_status=word,
        details=Details(api_version=API_VERSION),
        partial=True,
    )


def read_page(answer: Answer) -> Page:
    """Read one page of the list of translations; raises HeyGenError."""
    rows = answer.rows()
    observations = [
        observation
        for row in rows
        if (observation := _read_translation(as_object(row), Source.LIST, answer.at)).video_translate_id
        and is_video_translate_id(observation.video_translate_id)
    ]
    token, cut = next_token(answer)
    times = [
        time for observation in observations if (time := observation.details.provider_created_at) is not None
    ]
    return Page(observations, token, unreadable=len(rows) - len(observations), cut=cut, times=times)


def next_token(answer: Answer) -> tuple[str | None, str | None]:
    """Return the token of the next page, or the reason why HeyGen promises a page but names no token."""
    payload = answer.payload()
    token = as_text(payload.get("next_token"))
    if not payload.get("has_more", token):  # without `has_more`, a token alone means more
        return None, None
    return token, None if token else "HeyGen promises another page but names no token"


def _read_translation(data: Mapping[str, Any], source: Source, at: datetime) -> Observation:
    status, word = as_status(data.get("status"))
    return Observation(
        source=source,
        observed_at=at,
        video_translate_id=first_text(data, "id", "video_translation_id"),
        callback_id=as_text(data.get("callback_id")),
        status=status,
        provider_status=word,
        details=Details(
            title=as_text(data.get("title")),
            output_language=as_text(data.get("output_language")),
            input_language=as_text(data.get("input_language")),
            message=first_text(data, "failure_message"),
            url=as_url(data.get("video_url")),
            caption_url=as_url(data.get("caption_url")),
            audio_url=as_url(data.get("audio_url")),
            srt_url=as_url(data.get("srt_caption_url")),
            vtt_url=as_url(data.get("vtt_caption_url")),
            duration_seconds=as_number(data.get("duration")),
            provider_created_at=as_time(data.get("created_at")),
            api_version=API_VERSION,
        ),
    )
