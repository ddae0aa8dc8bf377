"""How much may happen at once, and for how long."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.schedule import Schedule

MAX_BODY_BYTES = 1024 * 1024  # of a request, a webhook included
FILE_LEASE = timedelta(minutes=5)  # a killed tracker's downloads are free after that
FILE_LEASE_RENEWED = timedelta(minutes=1)
LEASE_SPARE = timedelta(seconds=60)  # a claim outlives its request by this much


@dataclass(frozen=True, slots=True)
class PollLimits:
    """How much may happen at once, and for how long."""

    concurrency: int
    request_timeout: float  # seconds
    rate_limit: float  # requests a second
    schedule: Schedule
    spare: timedelta = LEASE_SPARE

    @property
    def on_demand(self) -> int:
        """How many people's questions are under way at once, beside the polls."""
        return max(1, self.concurrency // 2)

    @property
    def lease(self) -> timedelta:
        """How long a claim is held: its wait for a turn, its request, and something to spare."""
        turns = self.concurrency + self.on_demand
        return timedelta(seconds=turns / self.rate_limit + self.request_timeout) + self.spare
