"""`tracker poll`: once, now, and just as the daemon does."""

from tracker.simulator.remote import SimulatorClient

from .conftest import Program, Ran

KEY = "simulator-key"


def poll(tracker: Program, simulator: SimulatorClient, *arguments: str, key: str = KEY) -> Ran:
    return tracker("poll", *arguments, heygen_base_url=simulator.base_url, heygen_api_key=key, rate_limit=200)


def test_what_is_due_is_polled_and_right_afterwards(migrated: Program, simulator: SimulatorClient) -> None:
    ids = simulator.create(["es", "de", "fr"], title="Tour", callback_id="order-1")
    migrated.track(*ids)
    ran = poll(migrated, simulator)
    assert (ran.code, ran.out, ran.err) == (0, "3 polls: 3 success\n", "")
    rows = migrated.query("SELECT * FROM translations")
    assert [(row["status"], row["title"], row["callback_id"], row["claimed_by"]) for row in rows] == [
        ("success", "Tour", "order-1", None)
    ] * 3
    assert [row["source"] for row in migrated.query("SELECT source FROM changes")] == ["poll"] * 3
    assert poll(migrated, simulator).out == "0 polls\n"


def test_what_ended_in_a_bulk_answer_has_its_url_after_the_same_run(
    migrated: Program, simulator: SimulatorClient
) -> None:
    migrated.track(*simulator.create_many(30))
    ran = migrated(
        "poll",
        heygen_base_url=simulator.base_url,
        heygen_api_key=KEY,
        heygen_api="v3",
        rate_limit=200,
    )
    assert (ran.code, ran.err) == (0, "")
    rows = migrated.query("SELECT status, url, attention, next_poll_at FROM translations")
    assert {(row["status"], row["url"] is None, row["attention"], row["next_poll_at"]) for row in rows} == {
        ("success", False, None, None)
    }
    asked = simulator.truth().requests.by_route
    assert (asked["v3.statuses"], asked["v3.status"]) == (1, 30)


def test_a_named_translation_is_polled_also_when_it_has_ended(
    migrated: Program, simulator: SimulatorClient
) -> None:
    [one] = simulator.create("es")
    migrated.track(one)
    poll(migrated, simulator)
    [before] = migrated.query("SELECT url FROM translations")
    ran = poll(migrated, simulator, one, "--json")
    assert ran.json == {"polls": 1, "outcomes": {"success": 1}, "paused": None}
    assert migrated.query("SELECT url FROM translations") != [before]  # a fresh link


def test_a_stranger_is_refused(migrated: Program, simulator: SimulatorClient) -> None:
    ran = poll(migrated, simulator, "stranger")
    assert ran.code == 2
    assert "'stranger' is not tracked" in ran.err


def test_a_refused_key_is_an_error_and_fails_no_translation(
    migrated: Program, simulator: SimulatorClient
) -> None:
    migrated.track(*simulator.create(["es", "de"]))
    ran = poll(migrated, simulator, key="wrong-key")
    assert ran.code == 1
    assert "error: polling is paused for this account: key_rejected" in ran.err
    assert "TRACKER_HEYGEN_API_KEY" in ran.err
    assert "wrong-key" not in ran.err
    rows = migrated.query("SELECT status, claimed_by FROM translations")
    assert rows == [{"status": "pending", "claimed_by": None}] * 2


def test_broken_answers_are_counted(migrated: Program, simulator: SimulatorClient) -> None:
    migrated.track(*simulator.create("es"))
    simulator.set_faults("500")
    ran = poll(migrated, simulator)
    assert (ran.code, ran.out) == (1, "1 polls: 1 unreachable\n")
    [row] = migrated.query("SELECT status, last_error FROM translations")
    assert row["status"] == "pending"
    assert "Internal Server Error" in row["last_error"]


def test_without_a_key_nothing_can_be_polled(migrated: Program) -> None:
    ran = migrated("poll")
    assert ran.code == 2
    assert "error: TRACKER_HEYGEN_API_KEY: is required to poll" in ran.err
