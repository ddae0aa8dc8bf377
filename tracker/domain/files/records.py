"""What is known of a file: its claim, where it is archived, how many are wanted or missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracker.domain.files.keys import FileOf


@dataclass(frozen=True, slots=True, kw_only=True)
class FileClaim(FileOf):
    """The right to download one file, until `until`; nobody else does meanwhile.

    `url` is the link that is known, perhaps no longer good; `location`: where it was archived before;
    `attempts`: in a row that brought nothing. What the translation is called stands in its key.
    """

    translation_id: int
    owner: str
    until: datetime
    attempts: int
    url: str | None = field(repr=False)
    location: str | None


@dataclass(frozen=True, slots=True)
class Archived:
    """A file that is there: complete, checked, and under its name."""

    location: str
    bytes: int
    sha256: str
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: how many files became due, and the number to go on from; None: that was all."""

    files: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Files that are not archived: how many by state, 10,000 at most, and `oldest`: seconds since the end of
    the translation that has waited longest for one."""

    counts: Mapping[str, int]
    oldest: float
