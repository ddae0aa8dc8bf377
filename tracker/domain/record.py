"""What goes through the one door, and what became of it."""

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
    """What goes through the one door: an observation, with the delivery or the claim it came by.

    A delivery without an observation is kept all the same; `outcome` then says what it is.
    `adopt` False: what nobody tracks stays untracked. `translation_id`: it is about that row, as
    long as it waits for its video_translate_id: a callback_id can be shared, and names no single row.
    """

    observation: Observation | None = None
    delivery: Delivery | None = None
    claim: Claim | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.IGNORED
    adopt: bool = True
    translation_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What became of a record, once it is committed."""

    outcome: DeliveryOutcome
    translation_id: int | None = None
    video_translate_id: str | None = None
    is_new: bool = False
    is_bound: bool = False  # a row that waited for its video_translate_id got it
    is_duplicate: bool = False
    change: Change | None = None
    finished_at: datetime | None = None
    recorded_at: datetime | None = None
    attention: Attention | None = None  # only where this record raised it
    links: frozenset[LinkKind] = frozenset()  # of a success, where this record brought it or one of them
