"""Whether HeyGen may be asked at all: shut for the whole account, opened again by one probe that works."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tracker.domain.schedule import Schedule, probe_after


class Reason(StrEnum):
    """Why polling rests."""

    KEY_REJECTED = "key_rejected"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    NO_API_KEY = "no_api_key"


ADVICE = {
    Reason.KEY_REJECTED: "check TRACKER_HEYGEN_API_KEY; a probe goes out from time to time",
    Reason.QUOTA_EXCEEDED: "HeyGen says that the quota is used up: waiting alone does not help",
    Reason.RATE_LIMITED: None,
}


@dataclass(frozen=True, slots=True)
class Pause:
    """Why and until when the account rests, as all its trackers know it; until when one of them probes."""

    reason: Reason
    until: datetime
    failed_probes: int = 0
    probe_until: datetime | None = None

    @classmethod
    def of(cls, told: Any) -> "Pause | None":
        """The pause that is stored as this JSON."""
        if told is None:
            return None
        probe = told["probe_until"]
        return cls(
            Reason(told["reason"]),
            datetime.fromisoformat(told["until"]),
            told["failed_probes"],
            datetime.fromisoformat(probe) if probe else None,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "reason": str(self.reason),
            "until": self.until.isoformat(),
            "failed_probes": self.failed_probes,
            "probe_until": self.probe_until and self.probe_until.isoformat(),
        }


@dataclass(slots=True)
class Gate:
    """Open, or shut for a reason until a probe may go through."""

    schedule: Schedule
    reason: Reason | None = None
    until: datetime | None = None
    failed_probes: int = 0
    probe_until: datetime | None = None  # another tracker's

    def room(self, now: datetime, wanted: int) -> int:
        """How many polls may start: all that are wanted, none, or one probe."""
        if self.reason is None:
            return wanted
        if self.reason is Reason.NO_API_KEY or (self.until and now < self.until):
            return 0
        if self.probe_until is not None and now < self.probe_until:
            return 0
        return min(wanted, 1)

    def pause(self, probe_until: datetime | None = None) -> Pause | None:
        """What the other trackers have to know; None where nothing is the matter that concerns them."""
        if self.reason in (None, Reason.NO_API_KEY) or self.until is None:
            return None
        return Pause(self.reason, self.until, self.failed_probes, probe_until)

    def adopt(self, pause: Pause | None) -> None:
        """Rest, or go on, as the other trackers do. Without an API key of our own we rest in any case."""
        if self.reason is Reason.NO_API_KEY:
            return
        if pause is None:
            self.reason, self.until, self.failed_probes, self.probe_until = None, None, 0, None
        else:
            self.reason, self.until = pause.reason, pause.until
            self.failed_probes, self.probe_until = pause.failed_probes, pause.probe_until

    def shut(self, reason: Reason, now: datetime, retry_after: float | None = None) -> datetime:
        """Close until HeyGen's own delay (seconds) is over, or for longer after each probe that failed."""
        asked = timedelta(seconds=retry_after) if retry_after is not None else None
        if self.until is None or now >= self.until:
            self.until = now + (asked or probe_after(self.schedule, self.failed_probes))
            self.failed_probes += 1
            self.reason, self.probe_until = reason, None
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
        reason = self.reason
        self.adopt(None)
        return reason
