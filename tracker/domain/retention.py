"""How long rows are kept, and which are of an age at which nobody keeps them any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tracker.domain.observation import Observation


class Kind(StrEnum):
    """What is deleted once it is old, by the name of its table; in this order, for bodies go first."""

    DELIVERY_BODIES = "delivery_bodies"
    DELIVERIES = "deliveries"
    TRANSLATIONS = "translations"


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long delivery bodies, deliveries and finished translations are kept; None: for ever."""

    delivery_bodies: timedelta | None = None
    deliveries: timedelta | None = None
    finished: timedelta | None = None

    def limits(self, now: datetime) -> dict[Kind, datetime]:
        """Before which moment a row of each kind is too old; what is kept for ever is missing."""
        kept = {
            Kind.DELIVERY_BODIES: self.delivery_bodies,
            Kind.DELIVERIES: self.deliveries,
            Kind.TRANSLATIONS: self.finished,
        }
        return {kind: now - age for kind, age in kept.items() if age is not None}

    def is_past(self, seen: Observation, now: datetime) -> bool:
        """True for an end so old that its translation would be deleted again, as far as its times tell.

        HeyGen's list never forgets: what a sweep adopted would come back for ever.
        """
        if self.finished is None or seen.status is None or not seen.status.is_final:
            return False
        told = seen.occurred_at or seen.details.provider_created_at
        return told is not None and told < now - self.finished
