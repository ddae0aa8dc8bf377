"""The world: timelines, ids and links, with a clock that stands still until told."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.simulator.scenario import FateRule, Scenario
from tracker.simulator.world import Order, OrderError, Translation, World

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SPANISH = Order(("es",))


class FakeClock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def world_with(rule: FateRule, **scenario: float) -> tuple[World, FakeClock]:
    clock = FakeClock()
    full = rule.model_copy(update={"pending_seconds": 10.0, "running_seconds": 20.0})
    return World(Scenario.model_validate({"fates": (full,), **scenario}), clock), clock


def only(world: World, order: Order = SPANISH) -> Translation:
    (translation,) = world.create(order)
    return translation


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_translation_waits_runs_and_succeeds() -> None:
    world, _ = world_with(FateRule(outcome="success"))
    translation = only(world)
    seen = [translation.status(after(second)) for second in (0, 9.9, 10, 29.9, 30, 9999)]
    assert seen == ["pending", "pending", "running", "running", "success", "success"]
    assert translation.message is None


def test_a_failed_one_has_a_reason_and_never_a_url() -> None:
    world, _ = world_with(FateRule(outcome="failed"))
    translation = only(world, Order(("es",), caption=True))
    assert translation.status(after(30)) == "failed"
    assert translation.message
    assert translation.url_at is None
    assert world.link(translation, after(9999)) is None
    assert world.caption_link(translation, after(9999)) is None


def test_a_url_may_come_after_the_success() -> None:
    world, _ = world_with(FateRule(outcome="success", url="later"), url_delay_seconds=5)
    translation = only(world)
    assert translation.status(after(30)) == "success"
    assert world.link(translation, after(34.9)) is None
    assert world.link(translation, after(35)) is not None


def test_the_query_of_a_url_differs_each_time_and_its_path_never() -> None:
    world, _ = world_with(FateRule())
    translation = only(world)
    first, second = (urlsplit(world.link(translation, after(60)) or "") for _ in range(2))
    assert first.path == second.path == f"/video_translate/{translation.video_translate_id}/original.mp4"
    assert first.query != second.query
    assert parse_qs(first.query)["Expires"] == [str(int((after(60) + timedelta(days=7)).timestamp()))]


def test_captions_come_only_when_asked_for() -> None:
    world, _ = world_with(FateRule(outcome="success"))
    without, wanted = only(world), only(world, Order(("es",), caption=True))
    assert world.caption_link(without, after(60)) is None
    assert "/caption.ass?" in (world.caption_link(wanted, after(60)) or "")


def test_an_id_may_be_unknown_at_first() -> None:
    world, _ = world_with(FateRule(), not_found_rate=1, not_found_seconds=4)
    translation = only(world)
    assert [translation.visible(after(second)) for second in (0, 3.9, 4)] == [False, False, True]


def test_one_language_gets_a_bare_id_and_several_share_it() -> None:
    world, _ = world_with(FateRule())
    assert re.fullmatch(r"[0-9a-f]{32}", only(world).video_translate_id)
    several = world.create(Order(("ur_ur-PK", "Spanish (Spain)"), callback_id="both"))
    shared = several[0].video_translate_id[:32]
    assert [one.video_translate_id for one in several] == [f"{shared}-ur_ur-PK", f"{shared}-Spanish_Spain"]
    assert {one.order.callback_id for one in several} == {"both"}


def test_a_language_named_twice_creates_nothing() -> None:
    world, _ = world_with(FateRule())
    with pytest.raises(OrderError, match="twice"):
        world.create(Order(("es", "fr", "es")))
    assert world.all() == []


def test_a_simulator_started_again_gives_other_ids() -> None:
    clock = FakeClock()
    first = only(World(Scenario(), clock))
    clock.now = after(1)
    assert only(World(Scenario(), clock)).video_translate_id != first.video_translate_id


@given(orders=st.lists(st.sets(st.sampled_from(["es", "fr", "de", "ur_ur-PK"]), min_size=1), max_size=8))
def test_ids_are_unique_findable_and_in_order(orders: list[set[str]]) -> None:
    world = World(Scenario(), lambda: NOON)
    made = [one for languages in orders for one in world.create(Order(tuple(languages)))]
    assert world.all() == made
    assert [one.index for one in made] == list(range(len(made)))
    assert all(world.find(one.video_translate_id) is one for one in made)


@given(seconds=st.lists(st.floats(0, 100), min_size=2), seed=st.integers())
def test_a_status_never_goes_back(seconds: list[float], seed: int) -> None:
    translation = only(World(Scenario(seed=seed, failure_rate=0.5), lambda: NOON))
    rank = {"pending": 0, "running": 1, "success": 2, "failed": 2}
    ranks = [rank[translation.status(after(second))] for second in sorted(seconds)]
    assert ranks == sorted(ranks)


@given(running=st.lists(st.floats(0, 100), min_size=1, max_size=20), asked=st.floats(0, 120))
def test_those_that_ended_come_in_the_order_of_their_ends(running: list[float], asked: float) -> None:
    fates = tuple(FateRule(pending_seconds=0, running_seconds=seconds) for seconds in running)
    world = World(Scenario(fates=fates), lambda: NOON)
    made = [only(world) for _ in running]
    ended = world.ended(after(asked))
    assert {one.index for one in ended} == {one.index for one in made if one.finished_at <= after(asked)}
    assert ended == sorted(ended, key=lambda one: (one.finished_at, one.index))
