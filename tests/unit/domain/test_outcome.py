"""The outcome of one observation for one translation."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ID, NOON, URL, after, failed_poll, observation, poll, translation, webhook
from tracker.domain.links import LinkKind, Move
from tracker.domain.observation import Details, Observation, ProblemKind
from tracker.domain.outcome import DeliveryOutcome, Outcome, determine_outcome
from tracker.domain.schedule import CONFIRMATIONS, Schedule
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation

CADENCE = Schedule()
PENDING, RUNNING, SUCCESS, FAILED = Status
NOT_FOUND, INVALID_ID, UNREACHABLE = ProblemKind
REOPEN = observation(Source.MANUAL, PENDING)


def outcome_of(current: Translation, observed: Observation) -> Outcome:
    return determine_outcome(current, observed, CADENCE)


def stored(current: Translation, outcome: Outcome) -> Translation:
    """The translation after the outcome was stored."""
    columns: dict[str, Any] = dict(outcome.updates)
    details = {name: columns.pop(name) for name in list(columns) if name in Details.__dataclass_fields__}
    mine = {name: value for name, value in columns.items() if name in Translation.__dataclass_fields__}
    status = outcome.change.new if outcome.change else current.status
    return replace(current, **mine, status=status, details=replace(current.details, **details))


def apply_all(current: Translation, *observations: Observation) -> Translation:
    """The translation after all these observations."""
    for observed in observations:
        current = stored(current, outcome_of(current, observed))
    return current


def ended(status: Status = SUCCESS, **fields: Any) -> Translation:
    """A finished translation without attention."""
    url = URL if status is SUCCESS else None
    return translation(**{"status": status, "url": url, "finished_at": NOON, "next_poll_at": None} | fields)


# Fields


def test_poll_sets_its_fields_and_everything_derived_from_them() -> None:
    observed = poll(
        SUCCESS, provider_status="success", url=URL, title="Talk", callback_id="mine", observed_at=after(60)
    )
    outcome = outcome_of(translation(status=RUNNING), observed)
    assert outcome.change == Change(RUNNING, SUCCESS)
    assert outcome.outcome is DeliveryOutcome.APPLIED
    assert outcome.updates == {
        "url": URL,
        "url_fetched_at": after(60),
        "url_expires_at": after(60, days=7),
        "renew_links_at": after(60, days=6),
        "title": "Talk",
        "callback_id": "mine",
        "provider_status": "success",
        "finished_at": after(60),
        "next_poll_at": None,
        "last_polled_at": after(60),
        "poll_count": 1,
    }


def test_repeated_poll_updates_only_the_poll_counters() -> None:
    running = translation(status=RUNNING, title="Talk", provider_status="running")
    outcome = outcome_of(running, poll(RUNNING, title="Talk", provider_status="running"))
    assert set(outcome.updates) == {"next_poll_at", "last_polled_at", "poll_count"}


def test_repeated_webhook_writes_nothing() -> None:
    current = ended(title="Talk", provider_status="success")
    outcome = outcome_of(current, webhook(SUCCESS, url=URL, title="Talk", provider_status="success"))
    assert outcome == Outcome(None, {}, DeliveryOutcome.UNCHANGED)


def test_poll_replaces_the_url_and_repeated_webhook_does_not() -> None:
    fresh = f"{URL}?Expires=1796040000"
    assert apply_all(ended(), poll(SUCCESS, url=fresh)).details.url == fresh
    assert apply_all(ended(), webhook(SUCCESS, url=fresh)).details.url == URL


def test_repeated_webhook_fills_missing_fields() -> None:
    later = apply_all(ended(title="Talk"), webhook(SUCCESS, title="Other", caption_url=f"{URL}.ass"))
    assert (later.details.title, later.details.caption_url) == ("Talk", f"{URL}.ass")


def test_the_list_replaces_and_the_event_log_fills() -> None:
    known = translation(title="Old")
    assert apply_all(known, observation(Source.LIST, title="New")).details.title == "New"
    assert apply_all(known, observation(Source.EVENT_LOG, title="New")).details.title == "Old"


def test_missing_fields_keep_their_values() -> None:
    known = translation(title="Talk", callback_id="mine", provider_status="pending")
    later = apply_all(known, poll(PENDING))
    assert (later.details.title, later.callback_id, later.provider_status) == ("Talk", "mine", "pending")


def test_callback_id_is_never_replaced() -> None:
    assert (
        apply_all(translation(callback_id="mine"), poll(RUNNING, callback_id="theirs")).callback_id == "mine"
    )


def test_unknown_status_word_is_stored_and_keeps_the_status() -> None:
    later = apply_all(translation(status=RUNNING), observation(provider_status="upscaling"))
    assert (later.status, later.provider_status) == (RUNNING, "upscaling")
    assert later.next_poll_at is not None
    assert later.next_poll_at > NOON


def test_late_response_sets_the_title_but_no_final_fields() -> None:
    stale = poll(RUNNING, provider_status="running", title="New", message="rendering", url="https://old/")
    later = apply_all(ended(title="Old", message="done", provider_status="success"), stale)
    assert (later.details.title, later.details.message) == ("New", "done")
    assert (later.details.url, later.provider_status) == (URL, "success")


@pytest.mark.parametrize(
    "observed", [webhook(SUCCESS, hint=True, url=URL, title="x"), failed_poll(title="x")]
)
def test_hints_and_problems_set_no_details(observed: Observation) -> None:
    assert apply_all(translation(), observed).details == translation().details


def test_contradiction_sets_no_details() -> None:
    assert apply_all(ended(), webhook(FAILED, message="no")).details == ended().details


def test_settled_conflict_sets_details() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    later = apply_all(conflict, poll(FAILED, message="no voice", observed_at=after(1)))
    assert (later.status, later.details.message, later.attention) == (FAILED, "no voice", None)


# When it ended


def test_finished_at_is_heygens_time() -> None:
    observed = webhook(SUCCESS, url=URL, occurred_at=after(-5))
    assert apply_all(translation(), observed).finished_at == after(-5)


def test_finished_at_falls_back_to_the_observation_time() -> None:
    for incredible in [after(1), after(days=-30), after(days=-20000)]:
        assert apply_all(translation(), webhook(SUCCESS, occurred_at=incredible)).finished_at == NOON


def test_running_sets_no_finished_at() -> None:
    assert apply_all(translation(), poll(RUNNING)).finished_at is None


def test_settled_conflict_clears_the_fields_of_the_losing_status() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    failed = apply_all(conflict, poll(FAILED, message="no voice", observed_at=after(99)))
    assert (failed.status, failed.finished_at) == (FAILED, after(99))
    assert (failed.details.url, failed.url_fetched_at, failed.details.message) == (None, None, "no voice")

    conflict = ended(FAILED, message="no voice", attention=Attention.CONFLICT, attention_since=NOON)
    won = apply_all(conflict, poll(SUCCESS, url=URL, observed_at=after(99)))
    assert (won.status, won.details.url, won.details.message) == (SUCCESS, URL, None)


# Links

ALL_LINKS = {kind.column: f"https://resource2.heygen.ai/7544/{kind}" for kind in LinkKind}


def ends_of(current: Translation) -> dict[str, datetime | None]:
    return {kind: getattr(current, kind.expiry_column) for kind in LinkKind}


def signed(days: float, **more: str) -> dict[str, str]:
    """A link of each kind, ending at another hour of the same day."""
    ends = (int(after(days=days, hours=number).timestamp()) for number in range(len(ALL_LINKS)))
    return {
        name: f"{url}?Expires={end}" for (name, url), end in zip(ALL_LINKS.items(), ends, strict=True)
    } | more


def test_each_link_has_an_expiry() -> None:
    for source in [Source.POLL, Source.LIST, Source.WEBHOOK]:
        current = apply_all(translation(status=RUNNING), observation(source, SUCCESS, **signed(7)))
        assert list(ends_of(current).values()) == [after(days=7, hours=number) for number in range(5)]
        assert current.renew_links_at == after(days=6)

        silent = apply_all(translation(status=RUNNING), observation(source, SUCCESS, **ALL_LINKS))
        assert ends_of(silent) == dict.fromkeys(LinkKind, after(days=7))


def test_later_link_has_its_own_expiry() -> None:
    current = apply_all(
        translation(), poll(SUCCESS, url=URL), poll(SUCCESS, audio_url=URL, observed_at=after(days=1))
    )
    assert (current.url_expires_at, current.audio_url_expires_at) == (after(days=7), after(days=8))
    assert current.renew_links_at == after(days=6)


@pytest.mark.parametrize("source", [Source.POLL, Source.LIST])
def test_unchanged_link_from_heygen_restarts_its_expiry(source: Source) -> None:
    known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
    again = apply_all(known, observation(source, SUCCESS, **ALL_LINKS, observed_at=after(days=5)))
    assert ends_of(again) == dict.fromkeys(LinkKind, after(days=12))
    assert (again.url_fetched_at, again.renew_links_at) == (after(days=5), after(days=11))


@pytest.mark.parametrize("source", [Source.WEBHOOK, Source.EVENT_LOG])
def test_repeated_webhook_extends_no_expiry(source: Source) -> None:
    known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
    again = outcome_of(known, observation(source, SUCCESS, **ALL_LINKS, observed_at=after(days=5)))
    assert again == Outcome(None, {}, DeliveryOutcome.UNCHANGED)


def test_new_query_of_a_link_is_neither_change_nor_move() -> None:
    known = apply_all(translation(), poll(SUCCESS, **signed(7)))
    observed = poll(SUCCESS, **signed(12), observed_at=after(days=5))
    outcome = outcome_of(known, observed)
    assert (outcome.change, outcome.moves) == (None, ())
    assert outcome.updates.keys() - {"last_polled_at", "poll_count", "url_fetched_at", "renew_links_at"} == {
        *ALL_LINKS,
        *(kind.expiry_column for kind in LinkKind),
    }


def test_moved_link_is_recorded_without_its_signature() -> None:
    known = apply_all(translation(), poll(SUCCESS, **signed(7)))
    outcome = outcome_of(known, poll(SUCCESS, **signed(7, srt_url="https://other.heygen.ai/new?Signature=s")))
    assert outcome.moves == (Move(LinkKind.SRT, ALL_LINKS["srt_url"], "https://other.heygen.ai/new"),)
    assert outcome.updates["srt_url"] == "https://other.heygen.ai/new?Signature=s"


def test_a_first_link_is_no_move_and_a_link_that_is_not_believed_neither() -> None:
    assert outcome_of(translation(), poll(SUCCESS, url=URL)).moves == ()
    assert outcome_of(ended(), webhook(SUCCESS, url=f"{URL}.other")).moves == ()
    assert outcome_of(ended(), poll(RUNNING, url=f"{URL}.other")).moves == ()


def test_leaving_a_final_status_clears_its_links() -> None:
    known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
    assert ends_of(apply_all(known, REOPEN)) == dict.fromkeys(LinkKind)
    reopened = outcome_of(known, REOPEN)
    assert (reopened.updates["renew_links_at"], reopened.moves) == (None, ())


def test_a_conflict_that_is_settled_the_other_way_round_leaves_no_link_without_an_end() -> None:
    """Also if the link is the same as before."""
    odd = ended(FAILED, attention=Attention.CONFLICT, attention_since=NOON, **ALL_LINKS)
    odd = replace(odd, url_expires_at=after(99, days=7))
    won = outcome_of(odd, poll(SUCCESS, **ALL_LINKS, observed_at=after(99)))
    assert ends_of(stored(odd, won)) == dict.fromkeys(LinkKind, after(99, days=7))
    assert won.moves == ()


def test_a_failed_translation_has_no_links_to_renew() -> None:
    failed = apply_all(translation(), poll(FAILED, message="no voice"))
    assert (failed.renew_links_at, ends_of(failed)) == (None, dict.fromkeys(LinkKind))


def test_a_question_for_links_that_brings_none_leaves_what_is_settled_settled() -> None:
    """Nobody asks again but for the links, after half of the time that they have left."""
    for observed in [
        failed_poll(observed_at=after(days=6)),
        failed_poll(NOT_FOUND, "Video translate not found", observed_at=after(days=6)),
        poll(RUNNING, observed_at=after(days=6)),
        poll(SUCCESS, observed_at=after(days=6)),
    ]:
        known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
        then = apply_all(known, observed)
        assert (then.status, then.attention, then.next_poll_at) == (SUCCESS, None, None)
        assert then.details == known.details
        assert then.renew_links_at == after(days=6, hours=12)


def test_a_question_for_links_that_finds_another_end_is_a_conflict_that_somebody_asks_about() -> None:
    known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
    then = apply_all(known, poll(FAILED, observed_at=after(days=6)))
    assert (then.attention, then.next_poll_at is not None) == (Attention.CONFLICT, True)


def test_a_bulk_answer_says_nothing_of_links() -> None:
    known = apply_all(translation(), poll(SUCCESS, **ALL_LINKS))
    assert outcome_of(known, poll(SUCCESS, partial=True)).updates.keys() == {
        "last_polled_at",
        "poll_count",
        "next_poll_at",
    }


def test_a_poll_asked_for_while_another_was_under_way_is_still_made() -> None:
    hinted_meanwhile = translation(next_poll_at=after(2))
    assert apply_all(hinted_meanwhile, poll(RUNNING, observed_at=after(1))).next_poll_at == after(2)


def test_only_an_authentic_hint_sets_the_callback_id() -> None:
    hint = observation(Source.WEBHOOK, hint=True, callback_id="order-1")
    assert apply_all(translation(callback_id=None), hint).callback_id == "order-1"
    assert apply_all(translation(callback_id=None), replace(hint, authentic=False)).callback_id is None
    assert apply_all(translation(callback_id="order-2"), hint).callback_id == "order-2"


def test_reopened_translation_is_due_without_finish_time_and_message() -> None:
    later = apply_all(ended(FAILED, message="no voice"), replace(REOPEN, observed_at=after(60)))
    assert (later.status, later.finished_at, later.details.message) == (PENDING, None, None)
    assert (later.next_poll_at, later.attention) == (after(60), None)


# Polls that learn nothing


def test_failed_poll_never_changes_the_status() -> None:
    for kind in ProblemKind:
        for status in [PENDING, RUNNING]:
            outcome = outcome_of(translation(status=status), failed_poll(kind))
            assert outcome.change is None
            assert outcome.outcome is DeliveryOutcome.APPLIED


def test_failed_polls_are_counted_with_their_error() -> None:
    later = apply_all(translation(), failed_poll(), failed_poll(observed_at=after(30)))
    assert (later.poll_failures, later.failing_since) == (2, NOON)
    assert later.last_error == "unreachable: HTTP 500"


def test_another_kind_of_failure_restarts_the_count() -> None:
    later = apply_all(translation(), failed_poll(), failed_poll(NOT_FOUND, observed_at=after(30)))
    assert (later.poll_failures, later.failing_since) == (1, after(30))


def test_any_report_of_heygen_resets_the_failures() -> None:
    for word in [poll(RUNNING), webhook(SUCCESS), observation(provider_status="new")]:
        later = apply_all(translation(), failed_poll(), word)
        assert (later.poll_failures, later.failing_since, later.last_error) == (0, None, None)


@pytest.mark.parametrize("said", [observation(Source.MANUAL), observation(Source.WEBHOOK, hint=True)])
def test_people_and_hints_do_not_reset_the_failures(said: Observation) -> None:
    later = apply_all(translation(), failed_poll(), said)
    assert (later.poll_failures, later.last_error) == (1, "unreachable: HTTP 500")


def test_the_confirmation_of_an_end_is_given_up_without_a_trace() -> None:
    current = apply_all(translation(), webhook(SUCCESS, url=URL))
    for _ in range(CONFIRMATIONS):
        assert current.next_poll_at is not None
        current = apply_all(current, failed_poll(NOT_FOUND, observed_at=current.next_poll_at))
        assert current.last_error is None
    assert (current.status, current.next_poll_at, current.attention) == (SUCCESS, None, None)


def test_a_status_endpoint_that_lags_behind_a_webhook_counts_as_a_failed_confirmation() -> None:
    current = apply_all(translation(), webhook(SUCCESS, url=URL), poll(RUNNING, observed_at=after(1)))
    assert (current.status, current.poll_failures, current.last_error) == (SUCCESS, 1, None)
    assert apply_all(current, poll(SUCCESS, observed_at=after(40))).poll_failures == 0


# Attention


def test_not_found_is_flagged_after_three_answers_over_two_minutes() -> None:
    moments = [0, 60, 119, 120]
    current, flags = translation(), []
    for moment in moments:
        current = apply_all(current, failed_poll(NOT_FOUND, observed_at=after(moment)))
        flags.append(current.attention)
    assert flags == [None, None, None, Attention.NOT_FOUND]
    assert (current.status, current.attention_since) == (PENDING, after(120))


def test_three_answers_are_enough_where_two_minutes_have_passed() -> None:
    asked = (failed_poll(NOT_FOUND, observed_at=after(moment)) for moment in (0, 60, 120))
    assert apply_all(translation(), *asked).attention is Attention.NOT_FOUND


def test_two_answers_are_not_enough_however_long_they_take() -> None:
    current = apply_all(translation(), failed_poll(NOT_FOUND), failed_poll(NOT_FOUND, observed_at=after(600)))
    assert current.attention is None


def test_id_flags_stay_without_a_report_of_heygen() -> None:
    for observed in [failed_poll(), observation(Source.WEBHOOK, hint=True)]:
        for flag in [Attention.NOT_FOUND, Attention.INVALID_ID]:
            assert apply_all(translation(attention=flag), observed).attention is flag


def test_first_report_of_heygen_clears_id_flags() -> None:
    for observed in [poll(RUNNING), webhook(SUCCESS, url=URL)]:
        for flag in [Attention.NOT_FOUND, Attention.INVALID_ID]:
            later = apply_all(translation(attention=flag, attention_since=NOON), observed)
            assert (later.attention, later.attention_since) == (None, None)
            assert later.status is observed.status


def test_invalid_id_is_flagged_at_once() -> None:
    assert apply_all(translation(), failed_poll(INVALID_ID)).attention is Attention.INVALID_ID


def test_open_translation_is_only_flagged_when_overdue() -> None:
    on_time = apply_all(translation(), poll(RUNNING, observed_at=after(3600)))
    late = apply_all(translation(), poll(RUNNING, observed_at=after(3601)))
    assert (on_time.attention, late.attention, late.status) == (None, Attention.OVERDUE, RUNNING)
    assert apply_all(late, webhook(SUCCESS, url=URL, observed_at=after(9999))).attention is None


def test_success_without_a_url_is_flagged_until_the_url_comes() -> None:
    current = apply_all(translation(), poll(SUCCESS))
    assert (current.status, current.attention, current.next_poll_at) == (
        SUCCESS,
        Attention.URL_MISSING,
        after(30),
    )
    current = apply_all(current, poll(SUCCESS, url=URL, observed_at=after(30)))
    assert (current.status, current.attention, current.next_poll_at) == (SUCCESS, None, None)


def test_a_failure_needs_no_url() -> None:
    assert apply_all(translation(), webhook(FAILED)).attention is None


def test_different_ends_are_a_conflict_that_only_a_fresh_poll_settles() -> None:
    current = apply_all(ended(), webhook(FAILED, observed_at=after(60)))
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    assert (current.attention_since, current.next_poll_at) == (after(60), after(60))
    in_between = [
        poll(SUCCESS, url=URL, observed_at=after(59)),
        webhook(SUCCESS, observed_at=after(61)),
        failed_poll(observed_at=after(62)),
        observation(observed_at=after(63)),
        poll(RUNNING, observed_at=after(64)),
    ]
    current = apply_all(current, *in_between)
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    assert current.attention_since == after(60)
    current = apply_all(current, poll(SUCCESS, url=URL, observed_at=after(200)))
    assert (current.status, current.attention, current.next_poll_at) == (SUCCESS, None, None)


def test_a_settled_conflict_without_a_url_says_so() -> None:
    conflict = ended(FAILED, attention=Attention.CONFLICT, attention_since=NOON)
    later = apply_all(conflict, poll(SUCCESS, observed_at=after(1)))
    assert (later.status, later.attention) == (SUCCESS, Attention.URL_MISSING)


def test_a_poll_that_contradicts_an_end_is_asked_again_before_it_is_believed() -> None:
    current = apply_all(ended(), poll(FAILED, observed_at=after(1)))
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    current = apply_all(current, poll(FAILED, observed_at=after(31)))
    assert (current.status, current.attention) == (FAILED, None)


def test_reopening_settles_a_conflict_too() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    assert apply_all(conflict, replace(REOPEN, observed_at=after(1))).attention is None


# Outcomes and rules over everything


def test_hint_has_the_outcome_hint_in_any_case() -> None:
    observed = observation(Source.WEBHOOK, SUCCESS, hint=True)
    outcome = outcome_of(translation(next_poll_at=after(500)), observed)
    assert (outcome.change, outcome.updates, outcome.outcome) == (
        None,
        {"next_poll_at": NOON},
        DeliveryOutcome.HINT,
    )


times = st.integers(-100_000, 100_000).map(after)
texts = st.none() | st.sampled_from(["a", "b"])
statuses = st.none() | st.sampled_from(Status)
attentions = st.none() | st.sampled_from(Attention)
translations = st.builds(
    translation,
    status=st.sampled_from(Status),
    attention=attentions,
    attention_since=st.none() | times,
    title=texts,
    url=st.none() | st.just(URL),
    message=texts,
    callback_id=texts,
    provider_status=texts,
    last_error=st.none() | st.just("unreachable: HTTP 500"),
    poll_failures=st.integers(0, 20),
    failing_since=st.none() | times,
    finished_at=st.none() | times,
    next_poll_at=times,
)
observations = st.one_of(
    st.builds(
        observation,
        st.sampled_from(Source),
        statuses,
        hint=st.booleans(),
        observed_at=times,
        occurred_at=st.none() | times,
        title=texts,
        url=st.none() | st.just(URL + "?x"),
        message=texts,
        callback_id=texts,
        provider_status=texts,
    ),
    st.builds(failed_poll, st.sampled_from(ProblemKind), observed_at=times),
)


@given(translations, observations)
def test_same_input_gives_the_same_outcome(current: Translation, observed: Observation) -> None:
    before = replace(current), replace(observed)
    assert outcome_of(current, observed) == outcome_of(current, observed)
    assert (current, observed) == before


@given(translations, st.lists(observations, max_size=8))
def test_an_open_translation_is_always_due_some_time(
    current: Translation, observed: list[Observation]
) -> None:
    later = apply_all(current, *observed)
    assert later.status.is_final or later.next_poll_at is not None


@given(translations, st.lists(observations, max_size=8))
def test_a_flag_has_a_time_and_a_status_never_comes_from_trouble(
    current: Translation, sequence: list[Observation]
) -> None:
    for observed in sequence:
        outcome = outcome_of(current, observed)
        if observed.hint or observed.problem or observed.status is None:
            assert outcome.change is None
        if "attention" in outcome.updates:
            raised = outcome.updates["attention"] is not None
            assert outcome.updates["attention_since"] == (observed.observed_at if raised else None)
        current = stored(current, outcome)


@given(translations, observations)
def test_a_repeated_report_changes_nothing_more(current: Translation, observed: Observation) -> None:
    report = replace(observed, source=Source.WEBHOOK, problem=None, hint=False)
    once = apply_all(current, report)
    assert outcome_of(once, report).change is None
    assert apply_all(once, report) == once


@given(translations, observations)
def test_only_real_columns_are_written_and_never_the_identity(
    current: Translation, observed: Observation
) -> None:
    updates = outcome_of(current, observed).updates
    assert not {"id", "video_translate_id", "status", "created_at", "claimed_by"} & set(updates)
    assert stored(current, outcome_of(current, observed)).video_translate_id == ID


# What a bulk answer says: the status, and nothing else


def in_bulk(status: Status, **fields: Any) -> Observation:
    return poll(status, **{"partial": True, "provider_status": "completed", "api_version": "v3"} | fields)


def test_a_success_told_in_bulk_misses_no_url_and_is_asked_about_at_once() -> None:
    outcome = outcome_of(translation(status=RUNNING, attention=Attention.OVERDUE), in_bulk(SUCCESS))
    assert outcome.change == Change(RUNNING, SUCCESS)
    current = stored(translation(status=RUNNING), outcome)
    assert (current.attention, current.next_poll_at, current.finished_at) == (None, NOON, NOON)
    assert (current.provider_status, current.details.api_version) == ("completed", "v3")


@pytest.mark.parametrize(
    ("status", "fields"), [(SUCCESS, {"url": URL, "title": "Talk"}), (FAILED, {"message": "Voice not found"})]
)
def test_the_answer_to_the_question_of_its_own_fills_it_and_settles(status: Status, fields: Any) -> None:
    detail = poll(status, observed_at=after(1), **fields)
    current = apply_all(translation(status=RUNNING), in_bulk(status), detail)
    assert (current.status, current.next_poll_at, current.attention) == (status, None, None)
    assert {name: getattr(current.details, name) for name in fields} == fields
    assert current.finished_at == NOON


def test_only_the_question_of_its_own_raises_that_the_url_is_missing() -> None:
    current = apply_all(translation(status=RUNNING), in_bulk(SUCCESS), poll(SUCCESS, observed_at=after(1)))
    assert current.attention is Attention.URL_MISSING
    assert current.next_poll_at == after(31)
    repeated = apply_all(current, in_bulk(SUCCESS, observed_at=after(40)))
    assert repeated.attention is Attention.URL_MISSING


@pytest.mark.parametrize("trouble", [failed_poll(observed_at=after(1)), poll(RUNNING, observed_at=after(1))])
def test_trouble_with_the_question_of_its_own_lets_it_be_asked_again(trouble: Observation) -> None:
    """However often: without a url it is flagged by now, and never given up."""
    current = apply_all(translation(status=RUNNING), in_bulk(SUCCESS), trouble)
    assert (current.status, current.attention) == (SUCCESS, Attention.URL_MISSING)
    assert current.next_poll_at == after(31)
    repeated = [replace(trouble, observed_at=after(60 * number)) for number in range(1, 2 * CONFIRMATIONS)]
    assert apply_all(current, *repeated).next_poll_at is not None
    filled = apply_all(current, poll(SUCCESS, url=URL, observed_at=after(31)))
    assert (filled.details.url, filled.next_poll_at, filled.poll_failures) == (URL, None, 0)


def test_a_bulk_answer_that_repeats_a_webhooks_end_does_not_cancel_the_confirming_question() -> None:
    current = apply_all(translation(status=RUNNING), webhook(SUCCESS, url=URL))
    assert current.next_poll_at == NOON
    again = apply_all(current, in_bulk(SUCCESS, observed_at=after(2)))
    assert (again.next_poll_at, again.attention) == (NOON, None)
    confirmed = apply_all(again, poll(SUCCESS, url=URL, title="Talk", observed_at=after(3)))
    assert (confirmed.next_poll_at, confirmed.details.title) == (None, "Talk")


def test_a_webhook_that_came_while_the_bulk_question_was_asked_keeps_its_own_due_time() -> None:
    current = apply_all(
        translation(status=RUNNING, next_poll_at=after(5)), webhook(SUCCESS, observed_at=after(3))
    )
    late = apply_all(current, in_bulk(SUCCESS, observed_at=after(1)))
    assert late.next_poll_at == after(3)


def test_a_bulk_answer_from_before_the_end_changes_nothing() -> None:
    current = apply_all(translation(status=RUNNING), webhook(SUCCESS, url=URL, observed_at=after(1)))
    outcome = outcome_of(current, in_bulk(RUNNING, observed_at=NOON))
    assert outcome.change is None
    assert stored(current, outcome).next_poll_at is not None


def test_a_bulk_answer_that_contradicts_a_webhook_is_a_conflict_and_a_later_answer_settles_it() -> None:
    current = apply_all(translation(status=RUNNING), webhook(SUCCESS, url=URL, observed_at=after(1)))
    conflict = apply_all(current, in_bulk(FAILED, observed_at=after(2)))
    assert (conflict.status, conflict.attention) == (SUCCESS, Attention.CONFLICT)
    assert conflict.details.url == URL
    assert conflict.next_poll_at is not None
    settled = apply_all(conflict, poll(FAILED, message="no voice", observed_at=after(60)))
    assert (settled.status, settled.attention, settled.next_poll_at) == (FAILED, None, None)
    assert (settled.details.url, settled.details.message) == (None, "no voice")


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_conflict_that_a_bulk_answer_settles_is_asked_about_at_once_for_its_fields(status: Status) -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON, next_poll_at=NOON)
    settled = apply_all(conflict, in_bulk(status, observed_at=after(9)))
    assert (settled.status, settled.attention, settled.next_poll_at) == (status, None, NOON)
    assert settled.details.url == (URL if status is SUCCESS else None)


@pytest.mark.parametrize(("status", "details"), [(SUCCESS, {"url": URL}), (FAILED, {"message": "no speech"})])
def test_final_status_from_the_list_needs_no_poll(status: Status, details: dict[str, str]) -> None:
    listed = apply_all(translation(next_poll_at=NOON), observation(Source.LIST, status, **details))
    assert (listed.status, listed.next_poll_at) == (status, None)


def test_success_without_a_url_from_the_list_is_polled() -> None:
    listed = apply_all(translation(next_poll_at=NOON), observation(Source.LIST, SUCCESS))
    assert (listed.attention, listed.next_poll_at) == (Attention.URL_MISSING, NOON)


def test_a_bulk_answer_ends_a_row_of_failures() -> None:
    lost = translation(last_error="not_found: HTTP 404", poll_failures=7, failing_since=NOON)
    current = apply_all(lost, in_bulk(RUNNING, observed_at=after(60)))
    assert (current.last_error, current.poll_failures, current.failing_since) == (None, 0, None)


@given(
    before=st.lists(st.sampled_from([webhook(SUCCESS, url=URL), webhook(FAILED), poll(RUNNING)]), max_size=3),
    status=st.sampled_from(Status),
)
def test_whatever_was_known_a_bulk_answer_forgets_no_url_and_leaves_no_end_unasked(
    before: list[Observation], status: Status
) -> None:
    current = apply_all(translation(), *before)
    then = apply_all(current, in_bulk(status, observed_at=after(1)))
    is_settled = current.attention is Attention.CONFLICT and then.attention is None
    assert then.status is current.status or not current.status.is_final or is_settled
    assert then.details.url == current.details.url or then.status is not current.status
    assert then.next_poll_at is not None
