"""What one source reported about one translation at one moment."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tracker.domain.status import Source, Status


class ProblemKind(StrEnum):
    """Why a poll returned no status."""

    NOT_FOUND = "not_found"
    INVALID_ID = "invalid_id"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a poll returned no status: stored with the translation, whose status it never changes."""

    kind: ProblemKind
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The fields of a translation besides its status; None if the source did not report them.

    A signed url gives access to the video, so repr shows no urls.
    """

    title: str | None = None
    output_language: str | None = None
    input_language: str | None = None
    message: str | None = None
    url: str | None = field(default=None, repr=False)
    caption_url: str | None = field(default=None, repr=False)
    audio_url: str | None = field(default=None, repr=False)
    srt_url: str | None = field(default=None, repr=False)
    vtt_url: str | None = field(default=None, repr=False)
    duration_seconds: float | None = None
    provider_created_at: datetime | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What `source` reported at `observed_at` (for a poll: when the request was sent, which errs early).

    `status` is None if the source reported none, or an unknown word; the raw word is in
    `provider_status`. `occurred_at` is HeyGen's own time of the event, if it reported one.
    A `hint` only moves the next poll forward. An observation that is not `authentic` may be forged,
    including its ids. `partial`: the response of a bulk poll, which has only the status. Missing urls
    and reasons, and "not found", prove nothing until the translation is polled on its own.
    """

    source: Source
    observed_at: datetime
    video_translate_id: str | None = None
    callback_id: str | None = None
    status: Status | None = None
    provider_status: str | None = None
    occurred_at: datetime | None = None
    details: Details = field(default_factory=Details)
    problem: Problem | None = None
    hint: bool = False
    authentic: bool = True
    partial: bool = False

    @property
    def is_informed(self) -> bool:
        """True if HeyGen reported on this translation."""
        return not self.hint and self.problem is None and self.source is not Source.MANUAL
