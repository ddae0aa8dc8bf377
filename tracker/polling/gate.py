"""Whether HeyGen may be asked at all: shut for the whole account, opened again by one probe that works."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tracker.domain.cadence import Cadence, probe_after


class Reason(StrEnum):
    """Why polling rests."""

    KEY_REJECTED = "key_rejected"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    NO_API_KEY = "no_api_key"


@dataclass(slots=True)
class Gate:
    """Open, or shut for a reason until a probe may go through."""

    cadence: Cadence
    reason: Reason | None = None
    until: datetime | None = None
    failed_probes: int = 0

    def room(self, now: datetime, wanted: int) -> int:
        """How many polls may start: all that are wanted, none, or one probe."""
        if self.reason is None:
            return wanted
        if self.reason is Reason.NO_API_KEY or (self.until and now < self.until):
            return 0
        return min(wanted, 1)

    def shut(self, reason: Reason, now: datetime, retry_after: float | None = None) -> datetime:
        """Close until HeyGen's own delay (seconds) is over, or for longer after each probe that failed."""
        asked = timedelta(seconds=retry_after) if retry_after is not None else None
        if self.until is None or now >= self.until:
            self.until = now + (asked or probe_after(self.cadence, self.failed_probes))
            self.failed_probes += 1
            self.reason = reason
            return self.until
        if asked is not None:  # in flight when it was shut already: it may only make it worse
            self.until = max(self.until, now + asked)
        if self.reason is Reason.RATE_LIMITED:
            self.reason = reason
        return self.until

    def try_now(self, now: datetime) -> None:
        """What it rests for may be over: the key is another one. The next probe may go at once."""
        if self.reason is Reason.KEY_REJECTED:
            self.until, self.failed_probes = now, 0

    def open(self, asked_at: datetime) -> Reason | None:
        """What was asked at `asked_at` worked; returns why polling rested, None where nothing opened."""
        if self.until is not None and asked_at < self.until:  # in flight when it was shut
            return None
        reason, self.reason, self.until, self.failed_probes = self.reason, None, None, 0
        return reason
