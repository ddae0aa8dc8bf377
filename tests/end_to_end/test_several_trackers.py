"""Several trackers on one PostgreSQL: killed, paused and limited together."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server

from .processes import Daemon, Simulator, Stage

COUNT = 2_000
SINGLE = 500
TRACKERS = 4
SHORT_LEASES = Path(__file__).with_name("short_leases.py")
QUICK: dict[str, Any] = {"latency_seconds": [0.02, 0.06], "failure_rate": 0.2}
RATE = 30  # requests a second of the whole account
Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    with postgresql.migrated() as name:
        yield name


@pytest.fixture
def ask(postgresql: Server, database: str) -> Ask:
    return partial(postgresql.execute, database=database)


def track(ask: Ask, ids: list[str]) -> None:
    listed = ", ".join(f"('{one}')" for one in ids)
    ask(f"INSERT INTO translations (video_translate_id) VALUES {listed}")


def ended(ask: Ask) -> int:
    [(count,)] = ask("SELECT count(*) FROM translations WHERE finished_at IS NOT NULL")
    return int(count)


def start(stage: Stage, simulator: Simulator, url: str, **more: object) -> Daemon:
    settings = stage.settings(simulator, database_url=url, heygen_api="v2", request_timeout=5, **more)
    return stage.up(stage.launch("tracker", [sys.executable, str(SHORT_LEASES)], settings))


def calls_per_translation(simulator: Simulator, count: int) -> float:
    return simulator.truth().requests.status_total / count


def test_four_trackers_two_of_them_killed_and_one_paused_do_what_one_would(
    stage: Stage, postgresql: Server, database: str, ask: Ask
) -> None:
    single = calls_of_a_single_one(stage, postgresql)
    simulator = stage.simulator(**QUICK)
    ids = simulator.client.create_many(COUNT)
    url = postgresql.url(database)
    trackers = [start(stage, simulator, url, rate_limit=2000) for _ in range(TRACKERS)]
    survivor, paused, *killed = trackers
    track(ask, ids)

    until = survivor.program.until
    until(lambda: ended(ask) > COUNT * 0.1, "a tenth")
    until(lambda: holds_claims(ask, paused), "work in the hands of the one that is paused")
    paused.program.process.send_signal(signal.SIGSTOP)
    for part, one in zip((0.2, 0.3), killed, strict=True):
        until(lambda part=part: ended(ask) > COUNT * part, f"{part:.0%}")  # type: ignore[misc]
        until(lambda one=one: holds_claims(ask, one), "work in its hands")  # type: ignore[misc]
        one.program.kill()
    until_all_ended(survivor, ask)
    before = contents(ask)
    paused.program.process.send_signal(signal.SIGCONT)
    until(lambda: holds_claims(ask, paused) == 0 and is_seen(ask, paused), "the paused one to be back")

    assert contents(ask) == before
    assert right(simulator, ask)
    assert ask("SELECT count(*), count(DISTINCT translation_id) FROM changes") == [(COUNT, COUNT)]
    assert simulator.truth().requests.status_overlaps == 0
    assert calls_per_translation(simulator, COUNT) <= single * 1.02


def calls_of_a_single_one(stage: Stage, postgresql: Server) -> float:
    """How many calls one tracker alone needs for a translation."""
    simulator = stage.simulator(**QUICK)
    with postgresql.migrated() as name:
        ask = partial(postgresql.execute, database=name)
        track(ask, simulator.client.create_many(SINGLE))
        daemon = start(stage, simulator, postgresql.url(name), rate_limit=2000)
        daemon.program.until(lambda: ended(ask) == SINGLE, "all ends")
        daemon.program.terminate()
    return calls_per_translation(simulator, SINGLE)


def holds_claims(ask: Ask, daemon: Daemon) -> int:
    [(count,)] = ask(f"SELECT count(*) FROM translations WHERE claimed_by LIKE '%:{pid(daemon)}'")
    return int(count)


def pid(daemon: Daemon) -> int:
    return daemon.program.process.pid


def is_seen(ask: Ask, daemon: Daemon) -> bool:
    lately = "seen_at > now() - interval '6s'"  # a heartbeat, and something to spare
    return bool(ask(f"SELECT 1 FROM tracker_instances WHERE name LIKE '%:{pid(daemon)}' AND {lately}"))


def until_all_ended(daemon: Daemon, ask: Ask) -> None:
    """What the dead held is taken over when their leases end."""
    daemon.program.until(lambda: ended(ask) == COUNT, "all ends", patience=90)


def contents(ask: Ask) -> list[list[tuple[Any, ...]]]:
    return [ask("SELECT * FROM translations ORDER BY id"), ask("SELECT * FROM changes ORDER BY id")]


def right(simulator: Simulator, ask: Ask) -> bool:
    stored: dict[str, str] = dict(ask("SELECT video_translate_id, status FROM translations"))
    return stored == {one.video_translate_id: one.outcome for one in simulator.truth().translations}


def test_the_rate_limit_and_a_retry_after_hold_for_all_together(
    stage: Stage, postgresql: Server, database: str, ask: Ask
) -> None:
    simulator = stage.simulator(running_seconds=3600)
    track(ask, simulator.client.create_many(300))
    url = postgresql.url(database)
    trackers = [start(stage, simulator, url, rate_limit=RATE) for _ in range(3)]
    first, *_ = trackers
    for one in trackers:
        one.program.until(lambda one=one: "tracker_instances 3.0" in one.get("/metrics").text, "three")  # type: ignore[misc]

    def asked() -> int:
        return simulator.truth().requests.status_total

    began, before = time.monotonic(), asked()
    first.program.until(lambda: asked() >= before + 6 * RATE, "six seconds' worth")
    assert (asked() - before) / (time.monotonic() - began) <= RATE * 1.1

    simulator.client.set_faults("429", retry_after=5)
    for one in trackers:
        one.program.until_event("polling paused")
    refused = simulator.truth().requests.status_by_answer["429"]
    assert refused <= RATE * 1.5  # until the others have heard of it, a second at most
    simulator.client.set_faults(None)
    silent = asked()
    first.program.until(lambda: asked() > silent + 3, "polling to go on")

    told = [one.program.events_named("polling paused") for one in trackers]
    assert sum(line.get("told_by") is None for lines in told for line in lines) >= 1
    for one in trackers:
        one.program.until_event("polling resumed")
