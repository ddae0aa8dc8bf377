"""`systemctl reload tracker`: what can change does, without a restart; what is wrong changes nothing."""

import json
import signal

from .service import STATE, TrackerBox, simulator_in

SLOW = 0.2  # requests a second
ONE_BY_ONE = 12  # translations: at the slow rate they would take a minute
NEW_SECRET = "whsec_of-the-file"


def test_what_can_change_takes_effect_in_the_same_process(box: TrackerBox) -> None:
    heygen = simulator_in(box, {"webhook_lost": 1.0})
    box.configure(rate_limit=SLOW)
    box.start()
    pid = box.main_pid
    for name in heygen.create(ONE_BY_ONE):
        box.add(name)

    box.configure(rate_limit=100, poll_max_interval=4, log_level="debug")
    box.systemctl("reload", "tracker.service")

    told = box.event("settings reloaded")["changed"]
    assert set(told.split(", ")) == {
        f"TRACKER_{it}" for it in ("RATE_LIMIT", "POLL_MAX_INTERVAL", "LOG_LEVEL")
    }
    box.wait_for(lambda: box.status.startswith("0 open"), why="the new rate limit")
    assert box.main_pid == pid
    assert box.show("ActiveState") == "active"


def test_the_log_level_can_be_changed(box: TrackerBox) -> None:
    box.configure(log_level="warning")
    box.start()
    assert box.webhook("unheard").status == 200

    box.configure(log_level="info")
    box.systemctl("reload", "tracker.service")
    box.event("settings reloaded")
    assert box.webhook("heard").status == 200

    assert box.event("status changed")["id"] == "heard"


def test_a_webhook_secret_in_the_file_counts_at_once(box: TrackerBox) -> None:
    box.start()
    assert box.webhook("early", NEW_SECRET).status == 401

    file = f"{STATE}/webhook-secrets.json"
    added = {"added": {"secret": NEW_SECRET, "endpoint_id": None, "added_at": "2026-11-23T22:30:00Z"}}
    write = f"umask 077; cat > {file}; chown --reference={STATE}/. {file}"
    box.shell(write, input=json.dumps(added))

    assert box.webhook("late", NEW_SECRET).status == 200
    assert box.event("webhook secrets read")["names"] == "added"


def test_a_setting_that_needs_a_restart_is_named(box: TrackerBox) -> None:
    box.start()

    box.configure(stop_timeout=10, rate_limit=7)
    box.systemctl("reload", "tracker.service")

    assert box.event("settings need a restart")["changed"] == "TRACKER_STOP_TIMEOUT"
    assert box.event("settings reloaded")["changed"] == "TRACKER_RATE_LIMIT"


def test_a_wrong_value_fails_the_reload_and_the_daemon_is_not_asked(box: TrackerBox) -> None:
    box.start()
    pid = box.main_pid

    box.configure(rate_limit="fast")
    assert "TRACKER_RATE_LIMIT" in refused_reload(box)
    box.configure(rate_limit=None, poll_min_interval=100)  # more than the longest interval
    assert "TRACKER_POLL_MIN_INTERVAL" in refused_reload(box)

    assert (box.main_pid, box.show("ActiveState")) == (pid, "active")
    assert box.events("settings reloaded") == box.events("settings not reloaded") == []
    assert box.webhook("goes-on").status == 200


def refused_reload(box: TrackerBox) -> str:
    """What the journal says of a reload that has to fail."""
    assert box.run("systemctl", "reload", "tracker.service").returncode != 0
    return "\n".join(str(record["MESSAGE"]) for record in box.journal())


def test_a_wrong_value_that_reaches_the_daemon_keeps_the_old_one_and_the_status_says_so(
    box: TrackerBox,
) -> None:
    box.start()
    pid = box.main_pid

    box.configure(rate_limit="fast")
    box.kill(pid, signal.SIGHUP)

    assert "TRACKER_RATE_LIMIT" in box.event("settings not reloaded")["error"]
    box.wait_for(lambda: "settings not reloaded" in box.status, why="the status line")
    assert (box.main_pid, box.show("ActiveState")) == (pid, "active")
    assert box.webhook("goes-on").status == 200

    box.configure(rate_limit=9)
    box.systemctl("reload", "tracker.service")

    assert box.event("settings reloaded")["changed"] == "TRACKER_RATE_LIMIT"
    box.wait_for(lambda: "settings not reloaded" not in box.status, why="the status line")
