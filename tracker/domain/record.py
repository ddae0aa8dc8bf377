"""What goes through the one door, and the result."""

from dataclasses import dataclass
from datetime import datetime

from tracker.domain.claims import Claim
from tracker.domain.delivery import Delivery
from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.status import Attention
from tracker.domain.transitions import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What goes through the one door: an observation, with the delivery or the claim behind it.

    A delivery without an observation is stored, too, with `outcome`. `adopt` False: an untracked
    translation stays untracked. `translation_id` names the row, as long as that row has no
    video_translate_id: several rows can share a callback_id.
    """

    observation: Observation | None = None
    delivery: Delivery | None = None
    claim: Claim | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.IGNORED
    adopt: bool = True
    translation_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """The result of a record, after the commit."""

    outcome: DeliveryOutcome
    translation_id: int | None = None
    video_translate_id: str | None = None
    is_new: bool = False
    is_bound: bool = False  # a row without a video_translate_id received its id
    is_duplicate: bool = False
    change: Change | None = None
    finished_at: datetime | None = None
    recorded_at: datetime | None = None
    attention: Attention | None = None  # only if this record raised it
    links: frozenset[LinkKind] = frozenset()  # of a success: those that this record added
