"""Whether the key belongs to the account that made the translations."""

from dataclasses import replace

import pytest

from tests.builders import failed_poll, poll
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.status import Status
from tracker.polling.doubt import STRANGERS, Doubt


def strangers(*numbers: int) -> list[Observation]:
    return [failed_poll(ProblemKind.NOT_FOUND, video_translate_id=f"id-{number}") for number in numbers]


KNOWN = poll(Status.RUNNING)


def after(*answers: list[Observation]) -> bool:
    """Whether there is doubt after these answers."""
    doubt = Doubt()
    for answer in answers:
        doubt.hear(answer)
    return doubt.is_raised


def test_several_strangers_raise_it_together_or_one_by_one() -> None:
    assert after(strangers(*range(STRANGERS)))
    assert after(*([one] for one in strangers(*range(STRANGERS))))
    assert not after(strangers(*range(STRANGERS - 1)))


def test_one_stranger_is_one_however_often_it_is_asked_about() -> None:
    assert not after(*[strangers(1)] * 100)


@pytest.mark.parametrize("kind", [ProblemKind.UNREACHABLE, ProblemKind.INVALID_ID])
def test_other_trouble_says_nothing_about_the_account(kind: ProblemKind) -> None:
    trouble = [failed_poll(kind, video_translate_id=f"id-{number}") for number in range(100)]
    assert not after(trouble)
    assert after(strangers(*range(STRANGERS)), trouble)


def test_one_that_is_known_ends_it() -> None:
    assert not after(strangers(*range(100)), [KNOWN])
    assert not after(strangers(*range(100)), [KNOWN], strangers(1))
    assert after(strangers(*range(100)), [KNOWN], strangers(*range(STRANGERS)))


@pytest.mark.parametrize("place", [0, 50, 99])
def test_many_strangers_beside_one_that_is_known_raise_nothing(place: int) -> None:
    mixed = strangers(*range(99))
    mixed.insert(place, KNOWN)
    assert not after(mixed)


def test_what_a_bulk_answer_does_not_find_is_a_stranger_once_it_was_asked_about_alone() -> None:
    together = [replace(one, partial=True) for one in strangers(*range(100))]
    assert not after(together)
    assert after(together, *([one] for one in strangers(*range(STRANGERS))))
