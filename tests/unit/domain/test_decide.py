"""The state machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, after, observation, poll, translation, webhook
from tracker.domain.decide import Change, contradicts, decide, settles_conflict
from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source, Status

PENDING, RUNNING, SUCCESS, FAILED = Status
REPORTERS = [source for source in Source if source is not Source.MANUAL]
FORWARD = [(PENDING, RUNNING), (PENDING, SUCCESS), (PENDING, FAILED), (RUNNING, SUCCESS), (RUNNING, FAILED)]

observations = st.builds(
    observation,
    st.sampled_from(Source),
    st.none() | st.sampled_from(Status),
    hint=st.booleans(),
    observed_at=st.integers(-100, 100).map(after),
)


@pytest.mark.parametrize("source", REPORTERS)
@pytest.mark.parametrize(("old", "new"), FORWARD)
def test_every_source_moves_it_forward(old: Status, new: Status, source: Source) -> None:
    assert decide(translation(status=old), observation(source, new)) == Change(old, new)


@pytest.mark.parametrize("source", REPORTERS)
@pytest.mark.parametrize(("old", "new"), [(new, old) for old, new in FORWARD])
def test_backward_observations_change_nothing(old: Status, new: Status, source: Source) -> None:
    assert decide(translation(status=old), observation(source, new)) is None


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("status", Status)
def test_repeated_observations_change_nothing(status: Status, source: Source) -> None:
    assert decide(translation(status=status), observation(source, status)) is None


def test_a_word_we_do_not_know_changes_nothing() -> None:
    assert decide(translation(), poll(None, provider_status="upscaling")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("source", Source)
def test_a_hint_changes_nothing(source: Source) -> None:
    assert decide(translation(), observation(source, SUCCESS, hint=True)) is None


@pytest.mark.parametrize("source", REPORTERS)
@pytest.mark.parametrize(("end", "other"), [(SUCCESS, FAILED), (FAILED, SUCCESS)])
def test_an_end_is_not_left_for_another_end(end: Status, other: Status, source: Source) -> None:
    assert decide(translation(status=end), observation(source, other)) is None


@pytest.mark.parametrize("status", [PENDING, RUNNING])
def test_what_heygen_refused_to_create_has_failed_by_hand(status: Status) -> None:
    refused = observation(Source.MANUAL, FAILED)
    wanted = Change(status, FAILED, "HeyGen refused the submission")
    assert decide(translation(status=status), refused) == wanted


@pytest.mark.parametrize("claim", [PENDING, RUNNING, SUCCESS])
def test_nobody_moves_an_open_translation_by_hand_elsewhere(claim: Status) -> None:
    assert decide(translation(status=PENDING), observation(Source.MANUAL, claim)) is None
    assert decide(translation(status=RUNNING), observation(Source.MANUAL, claim)) is None


@pytest.mark.parametrize("end", [SUCCESS, FAILED])
def test_a_person_reopens_an_end_and_the_change_says_so(end: Status) -> None:
    reopened = observation(Source.MANUAL, PENDING)
    assert decide(translation(status=end), reopened) == Change(end, PENDING, "reopened by hand")


def test_a_person_cannot_end_an_open_one_by_hand() -> None:
    assert decide(translation(status=RUNNING), observation(Source.MANUAL, SUCCESS)) is None
    assert decide(translation(status=RUNNING), observation(Source.MANUAL, PENDING)) is None


def test_the_status_endpoint_asked_afresh_settles_a_conflict() -> None:
    conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    change = decide(conflict, poll(FAILED, observed_at=after(1)))
    assert change == Change(SUCCESS, FAILED, "conflict settled by the status endpoint")


@pytest.mark.parametrize(
    "seen",
    [
        poll(FAILED, observed_at=NOON),  # asked before the conflict was seen
        poll(FAILED, observed_at=after(-1)),
        webhook(FAILED, observed_at=after(1)),
        observation(Source.EVENT_LOG, FAILED, observed_at=after(1)),
        observation(Source.LIST, FAILED, observed_at=after(1)),
        poll(RUNNING, observed_at=after(1)),
        observation(observed_at=after(1)),
    ],
)
def test_nothing_else_settles_it(seen: Observation) -> None:
    conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    assert decide(conflict, seen) is None
    assert not settles_conflict(conflict, seen)


def test_without_a_conflict_there_is_nothing_to_settle() -> None:
    fresh = poll(FAILED, observed_at=after(1))
    assert not settles_conflict(translation(status=SUCCESS), fresh)
    assert not settles_conflict(translation(status=SUCCESS, attention=Attention.CONFLICT), fresh)


def test_a_poll_that_confirms_the_end_settles_the_conflict_without_a_change() -> None:
    conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    assert settles_conflict(conflict, poll(SUCCESS, observed_at=after(1)))
    assert decide(conflict, poll(SUCCESS, observed_at=after(1))) is None


@pytest.mark.parametrize("source", REPORTERS)
def test_two_sources_that_name_different_ends_contradict_each_other(source: Source) -> None:
    assert contradicts(translation(status=SUCCESS), observation(source, FAILED))
    assert contradicts(translation(status=FAILED), observation(source, SUCCESS))


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        (SUCCESS, webhook(SUCCESS)),
        (SUCCESS, webhook(FAILED, hint=True)),
        (SUCCESS, observation(Source.MANUAL, FAILED)),
        (SUCCESS, poll(RUNNING)),
        (SUCCESS, observation()),
        (RUNNING, webhook(FAILED)),
    ],
)
def test_these_contradict_nothing(status: Status, seen: Observation) -> None:
    assert not contradicts(translation(status=status), seen)


@given(
    st.sampled_from([SUCCESS, FAILED]),
    st.none() | st.sampled_from(Attention),
    st.none() | st.integers(-100, 100).map(after),
    observations,
)
def test_final_is_sticky_but_for_a_person_and_a_settled_conflict(
    end: Status, attention: Attention | None, since: object, seen: Observation
) -> None:
    current = translation(status=end, attention=attention, attention_since=since)
    change = decide(current, seen)
    by_hand = seen.source is Source.MANUAL
    assert change is None or (change.note and (by_hand or settles_conflict(current, seen)))


@given(st.sampled_from(Status), st.lists(observations))
def test_while_it_is_open_its_rank_only_rises(status: Status, sequence: list[Observation]) -> None:
    current = translation(status=status)
    for seen in sequence:
        if (change := decide(current, seen)) is not None:
            assert change.old is current.status
            assert change.new.rank > change.old.rank or change.old.is_final
            current = translation(status=change.new)
