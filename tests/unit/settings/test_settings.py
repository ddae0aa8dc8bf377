"""Settings: four layers, and errors that say what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import SettingsError
from tracker.settings import Address, Loaded, Settings, load, load_settings, redacted


def loaded(config: Path | None = None, /, **environ: str) -> Loaded:
    return load(config, {f"TRACKER_{name.upper()}": value for name, value in environ.items()})


def settings(**environ: str) -> Settings:
    return loaded(**environ).settings


def refusal(config: Path | None = None, /, **environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        loaded(config, **environ)
    return str(refused.value)


# Layers


def test_every_setting_has_a_default_a_meaning_and_an_example() -> None:
    assert load_settings(environ={}).database_url.get_secret_value() == "sqlite:///tracker.db"
    for name, field in Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
        assert field.examples, name


def test_the_environment_beats_credentials_which_beat_the_file_which_beats_the_defaults(
    tmp_path: Path,
) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text(
        'heygen_api_key = "file"\nwebhook_secret = "file"\nadmin_token = "file"\nrate_limit = 7\n'
    )
    (tmp_path / "webhook_secret").write_text("credential\n")
    (tmp_path / "admin_token").write_text("credential\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "TRACKER_ADMIN_TOKEN": "environment", "PATH": "/bin"}

    found = load(config, environ)

    assert found.settings.heygen_api_key is not None
    assert found.settings.heygen_api_key.get_secret_value() == "file"
    assert found.settings.signing_secrets == {"main": "credential"}
    assert found.settings.admin_token is not None
    assert found.settings.admin_token.get_secret_value() == "environment"
    assert (found.settings.rate_limit, found.settings.concurrency) == (7, 10)
    assert found.origins == {
        "heygen_api_key": str(config),
        "rate_limit": str(config),
        "webhook_secret": "credential",
        "admin_token": "environment",
    }
    assert found.unknown == ()


def test_an_empty_variable_is_none() -> None:
    assert settings(webhook_secret="", rate_limit="").signing_secrets == {}


def test_secrets_may_end_in_a_newline(tmp_path: Path) -> None:
    (tmp_path / "webhook_secrets").write_text('{"old": "whsec_a\\n", "new": " whsec_b"}\n')
    found = load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path), "TRACKER_WEBHOOK_SECRET": "whsec_c\n"})

    assert found.settings.signing_secrets == {"main": "whsec_c", "old": "whsec_a", "new": "whsec_b"}


def test_unknown_names_are_reported_and_harmless(tmp_path: Path) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text("rate_limt = 3\n")

    found = loaded(config, webhok_secret="x", concurrency="3")

    assert sorted(found.unknown) == ["TRACKER_WEBHOK_SECRET", f"rate_limt in {config}"]
    assert found.settings.concurrency == 3


def test_other_programs_variables_and_credentials_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "tls.key").write_text("not ours")

    assert (
        load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path), "TRACKERS": "x", "HEYGEN_API_KEY": "x"}).unknown
        == ()
    )


def test_a_file_may_hold_lists_and_tables(tmp_path: Path) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text(
        'callback_tokens = ["a-token"]\noverdue_after = "2h"\n[webhook_secrets]\nold = "whsec_a"\n'
    )

    found = load_settings(config, {})

    assert [token.get_secret_value() for token in found.callback_tokens] == ["a-token"]
    assert (found.signing_secrets, found.overdue_after) == ({"old": "whsec_a"}, 7200)


# Values


def test_durations_are_seconds_or_carry_a_unit() -> None:
    for written, seconds in [
        ("90", 90),
        ("15s", 15),
        ("10m", 600),
        ("10min", 600),
        ("1h", 3600),
        ("7d", 604_800),
        ("0.5", 0.5),
        (" 1.5 h ", 5400),
    ]:
        assert settings(overdue_after=written).overdue_after == seconds


def test_other_durations_are_refused() -> None:
    for written in ["0", "-1", "1w", "1H", "soon", "1h30m", "nan", "inf", "1e99", "h", "11y", "99999d", "[]"]:
        assert refusal(overdue_after=written).startswith("TRACKER_OVERDUE_AFTER: ")


def test_addresses_are_host_and_port_or_a_unix_socket() -> None:
    for written, address, is_private in [
        ("127.0.0.1:8321", Address(host="127.0.0.1", port=8321), True),
        ("127.3.2.1:0", Address(host="127.3.2.1"), True),
        ("localhost:1", Address(host="localhost", port=1), True),
        ("[::1]:8321", Address(host="::1", port=8321), True),
        ("0.0.0.0:8321", Address(host="0.0.0.0", port=8321), False),
        ("[::]:8321", Address(host="::", port=8321), False),
        ("tracker.example:65535", Address(host="tracker.example", port=65535), False),
        ("unix:/run/tracker/public.sock", Address(path="/run/tracker/public.sock"), True),
    ]:
        found = settings(listen=written).listen

        assert (found, str(found), found.is_private) == (address, written, is_private)


def test_other_addresses_are_refused() -> None:
    for written in [
        "8321",
        ":8321",
        "127.0.0.1",
        "127.0.0.1:",
        "h:65536",
        "h:-1",
        "h:http",
        "unix:",
        "h:1.5",
    ]:
        assert (
            refusal(listen=written)
            == "TRACKER_LISTEN: is not an address; example: 127.0.0.1:8321 or unix:/run/tracker.sock"
        )


def test_secrets_are_read_by_name() -> None:
    assert settings(webhook_secret="whsec_1", webhook_secrets='{"old": "whsec_2"}').signing_secrets == {
        "main": "whsec_1",
        "old": "whsec_2",
    }


def test_what_sweeps_adopt_is_said_in_words() -> None:
    for written in ["none", "all", "prefix:order-", "prefix: ", "prefix:prefix:"]:
        assert str(settings(discover_adopt=written).discover_adopt) == written


def test_v3_may_be_spoken_from_the_start() -> None:
    assert settings(heygen_api="v3").heygen_api == "v3"


def test_sweeps_and_the_care_for_an_endpoint_are_off_until_asked_for() -> None:
    off = settings(discover_interval="", webhook_url="", webhook_secrets_file="")
    on = settings(discover_interval="6h", webhook_url="https://x/y", webhook_secrets_file="/run/secrets.json")

    assert (off.discover_interval, off.webhook_url, off.webhook_secrets_file) == (None, None, None)
    assert (on.discover_interval, on.webhook_url) == (21_600, "https://x/y")
    assert on.webhook_secrets_file == Path("/run/secrets.json")
    assert off.max_staleness == 60


def test_an_archive_is_a_folder_or_a_bucket() -> None:
    for written, shown in [
        ("/srv/heygen", "/srv/heygen"),
        ("file:///srv/My%20films", "/srv/My films"),
        ("s3://films", "s3://films"),
        ("s3://films.example/heygen/2026/", "s3://films.example/heygen/2026"),
    ]:
        assert str(settings(archive=written, archive_spool="/var/spool").archive) == shown


def test_the_kinds_that_are_kept_are_words() -> None:
    assert str(settings(archive_kinds="srt,video").archive_kinds) == "video, srt"


def test_a_bucket_needs_a_place_to_gather_and_both_of_its_keys_or_none() -> None:
    assert refusal(archive="s3://films").startswith("TRACKER_ARCHIVE_SPOOL: is required")
    bucket = {"archive": "s3://films", "archive_spool": "/var/spool"}
    for name in ("archive_s3_access_key", "archive_s3_secret_key"):
        assert refusal(**bucket, **{name: "hunter2"}).startswith(
            "TRACKER_ARCHIVE_S3_SECRET_KEY: must be set together with"
        )
    both = settings(**bucket, archive_s3_access_key="AKIA-hunter2", archive_s3_secret_key="hunter2-secret")
    assert "hunter2" not in str(redacted(both))
    assert {"AKIA-hunter2", "hunter2-secret"} <= set(both.secret_values())


def test_a_bucket_without_tls_is_allowed_only_where_that_is_said() -> None:
    local = {"archive_s3_endpoint": "http://127.0.0.1:9000"}

    assert "ALLOW_HTTP=true" in refusal(**local)
    assert settings(**local, archive_s3_allow_http="true").archive_s3_endpoint == "http://127.0.0.1:9000"


def test_sizes_are_bytes_or_carry_a_unit() -> None:
    for written, size in [
        ("1000", 1000),
        ("1", 1),
        ("500MB", 500_000_000),
        (" 20 GiB ", 20 * 1024**3),
        ("3KiB", 3072),
    ]:
        assert settings(archive_max_bytes=written).archive_max_bytes == size


def test_the_hosts_of_files_are_patterns_and_places() -> None:
    found = settings(file_hosts='["*.HeyGen.ai", "cdn.example"]', file_hosts_unsafe='["LocalHost:8399"]')

    assert (found.file_hosts, found.file_hosts_unsafe) == (["*.heygen.ai", "cdn.example"], ["localhost:8399"])
    assert redacted(found)["file_hosts"] == '["*.heygen.ai", "cdn.example"]'


# Errors

WRONG: dict[str, list[str]] = {
    "database_url": [" "],
    "heygen_api_key": [" \n", "k\u00e9y", "two words", "line\nbreak"],
    "heygen_base_url": ["api.heygen.com", "ftp://x", "https://", "https://x?y=1", "https://x/y#z"],
    "heygen_api": ["v1", "V2"],
    "webhook_secret": [" "],
    "webhook_secrets": [
        "whsec_hunter2",
        '["whsec_hunter2"]',
        '{"a": ""}',
        '{"a": 5}',
        '"whsec_hunter2"',
        "[" * 100_000,
    ],
    "webhook_secrets_file": ["secrets.json", "/\0"],
    "webhook_url": [
        "tracker.example/webhooks",
        "ftp://x",
        "https://",
        "https://user:hunter2@x/y",
        "https://x/y#z",
    ],
    "callback_tokens": ["hunter2-token", '{"a": "hunter2-token"}', '[""]', "[5]", '"hunter2-token"'],
    "listen": ["nowhere"],
    "admin_listen": ["nowhere"],
    "admin_token": [" "],
    "rate_limit": ["0", "-1", "many", "nan", "inf", "10001"],
    "concurrency": ["0", "1001", "1.5", "many"],
    "request_timeout": ["0", "never"],
    "poll_min_interval": ["0"],
    "poll_max_interval": ["forever"],
    "max_staleness": ["0", "never"],
    "discover_adopt": ["some", "All", "prefix:", "prefix"],
    "discover_interval": ["59", "0", "never"],
    "keep_links_fresh": ["never", "on", "Always", "on-demand"],
    "overdue_after": ["never"],
    "give_up_after": ["never"],
    "keep_delivery_bodies": ["0", "never", "91d"],
    "keep_deliveries": ["1d", "0", "never"],
    "keep_finished": ["47h", "0", "never"],
    "file_hosts": [
        "*.heygen.ai",
        "[]",
        '["*"]',
        '["https://hunter2.example"]',
        '["127.0.0.1"]',
        "[5]",
        '{"a": 1}',
    ],
    "file_hosts_unsafe": ["127.0.0.1:8399", '["127.0.0.1"]', '["http://127.0.0.1:8399"]', '["x:0"]'],
    "archive_max_bytes": [
        "0",
        "-1",
        "1.5GB",
        "1,5GB",
        "20GiB/s",
        "20gib",
        "20XB",
        "many",
        "99999999999999GB",
    ],
    "archive": [
        "archive",
        "./archive",
        "/srv/../etc",
        "/srv/\0",
        "http://x/y",
        "file://host/x",
        "s3://",
        "s3://A",
        "s3://bucket/a b",
        "s3://bucket/../x",
        f"s3://bucket/{'x' * 101}",
    ],
    "archive_kinds": ["film", "video;srt", ","],
    "archive_key": [
        "video.mp4",
        "{title}/{kind}.{extension}",
        "/{video_translate_id}/{kind}.{extension}",
        "{x}",
    ],
    "archive_concurrency": ["0", "65", "many"],
    "archive_bandwidth": ["1023", "-1", "fast"],
    "archive_min_free": ["-1", "0", "some"],
    "archive_spool": ["spool", "/\0"],
    "archive_s3_endpoint": ["s3.example.com", "ftp://x", "http://127.0.0.1:9000"],
    "archive_s3_region": ["eu central", "a/b"],
    "archive_s3_access_key": [" "],
    "archive_s3_secret_key": [" \n"],
    "archive_s3_allow_http": ["perhaps"],
    "database_wait": ["-1", "soon"],
    "stop_timeout": ["-5"],
    "sqlite_synchronous": ["off"],
    "log_level": ["loud", "INFO"],
    "log_format": ["xml"],
}


def test_every_setting_is_tried_with_a_wrong_value() -> None:
    assert set(WRONG) == set(Settings.model_fields)


def test_a_wrong_value_names_the_variable_the_problem_and_an_example() -> None:
    for name, value in [(name, value) for name, values in WRONG.items() for value in values]:
        said = refusal(**{name: value})

        variable, _, rest = said.partition(": ")
        problem, _, example = rest.partition("; example: ")
        assert variable == f"TRACKER_{name.upper()}"
        assert problem
        assert example, said
        assert "hunter2" not in said
        assert len(said.splitlines()) == 1


def test_every_wrong_value_has_a_line_of_its_own() -> None:
    lines = refusal(rate_limit="many", listen="nowhere", callback_tokens="[5, 6]").splitlines()

    assert [line.partition(":")[0] for line in lines] == [
        "TRACKER_CALLBACK_TOKENS",
        "TRACKER_LISTEN",
        "TRACKER_RATE_LIMIT",
    ]


def test_no_error_carries_a_secret(tmp_path: Path) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text(json.dumps("hunter2") + " = [")
    secrets: dict[str, Any] = {
        "heygen_api_key": "hunter2",
        "webhook_secrets": '{"hunter": 2}',
        "admin_token": "hunter2",
        "rate_limit": "no",
    }

    assert "hunter2" not in refusal(**secrets)
    with pytest.raises(SettingsError) as refused:
        loaded(webhook_secrets='["whsec_hunter2"]')
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_values_that_do_not_agree_are_refused() -> None:
    for environ, named in [
        (
            {"poll_min_interval": "20m"},
            "TRACKER_POLL_MIN_INTERVAL: is larger than TRACKER_POLL_MAX_INTERVAL; example: ",
        ),
        (
            {"webhook_secret": "a", "webhook_secrets": '{"main": "b"}'},
            "TRACKER_WEBHOOK_SECRETS: the name main belongs to ",
        ),
        (
            {"admin_listen": "0.0.0.0:8322"},
            "TRACKER_ADMIN_TOKEN: is required while TRACKER_ADMIN_LISTEN is 0.0.0.0:8322; example: ",
        ),
        (
            {"max_staleness": "30s", "poll_min_interval": "1m"},
            "TRACKER_MAX_STALENESS: is smaller than TRACKER_POLL_MIN_INTERVAL; example: ",
        ),
        (
            {"keep_deliveries": "3d"},
            "TRACKER_KEEP_DELIVERY_BODIES: is larger than TRACKER_KEEP_DELIVERIES, but a body is deleted ",
        ),
    ]:
        assert refusal(**environ).startswith(named)


def test_the_admin_pages_may_be_public_with_a_token() -> None:
    assert not settings(admin_listen="0.0.0.0:8322", admin_token="hunter2").admin_listen.is_private


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    config = tmp_path / "tracker.toml"
    assert refusal(config).startswith(f"--config {config}: No such file or directory; ")
    assert "cannot be read" not in refusal(tmp_path)
    config.write_text("rate_limit = ")
    assert f"--config {config}: is not TOML" in refusal(config)
    config.write_bytes(b"\xff\xfe")
    assert f"--config {config}: is not TOML" in refusal(config)


# What may be shown

DATABASES = [
    ("sqlite:///tracker.db", "sqlite:///tracker.db", []),
    ("sqlite:////var/lib/a:b@c/t.db", "sqlite:////var/lib/a:b@c/t.db", []),
    ("postgresql://h/d", "postgresql://h/d", []),
    ("postgresql://u@h/d", "postgresql://u@h/d", []),
    (
        "postgresql://u:hunter2@h:5432/d?sslmode=require",
        "postgresql://u:***@h:5432/d?sslmode=require",
        ["hunter2"],
    ),
    ("postgresql://:hunter2@h/d", "postgresql://:***@h/d", ["hunter2"]),
    ("postgresql://u:hunt/er2@h/d", "postgresql://u:***@h/d", ["hunt/er2"]),
    ("postgresql://u:hunt:er2@h/d", "postgresql://u:***@h/d", ["hunt:er2"]),
    ("postgresql://u:hunt%40er2@h/d", "postgresql://u:***@h/d", ["hunt%40er2", "hunt@er2"]),
    ("postgresql://u:hunt@er2@h/d", "postgresql://u:***@h/d", ["hunt"]),
    ("postgresql://h/d?user=u&password=hunter2", "postgresql://h/d?user=u&password=***", ["hunter2"]),
    ("postgresql:///d?password=hunter2&host=/run", "postgresql:///d?password=***&host=/run", ["hunter2"]),
]


def test_a_database_url_is_shown_without_its_password() -> None:
    for url, shown, secrets in DATABASES:
        found = settings(database_url=url)

        assert redacted(found)["database_url"] == shown
        assert set(secrets) <= set(found.secret_values())
        assert "hunter2" not in repr(found)


def test_everything_is_shown_but_the_secrets() -> None:
    shown = redacted(
        settings(
            heygen_api_key="hunter2",
            webhook_secret="hunter3",
            webhook_secrets='{"old": "hunter4"}',
            callback_tokens='["hunter5", "hunter6"]',
            admin_token="hunter7",
            overdue_after="90m",
            webhook_url="https://tracker.example/hooks?gateway=hunter8",
        )
    )

    assert set(shown) == set(Settings.model_fields)
    assert "hunter" not in str(shown)
    assert (shown["heygen_api_key"], shown["webhook_secrets"], shown["callback_tokens"]) == (
        "***",
        "{old: ***}",
        "[***, ***]",
    )
    assert (shown["overdue_after"], shown["listen"]) == ("5400", "127.0.0.1:8321")
    assert shown["webhook_url"] == "https://tracker.example/hooks?***"
    assert redacted(settings())["heygen_api_key"] == ""


def test_the_log_learns_every_secret() -> None:
    found = settings(
        heygen_api_key="key",
        webhook_secret="main",
        webhook_secrets='{"old": "old"}',
        callback_tokens='["token"]',
        admin_token="admin",
        database_url="postgresql://u:password@h/d",
    )

    assert set(found.secret_values()) == {"key", "main", "old", "token", "admin", "password"}
    assert not any(secret in repr(found) for secret in ("'key'", "'token'", "password@"))
