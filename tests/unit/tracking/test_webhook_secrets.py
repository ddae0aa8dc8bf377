"""The webhook secrets: a file that is written whole, read when it changes, and never shown."""

import json
import os
import stat
import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.builders import NOON
from tests.fakes import FakeClock
from tracker.errors import SettingsError
from tracker.heygen.webhook_events import find_signer, sign
from tracker.observability import logs
from tracker.tracking.webhook_secrets import Entry, WebhookSecrets

DAY = timedelta(hours=24)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets.json"


@pytest.fixture
def webhook_secrets(path: Path, clock: FakeClock) -> WebhookSecrets:
    return WebhookSecrets({}, path, clock)


def entry(secret: str, until: str | None = None) -> dict[str, str | None]:
    return {
        "secret": secret,
        "endpoint_id": "ep",
        "added_at": "2026-11-23T10:00:00Z",
        "valid_until": until,
    }


# Reading


def test_without_a_file_there_are_the_configured_ones(clock: FakeClock) -> None:
    webhook_secrets = WebhookSecrets({"main": "whsec_1"}, None, clock)

    assert (webhook_secrets.secrets(), webhook_secrets.entries()) == ({"main": "whsec_1"}, {})


def test_a_file_that_is_not_there_yet_holds_none(webhook_secrets: WebhookSecrets) -> None:
    with capture_logs() as told:
        assert webhook_secrets.secrets() == {}
    assert told == []


def test_the_file_comes_beside_the_configured_ones_and_hides_none(path: Path, clock: FakeClock) -> None:
    path.write_text(json.dumps({"main": entry("whsec_file"), "old": entry("whsec_old")}))

    assert WebhookSecrets({"main": "whsec_set"}, path, clock).secrets() == {
        "main": "whsec_set",
        "main-in-file": "whsec_file",
        "old": "whsec_old",
    }


def test_a_secret_ends_with_its_time(path: Path, clock: FakeClock, webhook_secrets: WebhookSecrets) -> None:
    until = (NOON + timedelta(minutes=1)).isoformat()
    path.write_text(json.dumps({"old": entry("whsec_old", until)}))

    assert webhook_secrets.secrets() == {"old": "whsec_old"}
    clock.advance(60)
    assert webhook_secrets.secrets() == {}


def test_what_another_process_writes_is_seen_at_once(
    path: Path, clock: FakeClock, webhook_secrets: WebhookSecrets
) -> None:
    assert webhook_secrets.secrets() == {}
    other = WebhookSecrets({}, path, clock)
    other.add("heygen", "whsec_1", "ep")
    assert webhook_secrets.secrets() == {"heygen": "whsec_1"}
    other.replace("heygen", "whsec_2", "ep")
    assert sorted(webhook_secrets.secrets().values()) == ["whsec_1", "whsec_2"]


