"""HeyGen refuses, rate-limits or breaks: no translation fails for it, and all goes on by itself."""

import re
from datetime import datetime

from .processes import SECRET, Daemon, Simulator, Stage
from .truths import FINAL, check_invariants, is_right

FAULTS = {  # the simulator's fault: what last_error then says
    "500": "unreachable: HTTP 500.*: Internal Server Error",
    "html": "unreachable: HTTP 502",
    "empty": "unreachable: HTTP 200.*: the body is not JSON",
    "truncated": "unreachable: HTTP 200.*: the body is not JSON",
    "hang": "unreachable: no answer within 0.5 s",
    "not_found": "not_found: HTTP 404.*: Video translate not found",
}


def log_of(daemon: Daemon, event: str) -> list[str]:
    return [one["level"] for one in daemon.program.events_named(event)]


def paused(daemon: Daemon, reason: str) -> None:
    """Wait until /readyz says that polling rests, and check that /metrics agrees."""
    answer = daemon.until_ready(lambda ready: ready["poller"]["state"] == "paused", "polling to rest")
    assert answer["poller"]["reason"] == reason
    assert answer["status"] == "ready"  # a restart would not help
    assert f'tracker_polling_paused{{reason="{reason}"}} 1.0' in daemon.get("/metrics").text


def all_right(stage: Stage, daemon: Daemon, simulator: Simulator) -> None:
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_invariants(stage.database)


def test_a_refused_key_pauses_polling_loudly_and_a_mended_one_resumes_it(stage: Stage) -> None:
    simulator = stage.simulator(
        fates=[{"webhook": "lost"}, {"webhook": "lost", "outcome": "failed"}, {"running_seconds": 1}]
    )
    simulator.client.set_keys(["another-key"])
    daemon = stage.daemon(simulator)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    simulator.client.set_keys(["another-key", "simulator-key"])
    polled = [*simulator.client.create("es"), *simulator.client.create("de")]
    told = simulator.client.create("fr")
    simulator.client.set_keys(["another-key"])
    stage.database.track([*polled, *told])

    paused(daemon, "key_rejected")
    daemon.program.until(lambda: stage.database.row(told[0])["status"] == "success", "the webhook")
    daemon.program.until(
        lambda: simulator.truth().requests.status_by_answer.get("unauthorized", 0) >= 3, "three probes"
    )
    assert log_of(daemon, "polling paused") == ["error"]
    assert {stage.database.row(one)["status"] for one in polled} == {"pending"}

    simulator.client.set_keys(["simulator-key"])
    daemon.program.until_event("polling resumed")
    all_right(stage, daemon, simulator)
    assert daemon.ready()["poller"]["state"] == "polling"
    assert "tracker_polling_paused{" not in daemon.get("/metrics").text
    assert log_of(daemon, "polling paused") == ["error"]


def test_after_a_429_nobody_asks_until_the_time_is_over(stage: Stage) -> None:
    simulator = stage.simulator()
    simulator.client.set_faults("429", retry_after=2)
    daemon = stage.daemon(simulator, rate_limit=20)
    stage.database.track(simulator.client.create(["es", "de", "fr", "pl", "it"]))

    daemon.program.until_event("polling paused")
    before = simulator.truth()
    paused(daemon, "rate_limited")
    simulator.client.set_faults("429", retry_after=1)  # what the probe will hear
    first_silence = datetime.fromisoformat(daemon.program.events_named("polling paused")[0]["timestamp"])

    def asked_again() -> datetime | None:
        now = simulator.truth()
        return now.now if now.requests.status_total > before.requests.status_total else None

    again = daemon.program.until(asked_again, "the probe")
    assert before.requests.status_total == 1
    assert (again - first_silence).total_seconds() > 1.9
    assert simulator.truth().requests.status_total == 2  # one probe, not five

    simulator.client.set_faults(None)
    daemon.program.until_event("polling resumed")
    all_right(stage, daemon, simulator)
    assert log_of(daemon, "polling paused") == ["warning"]


def test_broken_answers_fail_no_translation_and_say_why(stage: Stage) -> None:
    simulator = stage.simulator(pending_seconds=30)
    daemon = stage.daemon(simulator, request_timeout=0.5, poll_max_interval=0.3)
    [one] = simulator.client.create("es")
    stage.database.track([one])
    for fault, told in FAULTS.items():
        simulator.client.set_faults(fault)  # type: ignore[arg-type]

        def says_why(words: str = told) -> bool:
            return bool(re.match(words, stage.database.row(one)["last_error"] or ""))

        daemon.program.until(says_why, f"last_error like {told!r}")
        row = stage.database.row(one)
        assert (row["status"], row["attention"]) == ("pending", None)
    simulator.client.set_faults(None)
    daemon.program.until(lambda: stage.database.row(one)["last_error"] is None, "a good answer")
    assert stage.database.row(one)["poll_failures"] == 0
    assert stage.database.query("SELECT * FROM changes") == []


def test_translations_that_ended_meanwhile_come_right_after_the_trouble(stage: Stage) -> None:
    simulator = stage.simulator(failure_rate=0.5, error_rate=0.3, hang_seconds=1, not_found_rate=0.5)
    daemon = stage.daemon(simulator, request_timeout=0.5)
    stage.database.track(simulator.client.create(["es", "de", "fr", "pl"]))
    all_right(stage, daemon, simulator)
    assert set(stage.database.statuses().values()) <= set(FINAL)


def test_without_a_key_webhooks_are_stored_and_polling_rests(stage: Stage) -> None:
    simulator = stage.simulator()
    daemon = stage.daemon(simulator, heygen_api_key=None)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    paused(daemon, "no_api_key")
    [one] = simulator.client.create("es")
    daemon.program.until(lambda: stage.database.statuses() == {one: "success"}, "the webhook")
    assert log_of(daemon, "no API key: nothing is polled") == ["warning"]
    assert simulator.truth().requests.status_total == 0
    check_invariants(stage.database)
