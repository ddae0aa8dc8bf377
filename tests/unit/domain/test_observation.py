"""What one source said."""

import pytest

from tests.builders import URL, delivery, failed_poll, observation, poll, translation
from tracker.domain.observation import Problem, ProblemKind
from tracker.domain.outcome import determine_outcome
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status


def test_an_answer_about_this_translation_informs() -> None:
    assert poll(Status.RUNNING).is_informed
    assert observation(Source.EVENT_LOG).is_informed


@pytest.mark.parametrize("silent", [failed_poll(), observation(hint=True), observation(Source.MANUAL)])
def test_problems_hints_and_people_do_not(silent: object) -> None:
    assert getattr(silent, "is_informed") is False  # noqa: B009 - parametrized values have no type


def test_a_problem_reads_as_kind_and_message() -> None:
    assert str(Problem(ProblemKind.NOT_FOUND, "HTTP 404")) == "not_found: HTTP 404"


def test_links_stay_out_of_every_repr() -> None:
    for name in ["url", "caption_url", "audio_url", "srt_url", "vtt_url"]:
        link = f"{URL}?Signature=s3cret"
        seen = poll(Status.SUCCESS, **{name: link})
        verdict = determine_outcome(translation(), seen, Schedule())
        assert link in verdict.updates.values()
        assert "s3cret" not in repr((seen, translation(**{name: link}), verdict))


def test_bodies_and_headers_stay_out_of_a_deliverys_repr() -> None:
    shown = repr(delivery(b"https://x/?Signature=s3cret", headers=(("Signature", "s3cret"),)))
    assert "s3cret" not in shown
