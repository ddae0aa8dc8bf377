"""Verbs about the program itself: migrate, check-config, --help; and every way to say it wrong."""

import json
import sqlite3
from contextlib import closing

import pytest

from tracker.store.process_lock import sole_runner

from .conftest import Program

OF_THE_DATABASE = (("list",), ("wait", "x"), ("poll",))


def test_the_help_lists_the_exit_codes(tracker: Program) -> None:
    ran = tracker("--help")
    assert ran.code == 0
    assert "Exit codes:" in ran.out


@pytest.mark.parametrize("arguments", [("sing",), ("list", "--loud"), ("show",), ("add", "--callback-id")])
def test_what_cannot_be_understood_is_told(tracker: Program, arguments: tuple[str, ...]) -> None:
    ran = tracker(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Error" in ran.err


def test_the_version_is_printed(tracker: Program) -> None:
    ran = tracker("--version")
    assert ran.code == 0
    assert ran.out.startswith("tracker ")


def test_a_migration_is_told_and_a_second_one_changes_nothing(tracker: Program) -> None:
    first = tracker("migrate", "--json").json
    assert first["before"] is None
    assert tracker("migrate", "--json").json == {"before": first["after"], "after": first["after"]}
    assert tracker("migrate").out == f"the schema is up to date: {first['after']}\n"


def test_the_schema_goes_back_and_forth(migrated: Program) -> None:
    newest = migrated("migrate", "--json").json["after"]

    back = migrated("migrate", "--to", "0001")
    assert (back.code, back.err) == (0, "")
    assert (
        back.out
        == f"the schema is now 0001, before: {newest}; data that only {newest} can store was deleted\n"
    )
    assert migrated("migrate", "--to", "0001").out == "the schema is already 0001\n"
    assert "older than this program's; run: tracker migrate" in migrated("list").err
    assert migrated("migrate", "--to", newest, "--json").json == {"before": "0001", "after": newest}
    assert migrated("list").code == 0


@pytest.mark.parametrize("revision", ["0000", "base", "head", "-1", "000", "0001; DROP"])
def test_a_schema_that_nobody_knows_is_refused_with_those_there_are(migrated: Program, revision: str) -> None:
    ran = migrated("migrate", f"--to={revision}")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: there is no schema revision {revision}; known revisions: 0001, 0002")
    assert migrated("list").code == 0


def test_the_schema_is_not_taken_from_under_a_daemon(migrated: Program) -> None:
    with sole_runner(f"sqlite:///{migrated.path}"):
        ran = migrated("migrate", "--to", "0001")
        assert (ran.code, ran.out) == (3, "")
        assert "already runs" in ran.err
        assert migrated("migrate").out.startswith("the schema is up to date")
    assert migrated("migrate", "--to", "0001").code == 0


@pytest.mark.parametrize("arguments", OF_THE_DATABASE)
def test_a_database_that_is_not_there_is_told_with_the_way_out(
    tracker: Program, arguments: tuple[str, ...]
) -> None:
    ran = tracker(*arguments, heygen_api_key="key")
    assert (ran.code, ran.out) == (3, "")
    assert f"error: there is no database at {tracker.path}; create it with `tracker migrate`" in ran.err
    assert not tracker.path.exists()


@pytest.mark.parametrize("arguments", [("list",), ("add", "x"), ("migrate",)])
def test_a_file_that_is_no_database_is_told(tracker: Program, arguments: tuple[str, ...]) -> None:
    tracker.path.write_text("This is a text, and not at all a database of any kind. " * 50)
    ran = tracker(*arguments, heygen_api_key="key")
    assert (ran.code, ran.out) == (3, "")
    assert "file is not a database" in ran.err


def test_a_folder_that_is_missing_is_told(tracker: Program) -> None:
    for arguments in (("migrate",), ("add", "x")):
        ran = tracker(*arguments, database_url="sqlite:///missing/tracker.db")
        assert (ran.code, ran.out) == (3, "")
        assert "unable to open database file" in ran.err


def test_a_database_without_tables_is_told_with_the_way_out(tracker: Program) -> None:
    with closing(sqlite3.connect(tracker.path)) as connection, connection:
        connection.execute("CREATE TABLE another (id INTEGER)")
    ran = tracker("list")
    assert ran.code == 3
    assert "run: tracker migrate" in ran.err


def test_a_newer_database_is_left_alone(migrated: Program) -> None:
    migrated.execute("UPDATE alembic_version SET version_num = '9999'")
    for verb in ("list", "migrate"):
        ran = migrated(verb)
        assert (ran.code, ran.out) == (3, "")
        assert "9999 is newer than this program" in ran.err


def test_settings_are_shown_without_secrets(tracker: Program) -> None:
    secrets = {
        "heygen_api_key": "private-key",
        "webhook_secret": "private-secret",
        "webhook_secrets": json.dumps({"old": "private-too"}),
        "callback_tokens": json.dumps(["private-token"]),
        "admin_token": "private-admin",
        "database_url": "postgresql://user:private-password@db.example/tracker",
    }
    ran = tracker("check-config", "--json", rate_limit=2, **secrets)
    assert (ran.code, ran.err) == (0, "")
    shown = {row["variable"]: (row["value"], row["origin"]) for row in ran.json["settings"]}
    assert shown["TRACKER_RATE_LIMIT"] == ("2", "environment")
    assert shown["TRACKER_POLL_MIN_INTERVAL"] == ("15", "default")
    assert shown["TRACKER_WEBHOOK_SECRETS"] == ("{old: ***}", "environment")
    assert "user:***@db.example/tracker" in shown["TRACKER_DATABASE_URL"][0]
    assert ran.json["unknown"] == []
    assert all(row["meaning"] for row in ran.json["settings"])
    for text in (ran.out, tracker("check-config", rate_limit=2, **secrets).out):
        assert "private" not in text


def test_quiet_says_nothing_where_all_is_right(tracker: Program) -> None:
    ran = tracker("check-config", "--quiet", heygen_api_key="key")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_quiet_says_what_is_wrong(tracker: Program) -> None:
    wrong = tracker("check-config", "--quiet", rate_limit="many")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("error: TRACKER_RATE_LIMIT: ")
    strange = tracker("check-config", "--quiet", rate_limits="5")
    assert (strange.code, strange.out) == (0, "")
    assert "TRACKER_RATE_LIMITS is not a setting" in strange.err
    assert tracker("check-config", "--quiet", database_url="mysql://h/d").code == 2


def test_an_empty_credential_is_told(tracker: Program) -> None:
    (tracker.directory / "tracker_heygen_api_key").touch()
    ran = tracker("check-config", "--json", credentials_directory=tracker.directory)
    assert ran.json["empty"] == ["tracker_heygen_api_key"]
    assert "the credential tracker_heygen_api_key is empty and treated as not set" in ran.err


def test_names_that_mean_nothing_are_reported(tracker: Program) -> None:
    ran = tracker("check-config", "--json", heygen_apikey="x", rate_limits=5)
    assert ran.code == 0
    assert ran.json["unknown"] == ["TRACKER_HEYGEN_APIKEY", "TRACKER_RATE_LIMITS"]
    assert "TRACKER_HEYGEN_APIKEY is not a setting" in ran.err


def test_a_file_of_settings_may_be_named_before_and_after_the_verb(tracker: Program) -> None:
    file = tracker.directory / "tracker.toml"
    file.write_text('rate_limit = 3\nlog_level = "error"\ncolour = "blue"\n')
    for arguments in (("--config", str(file), "check-config"), ("check-config", "--config", str(file))):
        ran = tracker(*arguments, "--json", log_level="debug")
        shown = {row["variable"]: (row["value"], row["origin"]) for row in ran.json["settings"]}
        assert shown["TRACKER_RATE_LIMIT"] == ("3", str(file))
        assert shown["TRACKER_LOG_LEVEL"] == ("debug", "environment")
        assert ran.json["unknown"] == [f"colour in {file}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rate_limit = = 5", "is not TOML"),
        ("rate_limit = 'many'", "TRACKER_RATE_LIMIT: input should be a valid number"),
        (None, "No such file or directory; name a TOML file that can be read"),
    ],
)
def test_a_broken_file_of_settings_is_told(tracker: Program, text: str | None, told: str) -> None:
    file = tracker.directory / "tracker.toml"
    if text is not None:
        file.write_text(text)
    ran = tracker("list", "--config", str(file))
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"database_url": "mysql://private:private@host/x"}, "not supported|is not a database URL"),
        ({"database_url": "private nonsense"}, "TRACKER_DATABASE_URL: is not a database URL"),
        ({"database_url": "sqlite://"}, "SQLite needs a file"),
        ({"callback_tokens": "private"}, "TRACKER_CALLBACK_TOKENS: is not JSON"),
        ({"admin_listen": "0.0.0.0:1"}, "TRACKER_ADMIN_TOKEN: is required"),
        ({"poll_min_interval": "2h"}, "is larger than TRACKER_POLL_MAX_INTERVAL"),
        (
            {"max_staleness": "10s"},
            "TRACKER_MAX_STALENESS: is smaller than TRACKER_POLL_MIN_INTERVAL",
        ),
        ({"discover_adopt": "prefix:"}, "TRACKER_DISCOVER_ADOPT: is neither none, all, nor prefix:"),
        ({"webhook_url": "https://a:private@x/"}, "TRACKER_WEBHOOK_URL: string should match pattern"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(
    tracker: Program, settings: dict[str, str], told: str
) -> None:
    ran = tracker("list", **settings)
    assert (ran.code, ran.out) == (2, "")
    assert any(words in ran.err for words in told.split("|"))
    assert "private" not in ran.err


@pytest.mark.parametrize("url", ["foo", "mysql://a:hunter2@h/d", "sqlite://"])
def test_a_database_that_run_would_refuse_is_refused_by_check_config(tracker: Program, url: str) -> None:
    ran = tracker("check-config", database_url=url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: TRACKER_DATABASE_URL: ")
    assert "hunter2" not in ran.err


def test_the_daemon_names_each_wrong_setting_with_an_example(tracker: Program) -> None:
    ran = tracker("run", rate_limit="fast", listen="8321")
    assert (ran.code, ran.out) == (2, "")
    assert "TRACKER_RATE_LIMIT: input should be a valid number" in ran.err
    assert "TRACKER_LISTEN: is not an address; example: 127.0.0.1:8321" in ran.err
