"""The state machine."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, after, observation, poll, translation, webhook
from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change, contradicts, determine_change, settles_conflict

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


def test_every_source_moves_a_translation_only_forward() -> None:
    for source in REPORTERS:
        moves = [
            (old, new)
            for old, new in product(Status, Status)
            if determine_change(translation(status=old), observation(source, new)) == Change(old, new)
        ]
        assert moves == FORWARD
        stays = [pair for pair in product(Status, Status) if pair not in FORWARD]
        for old, new in stays:
            assert determine_change(translation(status=old), observation(source, new)) is None
        assert len(stays) == 11


def test_unknown_word_changes_nothing() -> None:
    assert determine_change(translation(), poll(None, provider_status="upscaling")) is None  # type: ignore[arg-type]


def test_hint_changes_nothing() -> None:
    for source in Source:
        assert determine_change(translation(), observation(source, SUCCESS, hint=True)) is None


def test_heygens_refusal_fails_an_open_translation_and_no_other_word_by_hand_moves_it() -> None:
    changes = [
        determine_change(translation(status=old), observation(Source.MANUAL, new))
        for old, new in product([PENDING, RUNNING], Status)
    ]
    note = "HeyGen refused the submission"
    assert [change for change in changes if change is not None] == [
        Change(PENDING, FAILED, note),
        Change(RUNNING, FAILED, note),
    ]


def test_a_person_reopens_a_final_translation_and_the_change_says_so() -> None:
    for old in (SUCCESS, FAILED):
        change = determine_change(translation(status=old), observation(Source.MANUAL, PENDING))
        assert change == Change(old, PENDING, "reopened by hand")


def test_the_status_endpoint_asked_afresh_settles_a_conflict() -> None:
    conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    change = determine_change(conflict, poll(FAILED, observed_at=after(1)))
    assert change == Change(SUCCESS, FAILED, "conflict settled by the status endpoint")


def test_other_observations_settle_no_conflict() -> None:
    for observed in [
        poll(FAILED, observed_at=NOON),  # sent before the conflict was detected
        poll(FAILED, observed_at=after(-1)),
        webhook(FAILED, observed_at=after(1)),
        observation(Source.EVENT_LOG, FAILED, observed_at=after(1)),
        observation(Source.LIST, FAILED, observed_at=after(1)),
        poll(RUNNING, observed_at=after(1)),
        observation(observed_at=after(1)),
    ]:
        conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
        assert determine_change(conflict, observed) is None
        assert not settles_conflict(conflict, observed)


def test_without_a_conflict_there_is_nothing_to_settle() -> None:
    fresh = poll(FAILED, observed_at=after(1))
    assert not settles_conflict(translation(status=SUCCESS), fresh)
    assert not settles_conflict(translation(status=SUCCESS, attention=Attention.CONFLICT), fresh)


def test_a_poll_that_confirms_the_end_settles_the_conflict_without_a_change() -> None:
    conflict = translation(status=SUCCESS, attention=Attention.CONFLICT, attention_since=NOON)
    assert settles_conflict(conflict, poll(SUCCESS, observed_at=after(1)))
    assert determine_change(conflict, poll(SUCCESS, observed_at=after(1))) is None


def test_two_sources_that_name_different_ends_contradict_each_other() -> None:
    for source in REPORTERS:
        assert contradicts(translation(status=SUCCESS), observation(source, FAILED))
        assert contradicts(translation(status=FAILED), observation(source, SUCCESS))


def test_equal_open_and_manual_statuses_are_no_contradiction() -> None:
    for status, observed in [
        (SUCCESS, webhook(SUCCESS)),
        (SUCCESS, webhook(FAILED, hint=True)),
        (SUCCESS, observation(Source.MANUAL, FAILED)),
        (SUCCESS, poll(RUNNING)),
        (SUCCESS, observation()),
        (RUNNING, webhook(FAILED)),
    ]:
        assert not contradicts(translation(status=status), observed)


@given(
    st.sampled_from([SUCCESS, FAILED]),
    st.none() | st.sampled_from(Attention),
    st.none() | st.integers(-100, 100).map(after),
    observations,
)
def test_final_is_sticky_but_for_a_person_and_a_settled_conflict(
    end: Status, attention: Attention | None, since: object, observed: Observation
) -> None:
    current = translation(status=end, attention=attention, attention_since=since)
    change = determine_change(current, observed)
    by_hand = observed.source is Source.MANUAL
    assert change is None or (change.note and (by_hand or settles_conflict(current, observed)))


@given(st.sampled_from(Status), st.lists(observations))
def test_while_it_is_open_its_rank_only_rises(status: Status, sequence: list[Observation]) -> None:
    current = translation(status=status)
    for observed in sequence:
        if (change := determine_change(current, observed)) is not None:
            assert change.old is current.status
            assert change.new.rank > change.old.rank or change.old.is_final
            current = translation(status=change.new)
