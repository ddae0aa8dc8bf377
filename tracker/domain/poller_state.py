"""The state of polling, for pages, health checks and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PollerState:
    """When the poller last ticked, why and until when it is paused, and how well polling works.

    `staleness` is the planned longest time between two polls of a young translation, `promised` is
    max_staleness, both in seconds. `knows_translations` is False if HeyGen finds none of the
    translations. `webhook_problems` are those of the endpoint check. `instances` counts the trackers
    that poll this database.
    """

    last_tick: datetime | None
    paused: str | None = None
    until: datetime | None = None
    api: str | None = None
    mode: str | None = None
    staleness: float | None = None
    promised: float | None = None
    knows_translations: bool = True
    webhook_problems: Sequence[str] = ()
    delivery_rate: float | None = None
    instances: int = 1
