"""How polling goes, as pages and metrics show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PollerState:
    """When the poller last ticked, why and until when it rests, and how polling goes.

    `staleness` is the longest time without a question about a young translation, as planned, and
    `promised` what max_staleness allows, both in seconds. `knows_translations` False: HeyGen does not
    know what this account is asked about. `webhook_problems` are those of the endpoint's watch.
    `instances`: the trackers of this database that poll.
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
