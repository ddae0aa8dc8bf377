"""`tracker discover`: HeyGen's own list, bound and adopted."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

from .conftest import Program, Ran

KEY = "simulator-key"
PLAIN = {"not_reached": None, "failed": 0}


def discover(
    tracker: Program, simulator: SimulatorClient, *arguments: str, key: str = KEY, **settings: object
) -> Ran:
    given = {"heygen_base_url": simulator.base_url, "heygen_api_key": key, "rate_limit": 200, **settings}
    return tracker("discover", *arguments, stdin=b"", **given)


@pytest.fixture
def big(simulator: SimulatorClient) -> SimulatorClient:
    """An account with 250 translations that have ended."""
    simulator.create_many(250, callback_id_prefix="order-")
    return simulator


def test_nobody_is_adopted_unless_it_is_wanted(migrated: Program, simulator: SimulatorClient) -> None:
    [mine] = simulator.create("es", callback_id="order-1")
    simulator.create(["de", "fr"])
    migrated.track(mine)
    ran = discover(migrated, simulator, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"listed": 3, "new": 0, "bound": 0, "changed": 1, **PLAIN}
    assert migrated.query("SELECT video_translate_id, status, callback_id FROM translations") == [
        {"video_translate_id": mine, "status": "success", "callback_id": "order-1"}
    ]
    assert [row["source"] for row in migrated.query("SELECT source FROM changes")] == ["list"]


def test_rows_with_a_callback_id_alone_are_bound(migrated: Program, simulator: SimulatorClient) -> None:
    [mine] = simulator.create("es", callback_id="order-1")
    migrated("add", "--callback-id", "order-1")
    assert discover(migrated, simulator, "--json").json == {
        "listed": 1,
        "new": 0,
        "bound": 1,
        "changed": 1,
        **PLAIN,
    }
    assert migrated.tracked() == [(mine, "order-1", None)]


def test_the_flag_and_the_setting_say_who_is_adopted(migrated: Program, simulator: SimulatorClient) -> None:
    [mine] = simulator.create("es", callback_id="order-1")
    [other] = simulator.create("es", callback_id="x")
    ran = discover(migrated, simulator, "--adopt", "prefix:order-")
    assert ran.code == 0
    assert ran.out.split() == [
        *("listed", "new", "bound", "changed", "failed", "adopt"),
        *("2", "1", "0", "1", "0", "prefix:order-"),
    ]
    assert [row[0] for row in migrated.tracked()] == [mine]
    assert discover(migrated, simulator, "--json", discover_adopt="all").json["new"] == 1
    assert [row[0] for row in migrated.tracked()] == [mine, other]


def test_all_pages_are_read_and_a_second_time_changes_nothing(
    migrated: Program, big: SimulatorClient
) -> None:
    assert discover(migrated, big, "--adopt", "all", "--json").json == {
        "listed": 250,
        "new": 250,
        "bound": 0,
        "changed": 250,
        **PLAIN,
    }
    assert discover(migrated, big, "--adopt", "all", "--json").json == {
        "listed": 250,
        "new": 0,
        "bound": 0,
        "changed": 0,
        **PLAIN,
    }
    assert big.truth().requests.by_route["v3.list"] == 6
    assert migrated.query("SELECT count(*) AS n FROM changes") == [{"n": 250}]


@pytest.mark.parametrize("order", ["oldest", "shuffled"])
def test_the_order_of_the_list_does_not_matter(migrated: Program, big: SimulatorClient, order: str) -> None:
    big.set_oddities(list_order=order)
    assert discover(migrated, big, "--adopt", "all", "--json").json["new"] == 250


def test_absent_keys_are_no_trouble(migrated: Program, simulator: SimulatorClient) -> None:
    simulator.create("es")
    simulator.set_oddities(list_absent_keys=True)
    assert discover(migrated, simulator, "--adopt", "all", "--json").json["changed"] == 1
    [row] = migrated.query("SELECT status, attention FROM translations")
    assert row == {"status": "success", "attention": "url_missing"}  # until it was polled


@pytest.mark.parametrize(
    ("oddity", "why"),
    [
        ({"list_endless": True}, "had nothing new"),
        ({"list_repeat_token": True}, "repeats the token"),
        ({"list_empty_token": "null"}, "promises another page but names no token"),
        ({"list_empty_token": "empty"}, "promises another page but names no token"),
    ],
)
def test_a_list_that_does_not_end_well_is_read_as_far_as_it_goes(
    migrated: Program, simulator: SimulatorClient, oddity: dict[str, object], why: str
) -> None:
    simulator.create(["es", "de"])
    simulator.set_oddities(**oddity)
    ran = discover(migrated, simulator, "--adopt", "all", "--json")
    assert ran.code == 1
    assert ran.json["new"] == 2
    assert why in ran.json["not_reached"]
    assert why in ran.err
    assert simulator.truth().requests.by_route["v3.list"] < 10


@pytest.mark.parametrize("fault", ["500", "html", "truncated", "429", "unauthorized", "quota"])
def test_trouble_is_told_and_nothing_is_lost(
    migrated: Program, simulator: SimulatorClient, fault: str
) -> None:
    [one] = simulator.create("es")
    migrated.track(one)
    simulator.set_faults(fault, routes=["list"])  # type: ignore[arg-type]
    ran = discover(migrated, simulator, "--json")
    assert ran.code == 1
    assert ran.json["listed"] == 0
    assert ran.json["not_reached"].startswith("the list: ")
    assert "error: not reached: the list: " in ran.err
    assert KEY not in ran.err + ran.out
    simulator.set_faults(None)
    assert discover(migrated, simulator, "--json").json["changed"] == 1


def test_a_wrong_key_is_an_error(migrated: Program, simulator: SimulatorClient) -> None:
    ran = discover(migrated, simulator, key="wrong-key")
    assert ran.code == 1
    assert "HTTP 401" in ran.err
    assert "wrong-key" not in ran.err


@pytest.mark.parametrize("answer", ["404", "405", "410", "redirect", "html"])
def test_an_account_without_v3_is_told_so(migrated: Program, simulator: SimulatorClient, answer: str) -> None:
    simulator.set_retirement(v3=answer)  # type: ignore[arg-type]
    ran = discover(migrated, simulator)
    assert ran.code == 1
    assert "HeyGen has no /v3/video-translations for this account" in ran.err


def test_v2_has_no_list(migrated: Program, simulator: SimulatorClient) -> None:
    ran = discover(migrated, simulator, heygen_api="v2")
    assert ran.code == 2
    assert "TRACKER_HEYGEN_API: is v2, which has no list of translations" in ran.err


def test_without_a_key_nothing_can_be_asked(migrated: Program) -> None:
    ran = migrated("discover")
    assert ran.code == 2
    assert "TRACKER_HEYGEN_API_KEY: is required to discover" in ran.err


@pytest.mark.parametrize("adopt", ["", "some", "prefix:"])
def test_an_unknown_policy_is_refused(migrated: Program, simulator: SimulatorClient, adopt: str) -> None:
    ran = discover(migrated, simulator, "--adopt", adopt)
    assert ran.code == 2
    assert "--adopt: is neither none, all, nor prefix:TEXT; example: --adopt prefix:order-" in " ".join(
        ran.err.split()
    )


def test_an_empty_account_is_said_to_be_one(migrated: Program, simulator: SimulatorClient) -> None:
    ran = discover(migrated, simulator)
    assert ran.code == 0
    assert "HeyGen lists no translations for this account" in ran.out


def test_a_row_that_the_database_refuses_is_counted(migrated: Program, simulator: SimulatorClient) -> None:
    good, bad = simulator.create(["es", "de"])
    migrated.execute(
        "CREATE TRIGGER poison BEFORE INSERT ON translations "
        f"WHEN NEW.video_translate_id = '{bad}' BEGIN SELECT RAISE(ABORT, 'poison'); END"
    )
    ran = discover(migrated, simulator, "--adopt", "all", "--json")
    assert ran.code == 1
    assert (ran.json["listed"], ran.json["new"], ran.json["failed"]) == (2, 1, 1)
    assert "1 listed translations could not be read or stored" in ran.err
    assert [row[0] for row in migrated.tracked()] == [good]


@pytest.fixture
def failing_in_the_middle() -> Iterator[SimulatorClient]:
    """Its API breaks off after some answers."""
    scenario = Scenario(
        pending_seconds=(0, 0), running_seconds=(0, 0), error_rate=0.5, seed=3, hang_seconds=0
    )
    with running(create_app(scenario)) as url, SimulatorClient(url) as client:
        client.create_many(500)
        yield client


def test_an_interrupted_run_is_taken_up_until_all_is_read(
    migrated: Program, failing_in_the_middle: SimulatorClient
) -> None:
    ran = discover(migrated, failing_in_the_middle, "--adopt", "all", "--json", request_timeout=2)
    runs = 1
    while ran.code == 1 and runs < 40:
        assert ran.json["not_reached"]
        ran = discover(migrated, failing_in_the_middle, "--adopt", "all", "--json", request_timeout=2)
        runs += 1
    assert ran.code == 0
    assert runs > 1
    assert migrated.query("SELECT count(*) AS n FROM translations") == [{"n": 500}]


def test_what_an_interrupted_run_passed_by_is_adopted_by_the_next_that_adopts(
    migrated: Program, big: SimulatorClient
) -> None:
    migrated.execute("DELETE FROM tracker_state")
    assert discover(migrated, big, "--json").json["new"] == 0
    [[state]] = [
        row.values() for row in migrated.query("SELECT value FROM tracker_state WHERE name = 'discovery'")
    ]
    interrupted = {
        "token": big._ask("GET", "/v3/video-translations?limit=100")["next_token"],
        "began_at": (datetime.now(UTC) + timedelta(hours=3)).isoformat(),  # as if all were older than the run
    }
    progress = {**json.loads(str(state)), **interrupted}
    migrated.execute("UPDATE tracker_state SET value = ? WHERE name = 'discovery'", json.dumps(progress))
    assert discover(migrated, big, "--adopt", "all", "--json").json["new"] == 250


def test_restart_begins_at_the_front(migrated: Program, big: SimulatorClient) -> None:
    discover(migrated, big, "--adopt", "all")
    migrated.execute(
        """UPDATE tracker_state SET value = '{"token": "gone", "began_at": "2026-01-01T00:00:00Z"}'"""
    )
    assert discover(migrated, big, "--restart", "--json").json["listed"] == 250
