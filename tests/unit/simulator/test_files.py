"""A simulator's files: their bytes, the links to them, and what goes wrong with them."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.links import expires_at
from tracker.simulator.content import BLOCK, KINDS, Content, content_of
from tracker.simulator.file_faults import OF_BODIES, FileFault, FileFaults, Forced, RandomFileFault
from tracker.simulator.links import NUMBERED, Links
from tracker.simulator.scenario import LinkExpiry, Scenario

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:8399"
SHAPES: tuple[LinkExpiry, ...] = get_args(LinkExpiry)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def whole(content: Content) -> bytes:
    return b"".join(content.chunks(0, content.size))


# Bytes


def test_a_file_has_the_same_bytes_each_time_and_no_other_has_them() -> None:
    scenario = Scenario(seed=7)
    files = [content_of(scenario, index, name) for index in range(3) for name in KINDS]
    assert [whole(one) for one in files] == [
        whole(content_of(Scenario(seed=7), index, name)) for index in range(3) for name in KINDS
    ]
    assert len({whole(one) for one in files}) == len({one.etag for one in files}) == len(files)
    assert whole(content_of(Scenario(seed=8), 0, "original.mp4")) != whole(files[0])


@given(index=st.integers(0, 100), first=st.integers(0, 4 * BLOCK), length=st.integers(0, 2 * BLOCK))
def test_a_piece_is_the_piece_of_the_whole(index: int, first: int, length: int) -> None:
    content = content_of(Scenario(file_bytes=(4 * BLOCK, 4 * BLOCK + 9)), index, "original.mp4")
    end = min(first + length, content.size)
    assert b"".join(content.chunks(first, end)) == whole(content)[first:end]


def test_the_size_and_the_digest_are_those_of_the_bytes() -> None:
    for name in KINDS:
        content = content_of(Scenario(file_bytes=(200_000, 300_000)), 4, name)
        assert content.size == len(whole(content))
        assert content.sha256 == hashlib.sha256(whole(content)).hexdigest()
    assert 200_000 <= content_of(Scenario(file_bytes=(200_000, 300_000)), 4, "original.mp4").size <= 300_000


def test_a_file_may_be_empty() -> None:
    content = content_of(Scenario(file_bytes=(0, 0)), 0, "original.mp4")
    assert (content.size, whole(content)) == (0, b"")


# Links


def links(**scenario: object) -> Links:
    one = Links(Scenario.model_validate({"serve_files": True, **scenario}))
    one.base_url = BASE
    return one


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_without_files_links_lead_to_heygens_host() -> None:
    assert (
        links(serve_files=False)
        .sign("abc", "original.mp4", NOON)
        .startswith("https://resource2.heygen.ai/video_translate/abc/original.mp4?Expires=")
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_link_works_for_its_life_and_no_longer(shape: LinkExpiry) -> None:
    one = links(link_expiry=shape, link_life_seconds=100)
    first, second = (one.sign("abc", "original.mp4", NOON) for _ in range(2))
    assert first != second
    assert first.startswith(f"{BASE}/files/abc/original.mp4?")
    for url in (first, second):
        seen = [one.refusal("abc", "original.mp4", query_of(url), after(second)) for second in (0, 99, 100)]
        assert seen == [None, None, "expired"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_link_is_of_one_file_of_one_translation(shape: LinkExpiry) -> None:
    one = links(link_expiry=shape)
    query = query_of(one.sign("abc", "original.mp4", NOON))
    assert one.refusal("abd", "original.mp4", query, NOON) == "unsigned"
    assert one.refusal("abc", "audio.mp3", query, NOON) == "unsigned"
    one.sign("abc", "original.mp4", NOON)
    for name in query.keys() & {"Signature", "signature", "X-Amz-Signature", *NUMBERED}:
        number, slash, rest = query[name].partition("/")
        changed = number[:-1] + ("2" if number[-1] != "2" else "1") + slash + rest
        assert one.refusal("abc", "original.mp4", query | {name: changed}, NOON) == "unsigned"
    assert one.refusal("abc", "original.mp4", {}, NOON) == "unsigned"
    assert one.refusal("abc", "original.mp4", {"v": "v\u0665"}, NOON) == "unsigned"


@pytest.mark.parametrize("shape", ["Expires", "Amz"])
def test_cloudfronts_and_s3s_links_say_until_when(shape: LinkExpiry) -> None:
    url = links(link_expiry=shape, link_life_seconds=3600).sign("abc", "original.mp4", NOON)
    assert expires_at(url, after(-9999)) == after(3600)


def test_a_policy_says_it_in_cloudfronts_base64() -> None:
    url = links(link_expiry="Policy", link_life_seconds=3600).sign("abc", "original.mp4", NOON)
    encoded = query_of(url)["Policy"]
    policy = json.loads(base64.b64decode(encoded.translate(str.maketrans("-_~", "+=/"))))
    [statement] = policy["Statement"]
    assert statement["Resource"] == f"{BASE}/files/abc/original.mp4"
    assert statement["Condition"] == {"DateLessThan": {"AWS:EpochTime": int(after(3600).timestamp())}}


def test_a_link_may_say_nothing() -> None:
    url = links(link_expiry="none").sign("abc", "original.mp4", NOON)
    assert set(query_of(url)) == {"response-content-disposition", "v", "signature"}


def test_revoked_are_the_links_of_before_and_of_whom_it_is_said() -> None:
    one = links()
    mine, others = (one.sign(of, "original.mp4", NOON) for of in ("abc", "abd"))
    one.revoke("abc")
    fresh = one.sign("abc", "original.mp4", NOON)
    assert one.refusal("abc", "original.mp4", query_of(mine), NOON) == "revoked"
    assert one.refusal("abd", "original.mp4", query_of(others), NOON) is None
    assert one.refusal("abc", "original.mp4", query_of(fresh), NOON) is None
    one.revoke(None)
    assert one.refusal("abd", "original.mp4", query_of(others), NOON) == "revoked"
    assert one.refusal("abc", "original.mp4", query_of(fresh), NOON) == "revoked"


def test_links_may_be_revoked_before_their_time() -> None:
    one = links(link_revoked_after_seconds=10)
    query = query_of(one.sign("abc", "original.mp4", NOON))
    assert [one.refusal("abc", "original.mp4", query, after(second)) for second in (9, 10)] == [
        None,
        "revoked",
    ]


# Faults


def test_chance_breaks_as_many_as_the_scenario_says_and_by_the_seed() -> None:
    def drawn(seed: int, rate: float) -> list[FileFault | None]:
        faults = FileFaults(Scenario(seed=seed, file_error_rate=rate))
        return [faults.next(has_body=True).answer for _ in range(200)]

    assert set(drawn(1, 0)) == {None}
    assert set(drawn(1, 1)) == set(get_args(RandomFileFault))
    assert drawn(1, 0.5) == drawn(1, 0.5) != drawn(2, 0.5)
    assert 50 < drawn(1, 0.5).count(None) < 150


def test_so_many_answers_as_are_forced_go_wrong() -> None:
    faults = FileFaults(Scenario())
    faults.force(Forced(answer="500", times=2))
    assert [faults.next(has_body=True).answer for _ in range(4)] == ["500", "500", None, None]
    faults.force(Forced(answer="broken"))
    assert {faults.next(has_body=True).answer for _ in range(9)} == {"broken"}
    faults.force(Forced())
    assert faults.next(has_body=True).answer is None


@pytest.mark.parametrize("fault", sorted(OF_BODIES))
def test_what_happens_to_bodies_spares_a_head_and_waits_for_the_next_get(fault: FileFault) -> None:
    faults = FileFaults(Scenario())
    faults.force(Forced(answer=fault, times=1))
    assert [faults.next(has_body=has).answer for has in (False, True, True)] == [None, fault, None]


def test_a_head_is_spared_what_chance_does_to_bodies() -> None:
    faults = FileFaults(Scenario(file_error_rate=1))
    assert {faults.next(has_body=False).answer for _ in range(200)} == {
        None,
        *(set(get_args(RandomFileFault)) - OF_BODIES),
    }
