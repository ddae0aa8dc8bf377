"""What of new settings can run without a restart."""

from typing import Any

import pytest

from tracker.settings import Settings
from tracker.settings.model import LIVE, Reload

OTHERS: dict[str, Any] = {
    "database_url": "sqlite:///other.db",
    "heygen_base_url": "https://other.example",
    "heygen_api": "v3",
    "webhook_secrets_file": "/var/lib/other.json",
    "webhook_url": "https://tracker.example/webhooks/heygen",
    "listen": "127.0.0.1:1",
    "admin_listen": "127.0.0.1:2",
    "concurrency": 11,
    "request_timeout": 16,
    "discover_adopt": "all",
    "file_hosts": ["files.example.com"],
    "file_hosts_unsafe": ["127.0.0.1:8399"],
    "archive_max_bytes": 1000,
    "archive": "/srv/other",
    "archive_kinds": "srt",
    "archive_key": "{video_translate_id}/{kind}.{extension}",
    "archive_spool": "/var/lib/other-spool",
    "archive_s3_endpoint": "https://s3.other.example",
    "archive_s3_region": "eu-central-1",
    "archive_s3_access_key": "AKIA2",
    "archive_s3_secret_key": "secret-2",
    "archive_s3_allow_http": True,
    "database_wait": 61,
    "stop_timeout": 21,
    "sqlite_synchronous": "normal",
    "log_format": "json",
    "heygen_api_key": "key-2",
    "webhook_secret": "whsec_2",
    "webhook_secrets": {"old": "whsec_3"},
    "callback_tokens": ["token-2"],
    "admin_token": "admin-2",
    "rate_limit": 6,
    "poll_min_interval": 16,
    "poll_max_interval": 601,
    "max_staleness": 61,
    "discover_interval": 3600,
    "keep_links_fresh": "always",
    "overdue_after": 3601,
    "give_up_after": 86_400,
    "keep_delivery_bodies": 86_400,
    "keep_deliveries": 8 * 86_400,
    "keep_finished": 86_400 * 365,
    "archive_concurrency": 3,
    "archive_bandwidth": 1_000_000,
    "archive_min_free": 5,
    "log_level": "debug",
}


def settings(**given: Any) -> Settings:
    return Settings.model_validate({"heygen_api_key": "key-1"} | given)


def reloaded(now: dict[str, Any], wanted: dict[str, Any]) -> Reload:
    return settings(**now).reloaded(settings(**wanted))


def test_every_setting_is_tried() -> None:
    assert OTHERS.keys() == Settings.model_fields.keys()


def test_what_opens_and_connects_needs_a_restart_and_nothing_else() -> None:
    assert OTHERS.keys() - LIVE == set(list(OTHERS)[:26])


def test_what_is_live_is_taken_over_and_what_is_not_waits() -> None:
    for name in OTHERS:
        now, wanted = settings(), settings(**{name: OTHERS[name]})
        reload = now.reloaded(wanted)
        if name in LIVE:
            assert (reload.applied, reload.waiting, reload.settings) == ([name], [], wanted)
        else:
            assert (reload.applied, reload.waiting, reload.settings) == ([], [name], now)


def test_of_many_each_goes_its_own_way() -> None:
    reload = reloaded({}, OTHERS)
    assert set(reload.applied) == LIVE
    assert set(reload.waiting) == OTHERS.keys() - LIVE
    assert (reload.settings.rate_limit, reload.settings.concurrency) == (6, 10)


def test_what_is_the_same_is_not_told() -> None:
    assert (reloaded(OTHERS, OTHERS).applied, reloaded(OTHERS, OTHERS).waiting) == ([], [])


def test_what_is_no_longer_set_goes_back_to_its_default() -> None:
    reload = reloaded({"rate_limit": 2, "webhook_secret": "whsec_1"}, {})
    assert set(reload.applied) == {"rate_limit", "webhook_secret"}
    assert (reload.settings.rate_limit, reload.settings.signing_secrets) == (5, {})


@pytest.mark.parametrize(("now", "wanted"), [(None, "key-1"), ("key-1", None)])
def test_polling_begins_and_ends_with_a_restart(now: str | None, wanted: str | None) -> None:
    reload = reloaded({"heygen_api_key": now}, {"heygen_api_key": wanted, "rate_limit": 2})
    assert (reload.applied, reload.waiting) == (["rate_limit"], ["heygen_api_key"])
    kept = reload.settings.heygen_api_key
    assert (kept.get_secret_value() if kept else None) == now


def test_what_waits_is_named_at_each_reload_until_it_is_taken_back() -> None:
    first = reloaded({}, {"concurrency": 11, "rate_limit": 2})
    again = first.settings.reloaded(settings(concurrency=11, rate_limit=2))
    assert (again.applied, again.waiting) == ([], ["concurrency"])
    back = again.settings.reloaded(settings(rate_limit=2))
    assert (back.applied, back.waiting) == ([], [])
