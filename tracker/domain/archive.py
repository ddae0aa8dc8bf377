"""The files that are kept: the states they are in, and when to try again."""

from datetime import datetime, timedelta
from enum import StrEnum

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=6)
ATTEMPTS = 40  # in a row that brought nothing: a week, for as long as HeyGen's links live


class FileState(StrEnum):
    """Where a file is on its way into the archive."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    ARCHIVED = "archived"
    FAILED = "failed"  # given up, until a person asks again


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many attempts in a row that brought nothing; None: never."""
    if attempts >= ATTEMPTS:
        return None
    wait: timedelta = FIRST_WAIT * 2 ** max(0, attempts - 1)
    return now + min(LONGEST_WAIT, wait)
