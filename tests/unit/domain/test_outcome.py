"""All that one observation does to one translation."""

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


def judged(current: Translation, seen: Observation) -> Outcome:
    return determine_outcome(current, seen, CADENCE)


def written(current: Translation, verdict: Outcome) -> Translation:
    """The translation once the verdict is stored, as the store reads it again."""
    columns: dict[str, Any] = dict(verdict.updates)
    told = {name: columns.pop(name) for name in list(columns) if name in Details.__dataclass_fields__}
    mine = {name: value for name, value in columns.items() if name in Translation.__dataclass_fields__}
    status = verdict.change.new if verdict.change else current.status
    return replace(current, **mine, status=status, details=replace(current.details, **told))


def through(current: Translation, *seen: Observation) -> Translation:
    """The translation after all these observations."""
    for one in seen:
        current = written(current, judged(current, one))
    return current


def ended(status: Status = SUCCESS, **fields: Any) -> Translation:
    """An ended translation that nothing is wrong with."""
    url = URL if status is SUCCESS else None
    return translation(**{"status": status, "url": url, "finished_at": NOON, "next_poll_at": None} | fields)


# Fields


def test_a_poll_fills_what_it_tells_and_what_follows_from_it() -> None:
    seen = poll(
        SUCCESS, provider_status="success", url=URL, title="Talk", callback_id="mine", observed_at=after(60)
    )
    verdict = judged(translation(status=RUNNING), seen)
    assert verdict.change == Change(RUNNING, SUCCESS)
    assert verdict.outcome is DeliveryOutcome.APPLIED
    assert verdict.updates == {
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


def test_a_repeated_poll_writes_only_that_it_was_asked() -> None:
    running = translation(status=RUNNING, title="Talk", provider_status="running")
    verdict = judged(running, poll(RUNNING, title="Talk", provider_status="running"))
    assert set(verdict.updates) == {"next_poll_at", "last_polled_at", "poll_count"}


def test_a_repeated_webhook_writes_nothing() -> None:
    told = ended(title="Talk", provider_status="success")
    verdict = judged(told, webhook(SUCCESS, url=URL, title="Talk", provider_status="success"))
    assert verdict == Outcome(None, {}, DeliveryOutcome.UNCHANGED)


def test_a_poll_renews_the_url_and_a_repeated_webhook_does_not() -> None:
    fresh = f"{URL}?Expires=1796040000"
    assert through(ended(), poll(SUCCESS, url=fresh)).details.url == fresh
    assert through(ended(), webhook(SUCCESS, url=fresh)).details.url == URL


def test_a_repeated_webhook_fills_blanks() -> None:
    later = through(ended(title="Talk"), webhook(SUCCESS, title="Other", caption_url=f"{URL}.ass"))
    assert (later.details.title, later.details.caption_url) == ("Talk", f"{URL}.ass")


def test_the_list_replaces_and_the_event_log_fills() -> None:
    known = translation(title="Old")
    assert through(known, observation(Source.LIST, title="New")).details.title == "New"
    assert through(known, observation(Source.EVENT_LOG, title="New")).details.title == "Old"


def test_what_a_source_does_not_say_stays() -> None:
    known = translation(title="Talk", callback_id="mine", provider_status="pending")
    later = through(known, poll(PENDING))
    assert (later.details.title, later.callback_id, later.provider_status) == ("Talk", "mine", "pending")


def test_a_callback_id_is_never_replaced() -> None:
    assert through(translation(callback_id="mine"), poll(RUNNING, callback_id="theirs")).callback_id == "mine"


def test_an_unknown_word_keeps_the_status_and_is_kept_itself() -> None:
    later = through(translation(status=RUNNING), observation(provider_status="upscaling"))
    assert (later.status, later.provider_status) == (RUNNING, "upscaling")
    assert later.next_poll_at is not None
    assert later.next_poll_at > NOON


def test_a_backward_answer_still_brings_the_title_but_nothing_of_the_end() -> None:
    stale = poll(RUNNING, provider_status="running", title="New", message="rendering", url="https://old/")
    later = through(ended(title="Old", message="done", provider_status="success"), stale)
    assert (later.details.title, later.details.message) == ("New", "done")
    assert (later.details.url, later.provider_status) == (URL, "success")


@pytest.mark.parametrize("seen", [webhook(SUCCESS, hint=True, url=URL, title="x"), failed_poll(title="x")])
def test_hints_and_problems_bring_no_details(seen: Observation) -> None:
    assert through(translation(), seen).details == translation().details


def test_a_contradiction_brings_no_details() -> None:
    assert through(ended(), webhook(FAILED, message="no")).details == ended().details


def test_a_settled_conflict_brings_them() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    later = through(conflict, poll(FAILED, message="no voice", observed_at=after(1)))
    assert (later.status, later.details.message, later.attention) == (FAILED, "no voice", None)


# When it ended


def test_it_ended_when_heygen_says_so() -> None:
    seen = webhook(SUCCESS, url=URL, occurred_at=after(-5))
    assert through(translation(), seen).finished_at == after(-5)


def test_else_when_the_end_was_seen() -> None:
    for incredible in [after(1), after(days=-30), after(days=-20000)]:
        assert through(translation(), webhook(SUCCESS, occurred_at=incredible)).finished_at == NOON


def test_moving_to_running_is_no_end() -> None:
    assert through(translation(), poll(RUNNING)).finished_at is None


def test_the_loser_of_a_settled_conflict_leaves_nothing_behind() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    failed = through(conflict, poll(FAILED, message="no voice", observed_at=after(99)))
    assert (failed.status, failed.finished_at) == (FAILED, after(99))
    assert (failed.details.url, failed.url_fetched_at, failed.details.message) == (None, None, "no voice")

    conflict = ended(FAILED, message="no voice", attention=Attention.CONFLICT, attention_since=NOON)
    won = through(conflict, poll(SUCCESS, url=URL, observed_at=after(99)))
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


def test_of_each_link_it_is_known_until_when_it_works() -> None:
    for source in [Source.POLL, Source.LIST, Source.WEBHOOK]:
        told = through(translation(status=RUNNING), observation(source, SUCCESS, **signed(7)))
        assert list(ends_of(told).values()) == [after(days=7, hours=number) for number in range(5)]
        assert told.renew_links_at == after(days=6)

        silent = through(translation(status=RUNNING), observation(source, SUCCESS, **ALL_LINKS))
        assert ends_of(silent) == dict.fromkeys(LinkKind, after(days=7))


def test_a_link_that_comes_later_has_an_end_of_its_own() -> None:
    told = through(
        translation(), poll(SUCCESS, url=URL), poll(SUCCESS, audio_url=URL, observed_at=after(days=1))
    )
    assert (told.url_expires_at, told.audio_url_expires_at) == (after(days=7), after(days=8))
    assert told.renew_links_at == after(days=6)


@pytest.mark.parametrize("source", [Source.POLL, Source.LIST])
def test_a_link_that_heygen_gives_again_as_it_was_lasts_from_then_on(source: Source) -> None:
    known = through(translation(), poll(SUCCESS, **ALL_LINKS))
    again = through(known, observation(source, SUCCESS, **ALL_LINKS, observed_at=after(days=5)))
    assert ends_of(again) == dict.fromkeys(LinkKind, after(days=12))
    assert (again.url_fetched_at, again.renew_links_at) == (after(days=5), after(days=11))


@pytest.mark.parametrize("source", [Source.WEBHOOK, Source.EVENT_LOG])
def test_but_a_repeated_webhook_makes_no_link_last_longer(source: Source) -> None:
    known = through(translation(), poll(SUCCESS, **ALL_LINKS))
    again = judged(known, observation(source, SUCCESS, **ALL_LINKS, observed_at=after(days=5)))
    assert again == Outcome(None, {}, DeliveryOutcome.UNCHANGED)


def test_a_renewed_query_is_no_change_and_no_move() -> None:
    known = through(translation(), poll(SUCCESS, **signed(7)))
    seen = poll(SUCCESS, **signed(12), observed_at=after(days=5))
    verdict = judged(known, seen)
    assert (verdict.change, verdict.moves) == (None, ())
    assert verdict.updates.keys() - {"last_polled_at", "poll_count", "url_fetched_at", "renew_links_at"} == {
        *ALL_LINKS,
        *(kind.expiry_column for kind in LinkKind),
    }


def test_a_link_that_leads_elsewhere_is_told_without_what_opens_it() -> None:
    known = through(translation(), poll(SUCCESS, **signed(7)))
    verdict = judged(known, poll(SUCCESS, **signed(7, srt_url="https://other.heygen.ai/new?Signature=s")))
    assert verdict.moves == (Move(LinkKind.SRT, ALL_LINKS["srt_url"], "https://other.heygen.ai/new"),)
    assert verdict.updates["srt_url"] == "https://other.heygen.ai/new?Signature=s"


def test_a_first_link_is_no_move_and_a_link_that_is_not_believed_neither() -> None:
    assert judged(translation(), poll(SUCCESS, url=URL)).moves == ()
    assert judged(ended(), webhook(SUCCESS, url=f"{URL}.other")).moves == ()
    assert judged(ended(), poll(RUNNING, url=f"{URL}.other")).moves == ()


def test_an_end_that_is_left_takes_its_links_along() -> None:
    known = through(translation(), poll(SUCCESS, **ALL_LINKS))
    assert ends_of(through(known, REOPEN)) == dict.fromkeys(LinkKind)
    reopened = judged(known, REOPEN)
    assert (reopened.updates["renew_links_at"], reopened.moves) == (None, ())


def test_a_conflict_that_is_settled_the_other_way_round_leaves_no_link_without_an_end() -> None:
    """Also where the link is the one that was known before."""
    odd = ended(FAILED, attention=Attention.CONFLICT, attention_since=NOON, **ALL_LINKS)
    odd = replace(odd, url_expires_at=after(99, days=7))
    won = judged(odd, poll(SUCCESS, **ALL_LINKS, observed_at=after(99)))
    assert ends_of(written(odd, won)) == dict.fromkeys(LinkKind, after(99, days=7))
    assert won.moves == ()


def test_a_failed_translation_has_no_links_to_renew() -> None:
    failed = through(translation(), poll(FAILED, message="no voice"))
    assert (failed.renew_links_at, ends_of(failed)) == (None, dict.fromkeys(LinkKind))


def test_a_question_for_links_that_brings_none_leaves_what_is_settled_settled() -> None:
    """Nobody asks again but for the links, after half of the time that they have left."""
    for seen in [
        failed_poll(observed_at=after(days=6)),
        failed_poll(NOT_FOUND, "Video translate not found", observed_at=after(days=6)),
        poll(RUNNING, observed_at=after(days=6)),
        poll(SUCCESS, observed_at=after(days=6)),
    ]:
        known = through(translation(), poll(SUCCESS, **ALL_LINKS))
        then = through(known, seen)
        assert (then.status, then.attention, then.next_poll_at) == (SUCCESS, None, None)
        assert then.details == known.details
        assert then.renew_links_at == after(days=6, hours=12)


def test_a_question_for_links_that_finds_another_end_is_a_conflict_that_somebody_asks_about() -> None:
    known = through(translation(), poll(SUCCESS, **ALL_LINKS))
    then = through(known, poll(FAILED, observed_at=after(days=6)))
    assert (then.attention, then.next_poll_at is not None) == (Attention.CONFLICT, True)


def test_a_bulk_answer_says_nothing_of_links() -> None:
    known = through(translation(), poll(SUCCESS, **ALL_LINKS))
    assert judged(known, poll(SUCCESS, partial=True)).updates.keys() == {
        "last_polled_at",
        "poll_count",
        "next_poll_at",
    }


def test_a_poll_asked_for_while_another_was_under_way_is_still_made() -> None:
    hinted_meanwhile = translation(next_poll_at=after(2))
    assert through(hinted_meanwhile, poll(RUNNING, observed_at=after(1))).next_poll_at == after(2)


def test_only_an_authentic_hint_tells_the_callback_id() -> None:
    told = observation(Source.WEBHOOK, hint=True, callback_id="order-1")
    assert through(translation(callback_id=None), told).callback_id == "order-1"
    assert through(translation(callback_id=None), replace(told, authentic=False)).callback_id is None
    assert through(translation(callback_id="order-2"), told).callback_id == "order-2"


def test_a_reopened_one_has_no_end_and_no_message_and_is_due() -> None:
    later = through(ended(FAILED, message="no voice"), replace(REOPEN, observed_at=after(60)))
    assert (later.status, later.finished_at, later.details.message) == (PENDING, None, None)
    assert (later.next_poll_at, later.attention) == (after(60), None)


# Polls that learn nothing


def test_trouble_never_changes_a_status() -> None:
    for kind in ProblemKind:
        for status in [PENDING, RUNNING]:
            verdict = judged(translation(status=status), failed_poll(kind))
            assert verdict.change is None
            assert verdict.outcome is DeliveryOutcome.APPLIED


def test_trouble_is_counted_and_told() -> None:
    later = through(translation(), failed_poll(), failed_poll(observed_at=after(30)))
    assert (later.poll_failures, later.failing_since) == (2, NOON)
    assert later.last_error == "unreachable: HTTP 500"


def test_another_kind_of_trouble_is_counted_anew() -> None:
    later = through(translation(), failed_poll(), failed_poll(NOT_FOUND, observed_at=after(30)))
    assert (later.poll_failures, later.failing_since) == (1, after(30))


def test_any_word_of_heygens_ends_the_trouble() -> None:
    for word in [poll(RUNNING), webhook(SUCCESS), observation(provider_status="new")]:
        later = through(translation(), failed_poll(), word)
        assert (later.poll_failures, later.failing_since, later.last_error) == (0, None, None)


@pytest.mark.parametrize("said", [observation(Source.MANUAL), observation(Source.WEBHOOK, hint=True)])
def test_people_and_hints_do_not_end_it(said: Observation) -> None:
    later = through(translation(), failed_poll(), said)
    assert (later.poll_failures, later.last_error) == (1, "unreachable: HTTP 500")


def test_the_confirmation_of_an_end_is_given_up_without_a_trace() -> None:
    current = through(translation(), webhook(SUCCESS, url=URL))
    for _ in range(CONFIRMATIONS):
        assert current.next_poll_at is not None
        current = through(current, failed_poll(NOT_FOUND, observed_at=current.next_poll_at))
        assert current.last_error is None
    assert (current.status, current.next_poll_at, current.attention) == (SUCCESS, None, None)


def test_a_status_endpoint_that_lags_behind_a_webhook_counts_as_a_failed_confirmation() -> None:
    current = through(translation(), webhook(SUCCESS, url=URL), poll(RUNNING, observed_at=after(1)))
    assert (current.status, current.poll_failures, current.last_error) == (SUCCESS, 1, None)
    assert through(current, poll(SUCCESS, observed_at=after(40))).poll_failures == 0


# Attention


def test_not_found_is_flagged_after_three_answers_over_two_minutes() -> None:
    moments = [0, 60, 119, 120]
    current, flags = translation(), []
    for moment in moments:
        current = through(current, failed_poll(NOT_FOUND, observed_at=after(moment)))
        flags.append(current.attention)
    assert flags == [None, None, None, Attention.NOT_FOUND]
    assert (current.status, current.attention_since) == (PENDING, after(120))


def test_three_answers_are_enough_where_two_minutes_have_passed() -> None:
    asked = (failed_poll(NOT_FOUND, observed_at=after(moment)) for moment in (0, 60, 120))
    assert through(translation(), *asked).attention is Attention.NOT_FOUND


def test_two_answers_are_not_enough_however_long_they_take() -> None:
    current = through(translation(), failed_poll(NOT_FOUND), failed_poll(NOT_FOUND, observed_at=after(600)))
    assert current.attention is None


def test_these_flags_stay_while_nothing_is_learnt() -> None:
    for seen in [failed_poll(), observation(Source.WEBHOOK, hint=True)]:
        for flag in [Attention.NOT_FOUND, Attention.INVALID_ID]:
            assert through(translation(attention=flag), seen).attention is flag


def test_and_go_with_heygens_first_word() -> None:
    for seen in [poll(RUNNING), webhook(SUCCESS, url=URL)]:
        for flag in [Attention.NOT_FOUND, Attention.INVALID_ID]:
            later = through(translation(attention=flag, attention_since=NOON), seen)
            assert (later.attention, later.attention_since) == (None, None)
            assert later.status is seen.status


def test_an_id_that_is_none_is_flagged_at_once() -> None:
    assert through(translation(), failed_poll(INVALID_ID)).attention is Attention.INVALID_ID


def test_an_open_one_is_overdue_after_an_hour_and_only_flagged() -> None:
    on_time = through(translation(), poll(RUNNING, observed_at=after(3600)))
    late = through(translation(), poll(RUNNING, observed_at=after(3601)))
    assert (on_time.attention, late.attention, late.status) == (None, Attention.OVERDUE, RUNNING)
    assert through(late, webhook(SUCCESS, url=URL, observed_at=after(9999))).attention is None


def test_success_without_a_url_is_flagged_until_the_url_comes() -> None:
    current = through(translation(), poll(SUCCESS))
    assert (current.status, current.attention, current.next_poll_at) == (
        SUCCESS,
        Attention.URL_MISSING,
        after(30),
    )
    current = through(current, poll(SUCCESS, url=URL, observed_at=after(30)))
    assert (current.status, current.attention, current.next_poll_at) == (SUCCESS, None, None)


def test_a_failure_needs_no_url() -> None:
    assert through(translation(), webhook(FAILED)).attention is None


def test_different_ends_are_a_conflict_that_only_a_fresh_poll_settles() -> None:
    current = through(ended(), webhook(FAILED, observed_at=after(60)))
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    assert (current.attention_since, current.next_poll_at) == (after(60), after(60))
    in_between = [
        poll(SUCCESS, url=URL, observed_at=after(59)),
        webhook(SUCCESS, observed_at=after(61)),
        failed_poll(observed_at=after(62)),
        observation(observed_at=after(63)),
        poll(RUNNING, observed_at=after(64)),
    ]
    current = through(current, *in_between)
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    assert current.attention_since == after(60)
    current = through(current, poll(SUCCESS, url=URL, observed_at=after(200)))
    assert (current.status, current.attention, current.next_poll_at) == (SUCCESS, None, None)


def test_a_settled_conflict_without_a_url_says_so() -> None:
    conflict = ended(FAILED, attention=Attention.CONFLICT, attention_since=NOON)
    later = through(conflict, poll(SUCCESS, observed_at=after(1)))
    assert (later.status, later.attention) == (SUCCESS, Attention.URL_MISSING)


def test_a_poll_that_contradicts_an_end_is_asked_again_before_it_is_believed() -> None:
    current = through(ended(), poll(FAILED, observed_at=after(1)))
    assert (current.status, current.attention) == (SUCCESS, Attention.CONFLICT)
    current = through(current, poll(FAILED, observed_at=after(31)))
    assert (current.status, current.attention) == (FAILED, None)


def test_reopening_settles_a_conflict_too() -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON)
    assert through(conflict, replace(REOPEN, observed_at=after(1))).attention is None


