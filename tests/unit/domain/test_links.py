"""Links: until when they work, when they are renewed, and whether they lead elsewhere."""

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, URL, after
from tracker.domain.links import LinkKind, Move, address, expires_at, moved, renewal
from tracker.domain.observation import Details
from tracker.domain.translation import Translation

IN_A_WEEK = after(days=7)


def with_policy(policy: object) -> str:
    """A url as CloudFront signs it with a custom policy."""
    text = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
    encoded = base64.b64encode(text).decode().translate(str.maketrans("+=/", "-_~"))
    return f"{URL}?Policy={encoded}&Signature=abc-_~&Key-Pair-Id=K"


def ending(at: object) -> dict[str, object]:
    return {"Statement": [{"Resource": "https://*", "Condition": {"DateLessThan": {"AWS:EpochTime": at}}}]}


def test_a_url_without_an_expiry_works_for_seven_days_after_it_was_fetched() -> None:
    assert expires_at(URL, NOON) == IN_A_WEEK
    assert expires_at(f"{URL}?response-content-disposition=attachment", NOON) == IN_A_WEEK


def test_cloudfront_says_when_in_unix_seconds() -> None:
    url = f"{URL}?Expires=1795435200&Signature=abc&Key-Pair-Id=K"
    assert expires_at(url, NOON) == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_cloudfront_says_when_in_a_policy() -> None:
    for at in [1795435200, "1795435200", 1795435200.5]:
        assert expires_at(with_policy(ending(at)), after(days=-1)) == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_alphabet_of_a_policy_is_cloudfronts_own() -> None:
    policy = ending(1795435200) | {"Comment": "?>?>~~~ÿÿÿ"}
    url = with_policy(json.dumps(policy, ensure_ascii=False).encode())
    assert {"-", "_", "~"} & set(url.partition("Policy=")[2].partition("&")[0])
    assert expires_at(url, after(days=-1)) == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_policy_that_cannot_be_read_says_nothing() -> None:
    policies: list[object] = [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        {},
        [],
        None,
        {"Statement": []},
        {"Statement": "x"},
        {"Statement": [{"Condition": {"DateGreaterThan": {"AWS:EpochTime": 1795435200}}}]},
        ending("soon"),
        ending(None),
        ending([1795435200]),
        ending(10**30),
        ending(float("nan")),
    ]
    for policy in policies:
        assert expires_at(with_policy(policy), NOON) == IN_A_WEEK


def test_a_policy_that_is_no_base64_says_nothing() -> None:
    for policy in ["a", "%25%25%25", "e30", "é"]:
        assert expires_at(f"{URL}?Policy={policy}", NOON) == IN_A_WEEK


def test_where_the_one_cannot_be_read_the_other_is() -> None:
    url = with_policy(ending(1795435200)) + "&Expires=soon"
    assert expires_at(url, after(days=-1)) == NOON
    assert expires_at(f"{URL}?Expires=0&X-Amz-Date=20261123T120000Z&X-Amz-Expires=3600", NOON) == after(3600)


def test_a_link_may_have_ended_before_it_was_learnt_and_live_for_a_year() -> None:
    for days in [-30, -8, -0.1, 0, 0.5, 7, 366]:
        end = after(days=days)
        assert expires_at(f"{URL}?Expires={int(end.timestamp())}", NOON) == end


def test_an_absurd_end_says_nothing() -> None:
    for days in [-31, 367]:
        for seconds in [0, 1, -1795435200, 1795435200_000]:
            assert expires_at(f"{URL}?Expires={seconds}", NOON) == IN_A_WEEK
            assert expires_at(f"{URL}?Expires={int(after(days=days).timestamp())}", NOON) == IN_A_WEEK


def test_s3_says_when_it_was_signed_and_for_how_long() -> None:
    assert expires_at(f"{URL}?X-Amz-Date=20261123T120000Z&X-Amz-Expires=3600", NOON) == after(3600)


