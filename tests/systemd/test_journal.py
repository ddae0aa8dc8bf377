"""What the daemon says, as journald keeps it: a line of JSON a record, with its priority."""

import json

from .box import Record
from .service import CREDENTIALS, KEY, SECRET, TrackerBox

PRIORITIES = {"debug": "7", "info": "6", "warning": "4", "error": "3", "critical": "2"}


def test_every_record_is_a_line_of_json_with_its_priority_an_exception_too(box: TrackerBox) -> None:
    box.credential("misspelt", "a warning")
    box.configure(log_level="debug")
    box.misbehave("raise_secrets")
    box.start()
    assert box.webhook("told").status == 200
    told = box.event("tick failed")
    box.systemctl("stop", "tracker.service")

    records = _said(box)

    assert {"info", "warning", "error"} <= {_parsed(record)["level"] for record in records}
    for record in records:
        assert record["PRIORITY"] == PRIORITIES[_parsed(record)["level"]]
        assert record["SYSLOG_IDENTIFIER"] == "tracker"
    assert "Traceback" in told["exception"]
    assert "RuntimeError: one line\nanother\n***" in told["exception"]
    said = json.dumps(records)
    assert KEY not in said
    assert SECRET not in said


def test_a_daemon_that_cannot_start_says_why_in_one_record(box: TrackerBox) -> None:
    box.configure(rate_limit="fast", poll_min_interval="soon")

    box.run("systemctl", "start", "tracker.service")

    told = _said(box)[0]
    assert told["PRIORITY"] == PRIORITIES["critical"]
    assert "TRACKER_RATE_LIMIT" in _parsed(told)["error"]
    assert "TRACKER_POLL_MIN_INTERVAL" in _parsed(told)["error"]


def test_without_a_webhook_secret_webhooks_are_refused_and_journalctl_finds_that_by_priority(
    box: TrackerBox,
) -> None:
    box.shell(f"rm {CREDENTIALS}/webhook_secret")
    box.start()
    assert box.event("no webhook secret: signed webhooks are refused")["level"] == "warning"
    assert box.webhook("refused").status == 503

    serious = box.journal("tracker.service", "--priority=err")

    assert [_parsed(record)["event"] for record in serious] == ["webhook refused: no secret is configured"]


def _said(box: TrackerBox) -> list[Record]:
    """The daemon's own records, without systemd's about it."""
    return [record for record in box.journal() if record.get("_SYSTEMD_UNIT") == "tracker.service"]


def _parsed(record: Record) -> Record:
    parsed: Record = json.loads(record["MESSAGE"])
    return parsed