# Outcomes and rules over everything


def test_a_hint_is_a_hint_whatever_it_did() -> None:
    seen = observation(Source.WEBHOOK, SUCCESS, hint=True)
    verdict = judged(translation(next_poll_at=after(500)), seen)
    assert (verdict.change, verdict.updates, verdict.outcome) == (
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
def test_the_same_input_gives_the_same_verdict(current: Translation, seen: Observation) -> None:
    before = replace(current), replace(seen)
    assert judged(current, seen) == judged(current, seen)
    assert (current, seen) == before


@given(translations, st.lists(observations, max_size=8))
def test_an_open_translation_is_always_due_some_time(current: Translation, seen: list[Observation]) -> None:
    later = through(current, *seen)
    assert later.status.is_final or later.next_poll_at is not None


@given(translations, st.lists(observations, max_size=8))
def test_a_flag_has_a_time_and_a_status_never_comes_from_trouble(
    current: Translation, sequence: list[Observation]
) -> None:
    for seen in sequence:
        verdict = judged(current, seen)
        if seen.hint or seen.problem or seen.status is None:
            assert verdict.change is None
        if "attention" in verdict.updates:
            raised = verdict.updates["attention"] is not None
            assert verdict.updates["attention_since"] == (seen.observed_at if raised else None)
        current = written(current, verdict)


@given(translations, observations)
def test_a_repeated_report_changes_nothing_more(current: Translation, seen: Observation) -> None:
    told = replace(seen, source=Source.WEBHOOK, problem=None, hint=False)
    once = through(current, told)
    assert judged(once, told).change is None
    assert through(once, told) == once


@given(translations, observations)
def test_only_real_columns_are_written_and_never_the_identity(
    current: Translation, seen: Observation
) -> None:
    updates = judged(current, seen).updates
    assert not {"id", "video_translate_id", "status", "created_at", "claimed_by"} & set(updates)
    assert written(current, judged(current, seen)).video_translate_id == ID


# What a bulk answer says: the status, and nothing else


def in_bulk(status: Status, **fields: Any) -> Observation:
    return poll(status, **{"partial": True, "provider_status": "completed", "api_version": "v3"} | fields)


def test_a_success_told_in_bulk_misses_no_url_and_is_asked_about_at_once() -> None:
    verdict = judged(translation(status=RUNNING, attention=Attention.OVERDUE), in_bulk(SUCCESS))
    assert verdict.change == Change(RUNNING, SUCCESS)
    current = written(translation(status=RUNNING), verdict)
    assert (current.attention, current.next_poll_at, current.finished_at) == (None, NOON, NOON)
    assert (current.provider_status, current.details.api_version) == ("completed", "v3")


@pytest.mark.parametrize(
    ("status", "told"), [(SUCCESS, {"url": URL, "title": "Talk"}), (FAILED, {"message": "Voice not found"})]
)
def test_the_answer_to_the_question_of_its_own_fills_it_and_settles(status: Status, told: Any) -> None:
    detail = poll(status, observed_at=after(1), **told)
    current = through(translation(status=RUNNING), in_bulk(status), detail)
    assert (current.status, current.next_poll_at, current.attention) == (status, None, None)
    assert {name: getattr(current.details, name) for name in told} == told
    assert current.finished_at == NOON


def test_only_the_question_of_its_own_raises_that_the_url_is_missing() -> None:
    current = through(translation(status=RUNNING), in_bulk(SUCCESS), poll(SUCCESS, observed_at=after(1)))
    assert current.attention is Attention.URL_MISSING
    assert current.next_poll_at == after(31)
    repeated = through(current, in_bulk(SUCCESS, observed_at=after(40)))
    assert repeated.attention is Attention.URL_MISSING


@pytest.mark.parametrize("trouble", [failed_poll(observed_at=after(1)), poll(RUNNING, observed_at=after(1))])
def test_trouble_with_the_question_of_its_own_lets_it_be_asked_again(trouble: Observation) -> None:
    """However often: without a url it is flagged by now, and never given up."""
    current = through(translation(status=RUNNING), in_bulk(SUCCESS), trouble)
    assert (current.status, current.attention) == (SUCCESS, Attention.URL_MISSING)
    assert current.next_poll_at == after(31)
    repeated = [replace(trouble, observed_at=after(60 * number)) for number in range(1, 2 * CONFIRMATIONS)]
    assert through(current, *repeated).next_poll_at is not None
    filled = through(current, poll(SUCCESS, url=URL, observed_at=after(31)))
    assert (filled.details.url, filled.next_poll_at, filled.poll_failures) == (URL, None, 0)


def test_a_bulk_answer_that_repeats_a_webhooks_end_does_not_cancel_the_confirming_question() -> None:
    told = through(translation(status=RUNNING), webhook(SUCCESS, url=URL))
    assert told.next_poll_at == NOON
    again = through(told, in_bulk(SUCCESS, observed_at=after(2)))
    assert (again.next_poll_at, again.attention) == (NOON, None)
    confirmed = through(again, poll(SUCCESS, url=URL, title="Talk", observed_at=after(3)))
    assert (confirmed.next_poll_at, confirmed.details.title) == (None, "Talk")


def test_a_webhook_that_came_while_the_bulk_question_was_asked_keeps_its_own_due_time() -> None:
    told = through(translation(status=RUNNING, next_poll_at=after(5)), webhook(SUCCESS, observed_at=after(3)))
    late = through(told, in_bulk(SUCCESS, observed_at=after(1)))
    assert late.next_poll_at == after(3)


def test_a_bulk_answer_from_before_the_end_changes_nothing() -> None:
    told = through(translation(status=RUNNING), webhook(SUCCESS, url=URL, observed_at=after(1)))
    verdict = judged(told, in_bulk(RUNNING, observed_at=NOON))
    assert verdict.change is None
    assert written(told, verdict).next_poll_at is not None


def test_a_bulk_answer_that_contradicts_a_webhook_is_a_conflict_and_a_later_answer_settles_it() -> None:
    told = through(translation(status=RUNNING), webhook(SUCCESS, url=URL, observed_at=after(1)))
    conflict = through(told, in_bulk(FAILED, observed_at=after(2)))
    assert (conflict.status, conflict.attention) == (SUCCESS, Attention.CONFLICT)
    assert conflict.details.url == URL
    assert conflict.next_poll_at is not None
    settled = through(conflict, poll(FAILED, message="no voice", observed_at=after(60)))
    assert (settled.status, settled.attention, settled.next_poll_at) == (FAILED, None, None)
    assert (settled.details.url, settled.details.message) == (None, "no voice")


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_conflict_that_a_bulk_answer_settles_is_asked_about_at_once_for_its_fields(status: Status) -> None:
    conflict = ended(attention=Attention.CONFLICT, attention_since=NOON, next_poll_at=NOON)
    settled = through(conflict, in_bulk(status, observed_at=after(9)))
    assert (settled.status, settled.attention, settled.next_poll_at) == (status, None, NOON)
    assert settled.details.url == (URL if status is SUCCESS else None)


@pytest.mark.parametrize(("status", "details"), [(SUCCESS, {"url": URL}), (FAILED, {"message": "no speech"})])
def test_an_end_that_the_list_told_needs_no_question(status: Status, details: dict[str, str]) -> None:
    listed = through(translation(next_poll_at=NOON), observation(Source.LIST, status, **details))
    assert (listed.status, listed.next_poll_at) == (status, None)


def test_but_a_success_without_a_url_does() -> None:
    listed = through(translation(next_poll_at=NOON), observation(Source.LIST, SUCCESS))
    assert (listed.attention, listed.next_poll_at) == (Attention.URL_MISSING, NOON)


def test_a_bulk_answer_ends_a_row_of_failures() -> None:
    lost = translation(last_error="not_found: HTTP 404", poll_failures=7, failing_since=NOON)
    current = through(lost, in_bulk(RUNNING, observed_at=after(60)))
    assert (current.last_error, current.poll_failures, current.failing_since) == (None, 0, None)


@given(
    before=st.lists(st.sampled_from([webhook(SUCCESS, url=URL), webhook(FAILED), poll(RUNNING)]), max_size=3),
    status=st.sampled_from(Status),
)
def test_whatever_was_known_a_bulk_answer_forgets_no_url_and_leaves_no_end_unasked(
    before: list[Observation], status: Status
) -> None:
    current = through(translation(), *before)
    then = through(current, in_bulk(status, observed_at=after(1)))
    is_settled = current.attention is Attention.CONFLICT and then.attention is None
    assert then.status is current.status or not current.status.is_final or is_settled
    assert then.details.url == current.details.url or then.status is not current.status
    assert then.next_poll_at is not None
