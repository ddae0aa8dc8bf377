"""Limits: concurrency, rate and sizes, and how long a claim holds."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.schedule import Schedule

MAX_BODY_BYTES = 1024 * 1024  # of a request body, including webhooks
FILE_LEASE = timedelta(minutes=5)  # after a crash, its downloads are free after this time
FILE_LEASE_RENEWED = timedelta(minutes=1)
LEASE_SPARE = timedelta(seconds=60)  # a claim outlasts its request by this much


@dataclass(frozen=True, slots=True)
class PollLimits:
    """The limits of polling."""

    concurrency: int
    request_timeout: float  # seconds
    rate_limit: float  # requests per second
    schedule: Schedule
    spare: timedelta = LEASE_SPARE

    @property
    def on_demand(self) -> int:
        """How many on-demand polls may run at once, beside the regular polls."""
        return max(1, self.concurrency // 2)

    @property
    def lease(self) -> timedelta:
        """How long a claim holds: its wait for the rate limiter, its request, and `spare`."""
        turns = self.concurrency + self.on_demand
        return timedelta(seconds=turns / self.rate_limit + self.request_timeout) + self.spare
