"""How much may happen at once, and for how long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tracker.domain.cadence import Cadence
from tracker.ports import Claim


@dataclass(frozen=True, slots=True)
class Pace:
    """How much may happen at once, and for how long."""

    concurrency: int
    request_timeout: float  # seconds
    rate_limit: float  # requests a second
    cadence: Cadence
    spare: timedelta = timedelta(seconds=60)  # a claim outlives its request by this much

    @property
    def on_demand(self) -> int:
        """How many people's questions are under way at once, beside the polls."""
        return max(1, self.concurrency // 2)

    @property
    def lease(self) -> timedelta:
        """How long a claim is held: its wait for a turn, its request, and something to spare."""
        turns = self.concurrency + self.on_demand
        return timedelta(seconds=turns / self.rate_limit + self.request_timeout) + self.spare


def questions(claims: Sequence[Claim], batch: int) -> Iterable[list[Claim]]:
    """What is asked together: as many as fit into a bulk question, the others one by one."""
    together = [claim for claim in claims if not claim.alone]
    yield from ([claim] for claim in claims if claim.alone)
    yield from (together[start : start + batch] for start in range(0, len(together), batch))
