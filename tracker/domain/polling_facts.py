"""What the recorder, the planner, the poller and the catch-up let each other know."""

from dataclasses import dataclass

from tracker.domain.capacity import CapacityPlan


@dataclass(slots=True)
class PollingFacts:
    """Shared by these four; each fact has one writer.

    `plan` is the planner's. `is_doubted` is the poller's: HeyGen knows none of the translations.
    `unreported_ends` is the recorder's: it counts completions that polls found before any webhook.
    """

    plan: CapacityPlan | None = None
    is_doubted: bool = False
    unreported_ends: int = 0
