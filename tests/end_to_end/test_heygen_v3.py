"""HeyGen's v3 beside v2: the account that moves in mid-run, bulk polling, and a key that knows nothing."""

import pytest

from tracker.simulator.scenario import RetiredAnswer

from .processes import Daemon, Stage
from .truths import check_invariants, is_right, wrong_rows

FAR = 1000.0  # seconds that only a jump of the simulator's clock brings about
BULK_POLLS = 4  # of each translation


@pytest.mark.parametrize(
    "answer",
    ["410", "html", *(pytest.param(one, marks=pytest.mark.long) for one in ("404", "405", "redirect"))],
)
def test_v2_retires_in_mid_run_and_nobody_notices_but_the_log(stage: Stage, answer: RetiredAnswer) -> None:
    before = [{"running_seconds": 0.0}] * 10
    after = [{"running_seconds": FAR}] * 20
    simulator = stage.simulator(fates=before + after, webhook_lost=1.0, failure_rate=0.3)
    daemon = stage.daemon(simulator, heygen_api="auto")
    ids = simulator.client.create_many(30)
    stage.database.track(ids)
    ended = "SELECT id FROM translations WHERE status IN ('success', 'failed') AND next_poll_at IS NULL"
    daemon.program.until(lambda: len(stage.database.query(ended)) == 10, "what ends while v2 speaks")
    assert daemon.ready()["poller"]["heygen_api"] == "v2"

    simulator.client.set_retirement(v2=answer)
    daemon.program.until_event("heygen api switched")
    simulator.client.advance(FAR)
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_moved(stage, daemon)
    versions = {row["video_translate_id"]: row["api_version"] for row in _rows(stage)}
    assert [versions[one] for one in ids] == ["v2"] * 10 + ["v3"] * 20
    assert daemon.program.terminate() == 0

    asked_v2 = simulator.truth().requests.by_route["v2.status"]
    again = stage.daemon(simulator, heygen_api="auto")
    stage.database.track(simulator.client.create_many(1))
    again.program.until(lambda: is_right(stage.database, simulator.truth()), "the new row to be right")
    assert again.ready()["poller"]["heygen_api"] == "v3"
    assert again.program.events_named("heygen api switched") == []
    assert simulator.truth().requests.by_route["v2.status"] == asked_v2


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_v2_that_finds_nothing_any_more_is_left_for_v3(stage: Stage, status: int) -> None:
    simulator = stage.simulator(
        running_seconds=FAR, webhook_lost=1.0, failure_rate=0.3, unknown_id_http_status=status
    )
    ids = simulator.client.create_many(6)
    simulator.client.set_retirement(v2="not_found")
    daemon = stage.daemon(simulator, heygen_api="auto")
    stage.database.track(ids)

    def all_run() -> bool:
        return set(stage.database.statuses().values()) == {"running"}

    daemon.program.until(all_run, "what runs to be running")
    simulator.client.advance(FAR)
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_moved(stage, daemon)
    assert daemon.program.terminate() == 0

    asked_v2 = simulator.truth().requests.by_route["v2.status"]
    again = stage.daemon(simulator, heygen_api="auto")
    stage.database.track(simulator.client.create_many(1))
    simulator.client.advance(FAR)
    again.program.until(lambda: is_right(stage.database, simulator.truth()), "the new row to be right")
    assert again.ready()["poller"]["heygen_api"] == "v3"
    assert simulator.truth().requests.by_route["v2.status"] == asked_v2 <= 2 * len(ids)


def test_a_v3_that_finds_nothing_any_more_is_left_for_v2(stage: Stage) -> None:
    simulator = stage.simulator(running_seconds=FAR, webhook_lost=1.0, failure_rate=0.3)
    ids = simulator.client.create_many(6)
    simulator.client.set_retirement(v2="410")
    daemon = stage.daemon(simulator, heygen_api="auto")
    stage.database.track(ids)
    daemon.program.until_event("heygen api switched")
    assert daemon.program.terminate() == 0

    simulator.client.set_retirement(v2=None, v3="not_found")
    again = stage.daemon(simulator, heygen_api="auto")
    moved = again.program.until_event("heygen api switched")
    assert (moved["before"], moved["now"]) == ("v3", "v2")
    simulator.client.advance(FAR)
    again.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    assert again.ready()["poller"]["heygen_api"] == "v2"
    assert again.program.events_named("HeyGen knows none of the translations") == []
    assert [row for row in _rows(stage) if row["attention"] is not None] == []
    check_invariants(stage.database)


