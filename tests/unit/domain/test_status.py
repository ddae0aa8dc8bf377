"""The words themselves."""

from itertools import pairwise

from tracker.domain.status import FINAL_STATUSES, OPEN_STATUSES, Source, Status


def test_the_words_are_those_of_heygens_v2() -> None:
    assert [str(status) for status in Status] == ["pending", "running", "success", "failed"]


def test_success_and_failed_are_final_and_nothing_else_is() -> None:
    assert [status for status in Status if status.is_final] == [Status.SUCCESS, Status.FAILED]
    assert (*OPEN_STATUSES, *FINAL_STATUSES) == tuple(Status)


def test_translations_move_from_pending_to_running_to_an_end() -> None:
    ranks = [status.rank for status in (Status.PENDING, Status.RUNNING, Status.SUCCESS)]
    assert all(lower < higher for lower, higher in pairwise(ranks))
    assert Status.SUCCESS.rank == Status.FAILED.rank


def test_only_polls_and_the_list_are_answers_to_a_question() -> None:
    assert [source for source in Source if source.asks_heygen] == [Source.POLL, Source.LIST]
