"""The v2 dialect of the status endpoint (heygen-api section 1)."""

from urllib.parse import quote

from tracker.domain.observation import Details, Observation
from tracker.domain.status import Source
from tracker.errors import TransientError
from tracker.heygen.answers import Answer
from tracker.heygen.payloads import as_number, as_status, as_text, as_time, as_url

API_VERSION = "v2"


def status_path(video_translate_id: str) -> str:
    """The path of one translation's status."""
    return f"/v2/video_translate/{quote(video_translate_id, safe='')}"


def read_status(video_translate_id: str, answer: Answer) -> Observation:
    """Read the status of this translation; raises HeyGenError if the answer has none."""
    data = answer.data()
    answered_id = as_text(data.get("video_translate_id"))
    if answered_id not in (None, video_translate_id):
        raise TransientError("HeyGen answered about another translation")
    status, word = as_status(data.get("status"))
    if word is None:
        raise TransientError("HeyGen's answer has no status")
    return Observation(
        source=Source.POLL,
        observed_at=answer.at,
        video_translate_id=video_translate_id,
        callback_id=as_text(data.get("callback_id")),
        status=status,
        provider_status=word,
        details=Details(
            title=as_text(data.get("title")),
            output_language=as_text(data.get("output_language")),
            input_language=as_text(data.get("input_language")),
            message=as_text(data.get("message")),
            url=as_url(data.get("url")),
            caption_url=as_url(data.get("caption_url")),
            duration_seconds=as_number(data.get("duration")),
            provider_created_at=as_time(data.get("created_at")),
            api_version=API_VERSION,
        ),
    )
