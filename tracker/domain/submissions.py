"""What HeyGen is asked to create, how far that has come, and when it may be asked again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

KEY_HONOURED = timedelta(hours=23)  # HeyGen keeps an Idempotency-Key for 24 h (heygen-api section 2)
GIVE_UP_AFTER = timedelta(hours=24)  # webhooks are retried for as long (heygen-api section 4)
LOOK_AGAIN = timedelta(minutes=1)  # whether webhooks have named the ids of what may not be sent again
SHORTEST_BACK_OFF = timedelta(seconds=15)
LONGEST_BACK_OFF = timedelta(minutes=10)


class SubmissionState(StrEnum):
    """How far a submission has come."""

    PLANNED = "planned"  # certainly not sent yet
    SENT = "sent"  # perhaps received: no answer has come
    DONE = "done"  # HeyGen named the ids
    REFUSED = "refused"  # HeyGen will not do it
    UNANSWERED = "unanswered"  # no answer, and asking again could create it twice


class Step(StrEnum):
    """What is to be done about a submission."""

    SEND = "send"
    WAIT = "wait"  # only a webhook or the list can still tell the ids
    FINISH = "finish"  # they have told them all
    GIVE_UP = "give_up"  # nobody knows whether HeyGen has it
    REFUSE = "refuse"  # HeyGen refused it, and its rows have yet to say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to create: one translation per language, or one from a proofread.

    `more` are further fields of the request, by HeyGen's names.
    """

    languages: tuple[str, ...] = ()
    video_url: str | None = field(default=None, repr=False)  # may be signed
    asset_id: str | None = None
    proofread_id: str | None = None
    title: str | None = None
    callback_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def wanted(self) -> tuple[str | None, ...]:
        """The language of each translation it makes, in order; a proofread knows its own."""
        return self.languages or (None,)


@dataclass(frozen=True, slots=True)
class Created:
    """HeyGen's answer: the ids in the order of the languages; None where it named none that can be."""

    api_version: str
    video_translate_ids: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A stored order. Times are aware and UTC; `waiting` counts its translations without an id."""

    id: int
    idempotency_key: str
    order: Order
    state: SubmissionState
    created_at: datetime
    api_version: str | None = None
    attempts: int = 0
    error: str | None = None
    sent_at: datetime | None = None
    next_attempt_at: datetime | None = None
    waiting: int = 0


def next_step(submission: Submission, now: datetime) -> Step:
    """What to do about a submission whose time has come.

    Only what v3 got is ever sent twice: it honours the key. v2 would create everything again. Where
    nobody was looking meanwhile, the event log and the list have yet to be read: it is given up later.
    """
    if submission.state is SubmissionState.REFUSED:
        return Step.REFUSE
    if submission.state is SubmissionState.PLANNED:
        return Step.SEND
    age = now - (submission.sent_at or submission.created_at)
    if submission.api_version == "v3" and age < KEY_HONOURED:
        return Step.SEND
    if submission.waiting == 0:
        return Step.FINISH
    unwatched = now - (submission.next_attempt_at or now) > LONGEST_BACK_OFF
    return Step.WAIT if age < GIVE_UP_AFTER or unwatched else Step.GIVE_UP
