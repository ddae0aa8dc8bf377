"""What nobody told us: ends that the event log, the list and polls find after a silence."""

import json
from datetime import UTC, datetime, timedelta

from .processes import SECRET, Row, Stage, address_of
from .truths import check_invariants, ends_by_translation, is_right

SOON = 60.0  # seconds that only a jump of the simulator's clock brings about
SLOW = {"poll_min_interval": 30, "poll_max_interval": 60}  # so that the log is quicker than any poll


def test_what_ended_while_the_daemon_was_dead_is_found_in_few_calls_and_once(stage: Stage) -> None:
    unlogged = [{"webhook": "lost"}] * 20  # HeyGen's log has what it delivered, or tried to
    simulator = stage.simulator(
        fates=unlogged, running_seconds=SOON, failure_rate=0.2, webhook_retries=0, event_log_complete=False
    )
    daemon = stage.daemon(simulator, heygen_api="v3", **SLOW)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    ids = simulator.client.create_many(200)
    stage.database.track(ids)
    running = "SELECT id FROM translations WHERE status = 'running'"
    daemon.program.until(lambda: len(stage.database.query(running)) == 200, "the first poll of each")
    daemon.program.until_event("caught up")
    daemon.program.kill()

    simulator.client.advance(SOON)
    earlier = (
        f"datetime(last_polled_at, '-{SOON:g} seconds') || '.000000'"  # for tracker, too, that time is over
    )
    stage.database.execute(f"UPDATE translations SET last_polled_at = {earlier}", [()])

    def all_in_vain() -> bool:
        deliveries = [one for each in simulator.truth().translations for one in each.deliveries]
        return len(deliveries) == 200 and {one.state for one in deliveries} == {"gave_up", "lost"}

    simulator.program.until(all_in_vain, "every webhook to be lost at the closed port")
    pages = simulator.truth().requests.by_route["v3.events"]

    place = {"listen": address_of(daemon.public)}
    again = stage.daemon(simulator, heygen_api="v3", **SLOW, **place)
    again.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_invariants(stage.database)
    ends = ends_by_translation(stage.database)
    assert {name: ends[name] for name in ids} == {
        name: ["poll" if number < len(unlogged) else "event_log"] for number, name in enumerate(ids)
    }
    asked = simulator.truth().requests.by_route
    assert asked["v3.events"] - pages <= 4  # 180 events, 100 a page, and whatever a second look costs
    changes = stage.database.query("SELECT * FROM changes ORDER BY id")
    assert again.program.terminate() == 0

    third = stage.daemon(simulator, heygen_api="v3", **SLOW, **place)
    assert third.program.until_event("caught up")["changed"] == 0
    assert stage.database.query("SELECT * FROM changes ORDER BY id") == changes
    assert simulator.truth().requests.by_route["v3.events"] - asked["v3.events"] <= 4


def test_sweeps_adopt_bind_and_follow_what_nobody_registered(stage: Stage) -> None:
    simulator = stage.simulator(
        fates=[{"running_seconds": SOON}] * 5, webhook_lost=1.0, failure_rate=0.2, event_log_complete=False
    )
    settings = stage.settings(
        simulator, heygen_api="v3", discover_interval=60, discover_adopt="all", poll_min_interval=0.3
    )
    stage.done("migrate", **settings)
    stage.database.execute("INSERT INTO translations (callback_id) VALUES (?)", [["order-7"]])
    ids = simulator.client.create_many(150, callback_id_prefix="order-")

    daemon = stage.up(stage.start("tracker", "run", **settings))
    assert daemon.program.until_event("discovery ended")["new"] == 149
    simulator.client.advance(SOON)
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    bound = stage.database.row(ids[7])
    assert (bound["id"], bound["callback_id"]) == (1, "order-7")  # the row that had only that
    assert len(stage.database.statuses()) == 150
    check_invariants(stage.database)
    assert daemon.program.terminate() == 0

    [late] = simulator.client.create_many(1)
    _age_last_sweep(stage, timedelta(seconds=50))
    early = stage.up(stage.start("tracker", "run", **settings))
    early.program.until_event("caught up")
    assert early.program.terminate() == 0
    assert early.program.events_named("discovery ended") == []
    _age_last_sweep(stage, timedelta(seconds=11))
    last = stage.up(stage.start("tracker", "run", **settings))
    last.program.until(lambda: is_right(stage.database, simulator.truth()), "the late one to be right")
    assert last.program.until_event("discovery ended")["new"] == 1
    assert stage.database.row(late)["status"] == simulator.truth().of(late).status
    check_invariants(stage.database)


def _age_last_sweep(stage: Stage, seconds: timedelta) -> None:
    """As if so much time had gone by since."""
    [found] = stage.database.query("SELECT value FROM tracker_state WHERE name = 'discovery'")
    known: Row = json.loads(found["value"])
    moved = datetime.fromisoformat(known["completed_at"]) - seconds
    known["completed_at"] = moved.astimezone(UTC).isoformat()
    stage.database.execute(
        "UPDATE tracker_state SET value = ? WHERE name = 'discovery'", [[json.dumps(known)]]
    )
