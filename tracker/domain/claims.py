"""Claims: the right to poll a translation, and what counts as due."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to poll one translation, until `until`; nobody else polls it meanwhile.

    `alone`: it wants a question of its own, because the bulk answer lacks what is needed.
    """

    translation_id: int
    video_translate_id: str
    owner: str
    until: datetime
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Due:
    """What counts as due: by `by`, and to fill a bulk question that is asked anyway, by `soon`.

    `batch` is how many translations one bulk question can ask about. `alone_first`: the odd question
    goes to those that have waited long for one of their own.
    """

    by: datetime
    soon: datetime
    batch: int = 1
    alone_first: bool = True