def test_a_file_that_did_not_change_is_not_read_again(
    path: Path, webhook_secrets: WebhookSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    webhook_secrets.secrets()
    monkeypatch.setattr(Path, "read_text", lambda _path: pytest.fail("read again"))

    assert webhook_secrets.secrets() == {"heygen": "whsec_1"}


def test_a_file_that_is_taken_away_revokes_its_secrets(path: Path, webhook_secrets: WebhookSecrets) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    assert webhook_secrets.secrets()
    path.unlink()
    assert webhook_secrets.secrets() == {}


BROKEN = [
    "",
    "{",
    "[]",
    '"whsec_hunter2"',
    '{"a": "whsec_hunter2"}',
    '{"a": {"secret": "whsec_hunter2"}}',
    '{"a": {"secret": "", "added_at": "2026-11-23T10:00:00Z"}}',
    '{"a": {"secret": 5, "added_at": "2026-11-23T10:00:00Z"}}',
    '{"a": {"secret": "whsec_hunter2", "added_at": "2026-11-23T10:00:00"}}',
    '{"a": {"secret": "whsec_hunter2", "added_at": 5}}',
    '{"a": {"secret": "whsec_hunter2", "added_at": "2026-11-23T10:00:00Z", "valid_until": "soon"}}',
    '{"a": {"secret": "whsec_hunter2", "added_at": "2026-11-23T10:00:00Z", "endpoint_id": 5}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_keeps_what_was_known_and_is_told_once(
    path: Path, webhook_secrets: WebhookSecrets, text: str
) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    assert webhook_secrets.secrets() == {"heygen": "whsec_1"}
    path.write_text(text)

    with capture_logs() as told:
        assert [webhook_secrets.secrets() for _ in range(3)] == [{"heygen": "whsec_1"}] * 3

    assert [(one["event"], one["log_level"], one["kept"]) for one in told] == [
        ("webhook secrets not read", "error", 1)
    ]
    assert str(path) in told[0]["error"]
    assert "hunter2" not in str(told)


def test_a_file_that_is_mended_is_taken_up_again(path: Path, webhook_secrets: WebhookSecrets) -> None:
    path.write_text("{")
    assert webhook_secrets.secrets() == {}
    path.write_text(json.dumps({"heygen": entry("whsec_1")}))
    assert webhook_secrets.secrets() == {"heygen": "whsec_1"}


def test_a_file_that_others_may_read_is_told_once(path: Path, webhook_secrets: WebhookSecrets) -> None:
    path.write_text(json.dumps({"heygen": entry("whsec_1")}))
    path.chmod(0o640)

    with capture_logs() as told:
        webhook_secrets.secrets()
        os.utime(path, ns=(1, 1))
        webhook_secrets.secrets()

    warnings = [one for one in told if one["log_level"] == "warning"]
    assert [(one["event"], one["advice"]) for one in warnings] == [
        ("webhook secrets can be read by others", f"chmod 600 {path}")
    ]


# Writing


def test_a_secret_is_written_for_its_owner_alone(path: Path, webhook_secrets: WebhookSecrets) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "heygen": {
            "secret": "whsec_1",
            "endpoint_id": "ep",
            "added_at": NOON.isoformat().replace("+00:00", "Z"),
            "valid_until": None,
        }
    }
    assert webhook_secrets.name_of("ep") == "heygen"
    assert webhook_secrets.name_of("other") is None
    assert "whsec" not in repr(webhook_secrets.entries())
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_others_could_read_is_private_after_a_write(
    path: Path, webhook_secrets: WebhookSecrets
) -> None:
    path.write_text("{}")
    path.chmod(0o644)
    webhook_secrets.add("heygen", "whsec_1", "ep")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(path: Path, tmp_path: Path, clock: FakeClock) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    WebhookSecrets({}, link, clock).add("heygen", "whsec_1", "ep")

    assert link.is_symlink()
    assert "whsec_1" in path.read_text()


def test_after_a_rotation_the_previous_secret_is_valid_for_a_day(
    clock: FakeClock, webhook_secrets: WebhookSecrets, path: Path
) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    webhook_secrets.replace("heygen", "whsec_2", "ep")

    before = f"heygen-before-{NOON:%Y%m%dT%H%M%SZ}"
    assert webhook_secrets.secrets() == {"heygen": "whsec_2", before: "whsec_1"}
    assert webhook_secrets.entries()[before] == Entry("whsec_1", "ep", NOON, NOON + DAY)
    assert webhook_secrets.name_of("ep") == "heygen"
    clock.advance(DAY.total_seconds())
    assert webhook_secrets.secrets() == {"heygen": "whsec_2"}
    assert "whsec_1" in path.read_text()  # for people who wonder, one day more
    clock.advance(DAY.total_seconds())
    webhook_secrets.add("another", "whsec_3", None)
    assert set(webhook_secrets.entries()) == {"heygen", "another"}


def test_two_rotations_in_one_second_lose_no_secret(webhook_secrets: WebhookSecrets) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    webhook_secrets.replace("heygen", "whsec_2", "ep")
    webhook_secrets.replace("heygen", "whsec_3", "ep")

    assert sorted(webhook_secrets.secrets().values()) == ["whsec_1", "whsec_2", "whsec_3"]


