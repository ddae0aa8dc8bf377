"""A page of HeyGen's list or event log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.domain.observation import Observation


@dataclass(frozen=True, slots=True)
class Page:
    """One page of HeyGen's list or event log. `next_token` None: it ends here.

    `ignored` counts what is none of ours, `unreadable` what could not be understood; `cut` says why
    the end is not to be trusted. `times`: HeyGen's own times of all that is on it, in the page's order.
    """

    observations: Sequence[Observation]
    next_token: str | None = None
    ignored: int = 0
    unreadable: int = 0
    cut: str | None = None
    times: Sequence[datetime] = ()
