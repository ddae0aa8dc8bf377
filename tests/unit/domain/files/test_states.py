"""When a file is tried again, and what is read of the settings."""

from datetime import timedelta
from itertools import count, takewhile

from tests.builders import NOON
from tracker.domain.files.states import ATTEMPTS, FIRST_WAIT, LONGEST_WAIT, Destination, Kinds, next_attempt


def wait(attempts: int) -> timedelta:
    due = next_attempt(attempts, NOON)
    assert due is not None
    return due - NOON


def test_the_waits_grow_to_the_longest() -> None:
    waits = [wait(attempts) for attempts in range(1, ATTEMPTS)]

    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT


def test_after_about_a_week_it_is_given_up() -> None:
    tried = list(takewhile(lambda attempts: next_attempt(attempts, NOON) is not None, count(1)))

    assert tried[-1] == ATTEMPTS - 1
    assert timedelta(days=6) < sum((wait(attempts) for attempts in tried), timedelta()) < timedelta(days=9)


def test_what_was_read_before_stays_as_it_is() -> None:
    """As defaults are, and what is handed on from one model to another."""
    for kind, text in ((Destination, "s3://films/heygen"), (Kinds, "video, srt")):
        read = kind.parse(text)
        assert str(read) == text
        assert kind.parse(read) is read