def test_a_removed_endpoint_takes_its_secret_with_it_a_day_later(
    clock: FakeClock, webhook_secrets: WebhookSecrets
) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    webhook_secrets.add("other", "whsec_2", "another")
    webhook_secrets.retire("ep")

    assert webhook_secrets.name_of("ep") is None
    assert set(webhook_secrets.secrets()) == {"heygen", "other"}
    clock.advance(DAY.total_seconds())
    assert set(webhook_secrets.secrets()) == {"other"}


def test_two_writers_at_once_lose_nothing(path: Path, clock: FakeClock) -> None:
    names = [f"name-{number}" for number in range(20)]
    threads = [
        threading.Thread(
            target=lambda name=name: WebhookSecrets({}, path, clock).add(name, f"whsec_{name}", None)
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(WebhookSecrets({}, path, clock).secrets()) == sorted(names)


@pytest.mark.parametrize("taken", ["heygen", "main"])
def test_a_name_that_is_taken_is_refused_before_and_at_the_write(
    path: Path, clock: FakeClock, taken: str
) -> None:
    webhook_secrets = WebhookSecrets({"main": "whsec_set"}, path, clock)
    webhook_secrets.add("heygen", "whsec_1", "ep")

    refused = f"--name {taken}: there is a secret of that name"
    with pytest.raises(SettingsError, match=refused):
        webhook_secrets.check_writable(taken)
    with pytest.raises(SettingsError, match=refused):
        webhook_secrets.add(taken, "whsec_2", None)
    assert webhook_secrets.secrets() == {"main": "whsec_set", "heygen": "whsec_1"}


def test_whether_it_can_be_written_is_known_beforehand(path: Path, clock: FakeClock, tmp_path: Path) -> None:
    WebhookSecrets({}, path, clock).check_writable("heygen")
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "broken.json").write_text("{")
    for name, problem in (
        ("nowhere/secrets.json", "cannot be written: No such file or directory"),
        ("broken.json", "is not what the webhook verbs write"),
        (".", "cannot be (read|written): Is a directory"),
    ):
        refused = WebhookSecrets({}, tmp_path / name, clock)
        with pytest.raises(SettingsError, match=rf"TRACKER_WEBHOOK_SECRETS_FILE: .*{problem}"):
            refused.check_writable("heygen")
        with pytest.raises(SettingsError):
            refused.add("heygen", "whsec_1", None)
    with pytest.raises(SettingsError, match="TRACKER_WEBHOOK_SECRETS_FILE: is not set; example: "):
        WebhookSecrets({}, None, clock).check_writable()


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    path: Path, webhook_secrets: WebhookSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    before = path.read_text()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="cannot be written: No space left on device"):
        webhook_secrets.replace("heygen", "whsec_2", "ep")

    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


# Logs


def test_every_secret_that_is_learnt_is_hidden_from_the_log(path: Path, clock: FakeClock) -> None:
    hidden: set[str] = set()

    def hide(secrets: Iterable[str]) -> None:
        hidden.update(secrets)

    webhook_secrets = WebhookSecrets({}, path, clock, hide)
    webhook_secrets.add("heygen", "whsec_1", "ep")
    assert hidden == {"whsec_1"}
    path.write_text(json.dumps({"other": entry("whsec_2")}))
    webhook_secrets.secrets()
    assert hidden == {"whsec_1", "whsec_2"}


def test_a_secret_that_is_learnt_later_is_taken_out_of_events() -> None:
    redact = logs.Redact(["hunter2"])
    redact.hide(["whsec_late", "s"])

    assert redact(None, "info", {"event": "hunter2 and whsec_late, yes"}) == {"event": "*** and ***, yes"}


def test_a_webhook_is_believed_under_the_old_and_the_new_secret(webhook_secrets: WebhookSecrets) -> None:
    webhook_secrets.add("heygen", "whsec_1", "ep")
    webhook_secrets.replace("heygen", "whsec_2", "ep")

    for secret in ("whsec_1", "whsec_2"):
        assert find_signer(b"{}", [("Signature", sign(b"{}", secret))], webhook_secrets.secrets())
