"""A translation as stored: the input of every rule."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from tracker.domain.observation import Details
from tracker.domain.status import Attention, Status

VIDEO_TRANSLATE_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL and lone surrogates


def is_video_translate_id(value: str) -> bool:
    """True if HeyGen can have issued this id (heygen-api section 1); requests contain no other ids."""
    return VIDEO_TRANSLATE_ID.fullmatch(value) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A tracked HeyGen video translation. Times are timezone-aware, in UTC."""

    id: int
    video_translate_id: str | None
    callback_id: str | None
    status: Status
    created_at: datetime
    details: Details = field(default_factory=Details)
    provider_status: str | None = None
    url_fetched_at: datetime | None = None
    url_expires_at: datetime | None = None
    caption_url_expires_at: datetime | None = None
    audio_url_expires_at: datetime | None = None
    srt_url_expires_at: datetime | None = None
    vtt_url_expires_at: datetime | None = None
    renew_links_at: datetime | None = None
    attention: Attention | None = None
    attention_since: datetime | None = None
    last_error: str | None = None
    next_poll_at: datetime | None = None
    poll_count: int = 0
    poll_failures: int = 0
    failing_since: datetime | None = None
    finished_at: datetime | None = None

    @property
    def started_at(self) -> datetime:
        """HeyGen's creation time or the start of tracking, whichever is earlier."""
        return min(self.details.provider_created_at or self.created_at, self.created_at)
