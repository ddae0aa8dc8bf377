"""Claims: the exclusive right to poll a translation, and which translations are due."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right to poll one translation, until `until`.

    `alone`: it needs its own request, because a bulk answer lacks the links or has no status for it.
    """

    translation_id: int
    video_translate_id: str
    owner: str
    until: datetime
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Due:
    """Which translations are due: those due by `by`, and to fill up a bulk request, those due by `soon`.

    `batch` is the number of translations in a bulk request. `alone_first`: with an odd number of requests,
    the extra one goes to translations that have waited long for a request of their own.
    """

    by: datetime
    soon: datetime
    batch: int = 1
    alone_first: bool = True
