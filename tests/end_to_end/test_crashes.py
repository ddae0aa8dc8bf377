"""Stopped and killed in the middle of everything: nothing that was answered is lost, and all ends right."""

import json
from collections.abc import Iterable

import pytest

from tracker.simulator.truth import Truth

from .processes import Daemon, Database, Simulator, Stage, address_of
from .senders import Burst, event_of
from .truths import FINAL, check_invariants, ends_by_translation, is_right

LANGUAGES = [f"language-{number}" for number in range(30)]


def made(simulator: Simulator, requests: int) -> Truth:
    """So many translations by 30, all of which have ended."""
    for _ in range(requests):
        simulator.client.create(LANGUAGES)
    return simulator.truth()


def events_of(truth: Truth) -> list[bytes]:
    return [event_of(one) for one in truth.translations]


def check_stored(database: Database, answered: Iterable[bytes]) -> None:
    """What was answered 2xx is in the database, together with its effect."""
    bodies = {row["body"] for row in database.query("SELECT body FROM delivery_bodies")}
    statuses = database.statuses()
    for body in answered:
        assert body in bodies
        event = json.loads(body)
        end = "success" if event["event_type"].endswith("success") else "failed"
        assert statuses[event["event_data"]["video_translate_id"]] == end


def same_place(daemon: Daemon) -> dict[str, object]:
    """A restarted service keeps its address."""
    return {"listen": address_of(daemon.public)}


def test_a_stop_in_the_middle_of_webhooks_and_polls_loses_nothing(stage: Stage) -> None:
    simulator = stage.simulator(failure_rate=0.3, latency_seconds=[0.1, 0.3])
    truth = made(simulator, 10)
    daemon = stage.daemon(simulator, concurrency=25)
    stage.database.track([one.video_translate_id for one in truth.translations])
    daemon.program.until(lambda: simulator.truth().requests.status_total >= 5, "polls under way")

    burst = Burst(daemon.webhooks, events_of(truth))
    burst.until_stored(60)
    assert daemon.program.terminate(patience=10) == 0
    burst.end()

    assert daemon.program.events[-1]["event"] == "stopped"
    assert burst.refused, "the stop came too late to be in the middle"
    assert {code for _, code in burst.refused} <= {None, 503}
    check_stored(stage.database, burst.stored)
    check_invariants(stage.database)
    assert stage.database.query("SELECT claimed_by FROM translations WHERE claimed_by IS NOT NULL") == []
    polled = stage.database.query("SELECT count(*) AS polls FROM translations WHERE poll_count > 0")
    assert polled[0]["polls"] >= 1

    again = stage.daemon(simulator, concurrency=25)
    again.program.until(lambda: is_right(stage.database, truth), "all rows to be right")
    check_invariants(stage.database)
    assert {len(ends) for ends in ends_by_translation(stage.database).values()} == {1}
    assert again.program.terminate() == 0


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.long)])
def test_kills_in_the_middle_of_webhooks_lose_nothing_that_was_answered(stage: Stage, kills: int) -> None:
    simulator = stage.simulator(failure_rate=0.3)
    truth = made(simulator, kills * 2)
    events = events_of(truth)
    answered: set[bytes] = set()
    place: dict[str, object] = {}
    for round_ in range(kills):
        daemon = stage.daemon(simulator, **place)
        place = same_place(daemon)
        waiting = [body for body in events[: 60 * (round_ + 1)] if body not in answered]  # HeyGen comes again
        burst = Burst(daemon.webhooks, waiting)
        burst.until_stored(20)
        daemon.program.kill()
        burst.end()
        answered |= set(burst.stored)
        check_stored(stage.database, answered)
        check_invariants(stage.database)

    last = stage.daemon(simulator, **place)
    burst = Burst(last.webhooks, [body for body in events if body not in answered])
    burst.end()
    assert burst.refused == []
    last.program.until(lambda: is_right(stage.database, truth), "all rows to be right")
    check_stored(stage.database, events)
    check_invariants(stage.database)
    assert {len(ends) for ends in ends_by_translation(stage.database).values()} == {1}
    assert last.program.terminate() == 0


def test_what_a_killed_poller_held_is_polled_right_after_the_restart(stage: Stage) -> None:
    simulator = stage.simulator(failure_rate=0.3, latency_seconds=[0.2, 0.4])
    truth = made(simulator, 1)
    daemon = stage.daemon(simulator)
    stage.database.track([one.video_translate_id for one in truth.translations])
    held = "SELECT id FROM translations WHERE claimed_by IS NOT NULL"
    daemon.program.until(lambda: stage.database.query(held), "polls under way")
    daemon.program.kill()
    assert stage.database.query(held)
    check_invariants(stage.database)

    again = stage.daemon(simulator)
    again.program.until(lambda: is_right(stage.database, truth), "all rows to be right")
    check_invariants(stage.database)
    assert set(stage.database.statuses().values()) == set(FINAL)