def test_nonsense_counts_as_nothing_said() -> None:
    for query in [
        "Expires=soon",
        "Expires=",
        "Expires=99999999999999999999",
        "Expires=" + "9" * 5000,
        "X-Amz-Date=20261123T120000Z",
        "X-Amz-Expires=3600",
        "X-Amz-Date=yesterday&X-Amz-Expires=3600",
        "X-Amz-Date=20261123T120000Z&X-Amz-Expires=forever",
        "X-Amz-Date=99991231T235959Z&X-Amz-Expires=604800",
    ]:
        assert expires_at(f"{URL}?{query}", NOON) == IN_A_WEEK


def test_a_url_that_is_none_works_for_seven_days_too() -> None:
    assert expires_at("https://[broken?Expires=1795435200", NOON) == IN_A_WEEK


@given(st.text() | st.builds("{}?Expires={}".format, st.just(URL), st.integers() | st.text()))
def test_whatever_the_url_says_there_is_an_aware_answer(url: str) -> None:
    assert expires_at(url, NOON).tzinfo is UTC


def test_each_kind_has_its_columns() -> None:
    for kind in LinkKind:
        assert kind.column in Details.__dataclass_fields__
        assert kind.expiry_column in Translation.__dataclass_fields__


def test_an_address_holds_nothing_that_opens_the_file() -> None:
    for url, where in [
        ("https://files.example/a/b.mp4?Expires=1&Signature=s#t", "https://files.example/a/b.mp4"),
        ("HTTPS://Files.Example:8443/A.mp4", "https://files.example:8443/A.mp4"),
        ("https://user:word@files.example/a.mp4", "https://files.example/a.mp4"),
        ("https://files.example/a@b.mp4", "https://files.example/a@b.mp4"),
        ("https://files.example?x=/y", "https://files.example"),
        ("https://[broken?x", "https://[broken"),
        ("nonsense?x", "nonsense"),
    ]:
        assert address(url) == where


def test_another_query_leads_to_the_same_file() -> None:
    assert moved(LinkKind.VIDEO, f"{URL}?Expires=1", f"{URL}?Expires=2&Signature=s") is None
    assert moved(LinkKind.VIDEO, None, URL) is None
    assert moved(LinkKind.VIDEO, URL, None) is None


def test_another_path_host_or_scheme_is_a_move() -> None:
    for other in [f"{URL}.mov", URL.replace("https", "http"), URL.replace("resource2", "resource3")]:
        assert moved(LinkKind.SRT, f"{URL}?a=1", f"{other}?b=2") == Move(LinkKind.SRT, URL, other)


def test_links_are_renewed_a_day_before_the_first_of_them_ends() -> None:
    assert renewal([after(days=7), None, after(days=6)], NOON) == after(days=5)


def test_without_a_link_nothing_is_renewed() -> None:
    assert renewal([], NOON) is None
    assert renewal([None, None], NOON) is None


def test_where_the_end_is_near_or_over_half_of_that_is_waited() -> None:
    for hours_left, hours in [(36, 18), (30, 15), (24, 12), (1, 0.5), (0, 1 / 6), (-0.1, 1 / 6), (-48, 24)]:
        assert renewal([after(hours=hours_left)], NOON) == after(hours=hours)


def test_a_link_that_nobody_renews_is_asked_for_ever_more_seldom() -> None:
    """Nine times before it ends, 21 times within the first month after it, and then once a week."""
    end = after(days=7)
    times = [NOON]
    while times[-1] < after(days=100):
        due = renewal([end], times[-1])
        assert due is not None
        times.append(due)
    waits = [later - earlier for earlier, later in pairwise(times)]

    assert len([time for time in times if NOON < time <= end]) == 9
    assert len([time for time in times if end < time <= end + timedelta(days=30)]) == 21
    assert waits[-1] == timedelta(days=7)
    assert min(waits) >= timedelta(minutes=10)


SOME_TIME = st.integers(-400, 400).map(lambda hours: after(hours=hours))


@given(st.lists(st.none() | SOME_TIME), SOME_TIME)
def test_a_renewal_is_never_at_once_and_never_given_up(ends: list[datetime | None], at: datetime) -> None:
    due = renewal(ends, at)
    assert (due is None) == (not any(ends))
    assert due is None or due >= at + timedelta(minutes=10)