def check_moved(stage: Stage, daemon: Daemon) -> None:
    """It is visible everywhere, told once, and no translation was hurt by it."""
    assert daemon.ready()["poller"]["heygen_api"] == "v3"
    assert 'tracker_heygen_api{version="v3"} 1.0' in daemon.get("/metrics").text
    [switched] = daemon.program.events_named("heygen api switched")
    assert (switched["level"], switched["before"], switched["now"]) == ("warning", "v2", "v3")
    assert [row for row in _rows(stage) if row["attention"] is not None] == []
    check_invariants(stage.database)


def _rows(stage: Stage) -> list[dict[str, object]]:
    return stage.database.query("SELECT * FROM translations")


def test_three_hundred_come_right_by_bulk_questions_through_random_errors(stage: Stage) -> None:
    simulator = stage.simulator(
        seed=12,  # draws every kind of fault, but few of those that take seconds
        running_seconds=FAR,
        webhook_lost=1.0,
        failure_rate=0.2,
        error_rate=0.03,
        hang_seconds=3,
    )
    daemon = stage.daemon(simulator, heygen_api="v3", request_timeout=0.5)
    ids = simulator.client.create_many(300)
    stage.database.track(ids)

    def often_asked() -> bool:
        return simulator.truth().requests.statuses_ids_total >= BULK_POLLS * len(ids)

    daemon.program.until(often_asked, "a few polls of each")
    simulator.client.advance(FAR)
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_invariants(stage.database)
    asked = simulator.truth().requests
    polls = asked.statuses_ids_total
    assert asked.by_route["v3.statuses"] <= polls / 20, asked.by_route
    answered_alone = asked.answers_by_route["v3.status"]["ok"]
    assert answered_alone <= len(ids) * 1.1  # one for each that ended, and for none before
    calls = asked.by_route["v3.statuses"] + asked.by_route["v3.status"]
    assert calls < polls / 3, asked.by_route
    assert "v2.status" not in asked.by_route
    met = asked.answers_by_route["v3.status"].keys() | asked.answers_by_route["v3.statuses"].keys()
    assert len(met - {"ok"}) >= 4, met


@pytest.mark.parametrize("api", ["auto", "v3"])
def test_the_key_of_another_account_is_told_once_and_fails_nothing(stage: Stage, api: str) -> None:
    simulator = stage.simulator()
    daemon = stage.daemon(simulator, heygen_api=api)
    strangers = [f"{number:032x}-es" for number in range(8)]
    stage.database.track(strangers)

    told = daemon.program.until_event("HeyGen knows none of the translations")
    assert (told["level"], "TRACKER_HEYGEN_API_KEY" in told["advice"]) == ("error", True)

    def asked_alone_again() -> bool:
        by_id = simulator.truth().requests.status_by_id
        return min(by_id.get(one, 0) for one in strangers) >= 2

    daemon.program.until(asked_alone_again, "two more questions about each")
    ready = daemon.ready()
    assert "another account" in ready["poller"]["account"]
    assert (ready["status"], ready["poller"]["state"]) == ("ready", "polling")
    assert set(stage.database.statuses().values()) == {"pending"}
    assert stage.database.query("SELECT * FROM changes") == []
    assert len(daemon.program.events_named("HeyGen knows none of the translations")) == 1
    assert daemon.program.events_named("heygen api switched") == []

    stage.database.track(simulator.client.create_many(1))
    daemon.program.until_event("HeyGen knows translations again")
    # Not for long: the known translation is polled no more once it has ended, and the strangers still are.
    daemon.until_ready(lambda ready: "account" not in ready["poller"], "no word of another account")
    daemon.program.until(lambda: wrong_rows(stage.database, simulator.truth()) == {}, "the known one")
    check_invariants(stage.database)
