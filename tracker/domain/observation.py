"""What one source said of one translation at one moment."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tracker.domain.status import Source, Status


class ProblemKind(StrEnum):
    """Why a poll learnt nothing about its translation."""

    NOT_FOUND = "not_found"
    INVALID_ID = "invalid_id"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Problem:
    """A poll that learnt nothing: it is noted on the translation and never changes its status."""

    kind: ProblemKind
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The fields of a translation besides its status; None where the source did not say.

    A signed url opens the video to whoever reads it, so that none is shown in a repr.
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
    """What `source` said at `observed_at` (for a poll: when it was asked, so never too late).

    `status` is None where the source made no claim, or used a word we do not know; the raw word is
    in `provider_status`. `occurred_at` is HeyGen's own time of the event where it gives one.
    A `hint` only moves the next poll forward. What is not `authentic` may be untrue, its ids included.
    `partial`: only the status was asked for, so that missing urls and reasons, and "not found", mean
    nothing yet: the translation is asked about alone before anything is believed.
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
        """True where HeyGen itself spoke about this very translation."""
        return not self.hint and self.problem is None and self.source is not Source.MANUAL
