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
BATCH = 100  # ids in one question
NOT_FOUND = "not_found"


def status_path(video_translate_id: str) -> str:
    """Where to ask about one translation."""
    return f"{TRANSLATIONS_PATH}/{quote(video_translate_id, safe='')}"


def read_status(video_translate_id: str, answer: Answer) -> Observation:
    """What the answer says about this translation; raises HeyGenError where it says nothing."""
    seen = _read_translation(answer.data(), Source.POLL, answer.at)
    if seen.video_translate_id not in (None, video_translate_id):
        raise TransientError("HeyGen answered about another translation")
    if seen.provider_status is None:
        raise TransientError("HeyGen's answer has no status")
    return Observation(
        source=Source.POLL,
        observed_at=seen.observed_at,
        video_translate_id=video_translate_id,
        callback_id=seen.callback_id,
        status=seen.status,
        provider_status=seen.provider_status,
        details=seen.details,
    )


def read_statuses(rows: Iterable[object], asked: Sequence[str], at: datetime) -> dict[str, Observation]:
    """What a bulk answer says, by id. An id that is told twice, in different words, is not told."""
    told: dict[str, Observation] = {}
    words: dict[str, object] = {}
    for row in map(as_object, rows):
        name = row.get("video_id")
        if not isinstance(name, str) or name not in asked:
            continue
        if words.setdefault(name, row.get("status")) != row.get("status"):
            told[name] = without_status(name, at, "HeyGen's bulk answer contradicts itself")
        elif name not in told:
            told[name] = _read_bulk_row(name, row, at)
    return told


def without_status(video_translate_id: str, at: datetime, why: str) -> Observation:
    """A bulk answer without a status for this id; it is asked about alone before anybody believes it."""
    return Observation(
        source=Source.POLL,
        observed_at=at,
        video_translate_id=video_translate_id,
        problem=Problem(ProblemKind.NOT_FOUND, why),
    )


def _read_bulk_row(name: str, row: Mapping[str, Any], at: datetime) -> Observation:
    status, word = as_status(row.get("status"))
    if word is None or word.strip().lower() == NOT_FOUND:
        said = first_text(row, "error") or "HeyGen's bulk answer does not find it"
        return without_status(name, at, said if word else "HeyGen's bulk answer has no status")
    return Observation(
        source=Source.POLL,
        observed_at=at,
        video_translate_id=name,
        status=status,
        provider_status=word,
        details=Details(api_version=API_VERSION),
        partial=True,
    )


def read_page(answer: Answer) -> Page:
    """One page of the list of translations; raises HeyGenError."""
    rows = answer.rows()
    seen = [_read_translation(as_object(row), Source.LIST, answer.at) for row in rows]
    good = [one for one in seen if one.video_translate_id and is_video_translate_id(one.video_translate_id)]
    token, cut = next_token(answer)
    times = [time for one in good if (time := one.details.provider_created_at) is not None]
    return Page(good, token, unreadable=len(seen) - len(good), cut=cut, times=times)


def next_token(answer: Answer) -> tuple[str | None, str | None]:
    """The token of the next page, and why there is none although HeyGen says that there is more."""
    payload = answer.payload()
    token = as_text(payload.get("next_token"))
    if not payload.get("has_more", token):  # where that is absent, a token says it too
        return None, None
    return token, None if token else "HeyGen says that there is more, and not where"


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
