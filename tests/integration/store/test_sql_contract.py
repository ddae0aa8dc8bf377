"""The tables as users meet them: with nothing but a SQL shell."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.databases import write_migrated
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store.engine import open_engines
from tracker.store.repository import Repository

READABLE_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?")
CONTRACT = {
    "translations": """id video_translate_id callback_id status title output_language url message caption_url
        provider_status api_version input_language duration_seconds audio_url srt_url vtt_url url_fetched_at
        url_expires_at attention last_error next_poll_at last_polled_at poll_count poll_failures claimed_by
        claimed_until provider_created_at created_at updated_at finished_at""",
    "changes": "id translation_id old_status new_status source observed_at recorded_at delivery_id",
    "deliveries": """id body_sha256 event_id event_type video_translate_id callback_id signed_by outcome error
        received_at last_received_at times_received""",
    "delivery_bodies": "delivery_id headers body",
    "link_changes": "id translation_id kind old_url new_url source observed_at recorded_at",
}


class Shell:
    """What `sqlite3 tracker.db` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    def __call__(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(statement, values)]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def sql(tmp_path: Path) -> Iterator[Shell]:
    write_migrated(tmp_path / "tracker.db")
    with closing(Shell(tmp_path / "tracker.db")) as shell:
        yield shell


def tracked_by(sql: Shell, now: datetime) -> list[str]:
    """What the poller would ask about now."""

    async def claim() -> list[str]:
        claims = await store.claim_due(now, 100, "test", timedelta(seconds=1))
        return [claim.video_translate_id for claim in claims]

    store = Repository(open_engines(f"sqlite:///{sql.path}"), lambda: now)
    store.open()
    try:
        return asyncio.run(claim())
    finally:
        store.close()


@pytest.mark.parametrize("table", CONTRACT)
def test_every_promised_column_exists(sql: Shell, table: str) -> None:
    columns = {row["name"] for row in sql(f"PRAGMA table_info({table})")}

    assert set(CONTRACT[table].split()) <= columns


def test_one_insert_starts_tracking(sql: Shell) -> None:
    sql("INSERT INTO translations (video_translate_id) VALUES ('7544c0b52ada44fda693a15b1181b5b4-ur_ur-PK')")

    [row] = sql("SELECT * FROM translations")
    assert (row["status"], row["poll_count"], row["poll_failures"]) == ("pending", 0, 0)
    assert all(READABLE_TIME.fullmatch(row[name]) for name in ("created_at", "updated_at", "next_poll_at"))
    made = datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC)
    assert tracked_by(sql, made + timedelta(seconds=1)) == ["7544c0b52ada44fda693a15b1181b5b4-ur_ur-PK"]


def test_defaults_are_in_utc_whatever_the_time_zone(sql: Shell) -> None:
    sql("INSERT INTO translations (video_translate_id) VALUES ('a')")

    [row] = sql("SELECT abs(julianday('now') - julianday(created_at)) * 86400 AS age FROM translations")

    assert row["age"] < 60


def test_an_insert_with_only_a_callback_id_waits_for_its_id(sql: Shell) -> None:
    sql("INSERT INTO translations (callback_id) VALUES ('order-1')")

    [row] = sql("SELECT * FROM translations")
    assert (row["video_translate_id"], row["status"]) == (None, "pending")
    assert tracked_by(sql, datetime(2100, 1, 1, tzinfo=UTC)) == []


def test_callback_ids_may_repeat_and_be_ten_kilobytes_long(sql: Shell) -> None:
    long = "order-" + "é" * 5_000
    sql("INSERT INTO translations (callback_id) VALUES (?)", long)
    sql("INSERT INTO translations (callback_id) VALUES (?)", long)

    assert sql("SELECT COUNT(*) AS n FROM translations WHERE callback_id = ?", long) == [{"n": 2}]


def test_callback_ids_are_found_by_their_index(sql: Shell) -> None:
    [plan] = sql("EXPLAIN QUERY PLAN SELECT * FROM translations WHERE callback_id = 'order-1'")

    assert "ix_translations_callback_id" in plan["detail"]


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        ("video_translate_id, status", "'a', 'done'", "ck_translations_status"),
        ("video_translate_id, status", "'a', 'SUCCESS'", "ck_translations_status"),
        ("video_translate_id, status", "'a', NULL", "translations.status"),
        ("title", "'neither id'", "ck_translations_names_something"),
        ("video_translate_id, attention", "'a', 'bored'", "ck_translations_attention"),
        ("video_translate_id, next_poll_at", "'a', NULL", "ck_translations_open_has_next_poll"),
        ("video_translate_id, next_poll_at", "'a', 'tomorrow'", "ck_translations_next_poll_at_is_a_time"),
        (
            "video_translate_id, next_poll_at",
            "'a', '2026-11-23T09:30:00Z'",
            "ck_translations_next_poll_at_is_a_time",
        ),
        (
            "video_translate_id, next_poll_at",
            "'a', '23.11.2026 09:30:00'",
            "ck_translations_next_poll_at_is_a_time",
        ),
        ("video_translate_id, next_poll_at", "'a', 1795426200", "ck_translations_next_poll_at_is_a_time"),
        (
            "video_translate_id, next_poll_at",
            "'a', '2026-99-23 09:30:00'",
            "ck_translations_next_poll_at_is_a_time",
        ),
        (
            "video_translate_id, next_poll_at",
            "'a', '2026-02-30 09:30:00'",
            "ck_translations_next_poll_at_is_a_time",
        ),
        (
            "video_translate_id, next_poll_at",
            "'a', '2026-11-23 09:30:00 today'",
            "ck_translations_next_poll_at_is_a_time",
        ),
        ("video_translate_id, created_at", "'a', '2026-11-23'", "ck_translations_created_at_is_a_time"),
        (
            "video_translate_id, created_at",
            "'a', 'abcd-ef-gh ij:kl:mn'",
            "ck_translations_created_at_is_a_time",
        ),
        ("video_translate_id, created_at", "'a', NULL", "translations.created_at"),
    ],
)
def test_what_cannot_be_tracked_is_refused(sql: Shell, columns: str, values: str, constraint: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=constraint):
        sql(f"INSERT INTO translations ({columns}) VALUES ({values})")


@pytest.mark.parametrize(
    "time",
    ["2026-11-23 09:30:00", "2026-11-23 09:30:00.5", "2026-11-23 09:30:00.123", "2026-11-23 09:30:00.123456"],
)
def test_readable_times_of_any_precision_are_taken_and_come_due(sql: Shell, time: str) -> None:
    sql(
        "INSERT INTO translations (video_translate_id, created_at, next_poll_at) VALUES ('a', ?, ?)",
        time,
        time,
    )

    assert tracked_by(sql, datetime(2026, 11, 23, 9, 29, 59, tzinfo=UTC)) == []
    assert tracked_by(sql, datetime(2026, 11, 23, 9, 30, 1, tzinfo=UTC)) == ["a"]


def test_an_id_is_tracked_once(sql: Shell) -> None:
    sql("INSERT INTO translations (video_translate_id) VALUES ('a')")

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        sql("INSERT INTO translations (video_translate_id) VALUES ('a')")


def test_a_finished_row_needs_no_next_poll(sql: Shell) -> None:
    sql("INSERT INTO translations (video_translate_id, status, next_poll_at) VALUES ('a', 'success', NULL)")


def test_deleting_a_translation_takes_its_changes_along(sql: Shell) -> None:
    sql("PRAGMA foreign_keys = ON")
    sql("INSERT INTO translations (id, video_translate_id) VALUES (1, 'a')")
    sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at)"
        " VALUES (1, 'pending', 'running', 'poll', '2026-11-23 09:30:00')"
    )

    sql("DELETE FROM translations")

    assert sql("SELECT * FROM changes") == []


def test_deleting_a_delivery_takes_its_body_along_and_leaves_the_change(sql: Shell) -> None:
    sql("PRAGMA foreign_keys = ON")
    sql("INSERT INTO translations (id, video_translate_id) VALUES (1, 'a')")
    sql("INSERT INTO deliveries (id, body_sha256, outcome) VALUES (1, 'ab', 'applied')")
    sql("INSERT INTO delivery_bodies (delivery_id, headers, body) VALUES (1, '[]', x'7b7d')")
    sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at, delivery_id)"
        " VALUES (1, 'pending', 'running', 'poll', '2026-11-23 09:30:00', 1)"
    )

    sql("DELETE FROM deliveries")

    assert sql("SELECT * FROM delivery_bodies") == []
    assert [row["delivery_id"] for row in sql("SELECT * FROM changes")] == [None]


def test_times_that_the_program_writes_look_like_those_of_the_database(sql: Shell) -> None:
    sql("INSERT INTO translations (video_translate_id) VALUES ('a')")
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    seen = Observation(
        source=Source.WEBHOOK,
        observed_at=noon,
        video_translate_id="a",
        status=Status.SUCCESS,
        details=Details(url="https://files.example/a.mp4"),
    )

    store = Repository(open_engines(f"sqlite:///{sql.path}"), lambda: noon)
    store.open()
    asyncio.run(store.apply([Record(observation=seen)], partial(determine_outcome, schedule=Schedule())))
    store.close()

    [row] = sql("SELECT * FROM translations")
    assert row["finished_at"] == row["updated_at"] == "2026-11-23 12:00:00.000000"
    assert row["url_expires_at"] == "2026-11-30 12:00:00.000000"
    [change] = sql("SELECT * FROM changes")
    assert change["recorded_at"] == "2026-11-23 12:00:00.000000"


# The views


def ago(seconds: int) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{-seconds:+d} seconds')"


def test_open_translations_shows_what_is_open_and_how_old_it_is(sql: Shell) -> None:
    sql(
        "INSERT INTO translations (video_translate_id, status, created_at, provider_created_at) VALUES"
        f" ('a', 'running', {ago(60)}, NULL), ('b', 'pending', {ago(60)}, {ago(600)}), ('c', "
        f"'success', {ago(1)}, NULL)"
    )

    ages = {row["video_translate_id"]: row["age_seconds"] for row in sql("SELECT * FROM open_translations")}

    assert ages == {"a": pytest.approx(60, abs=20), "b": pytest.approx(600, abs=20)}


def test_expiring_urls_shows_links_that_end_within_a_day(sql: Shell) -> None:
    sql(
        "INSERT INTO translations (video_translate_id, status, url, url_expires_at) VALUES"
        f" ('soon', 'success', 'https://x', {ago(-3600)}), ('past', 'success', 'https://x', {ago(3600)}),"
        f" ('later', 'success', 'https://x', {ago(-2 * 86400)}), ('none', 'success', NULL, {ago(-3600)})"
    )

    left = {
        row["video_translate_id"]: row["expires_in_seconds"] for row in sql("SELECT * FROM expiring_urls")
    }

    assert left == {"soon": pytest.approx(3600, abs=20), "past": pytest.approx(-3600, abs=20)}


def test_expiring_urls_has_a_row_for_each_kind_of_link(sql: Shell) -> None:
    kinds = {
        "url": "video",
        "audio_url": "audio",
        "caption_url": "captions",
        "srt_url": "srt",
        "vtt_url": "vtt",
    }
    sql("INSERT INTO translations (video_translate_id, status, title) VALUES ('a', 'success', 'Talk')")
    for hours, column in enumerate(kinds):
        end = ago(-3600 * (hours + 1))
        url = f"https://files.example/{column}"
        sql(f"UPDATE translations SET {column} = '{url}', {column}_expires_at = {end}")
    sql(f"UPDATE translations SET url_fetched_at = {ago(60)}")

    told = sql("SELECT * FROM expiring_urls ORDER BY url_expires_at")

    assert [row["kind"] for row in told] == list(kinds.values())
    assert [row["url"] for row in told] == [f"https://files.example/{column}" for column in kinds]
    assert [round(row["expires_in_seconds"] / 3600) for row in told] == [1, 2, 3, 4, 5]
    assert [row["url_fetched_at"] is not None for row in told] == [True, False, False, False, False]
    assert {(row["id"], row["title"]) for row in told} == {(1, "Talk")}

    sql(f"UPDATE translations SET srt_url_expires_at = {ago(-90000)}, vtt_url = NULL")
    assert [row["kind"] for row in sql("SELECT kind FROM expiring_urls ORDER BY url_expires_at")] == [
        "video",
        "audio",
        "captions",
    ]


def test_a_deleted_translation_takes_what_became_of_its_links_along(sql: Shell) -> None:
    sql("PRAGMA foreign_keys = ON")
    sql("INSERT INTO translations (video_translate_id) VALUES ('a')")
    sql(
        "INSERT INTO link_changes (translation_id, kind, old_url, new_url, source, observed_at) "
        f"VALUES (1, 'video', 'https://a/', 'https://b/', 'poll', {ago(60)})"
    )
    with pytest.raises(sqlite3.IntegrityError, match="ck_link_changes_kind"):
        sql("UPDATE link_changes SET kind = 'gif'")

    sql("DELETE FROM translations")

    assert sql("SELECT * FROM link_changes") == []


def test_translation_timings_tell_who_reported_the_end_and_how_late(sql: Shell) -> None:
    sql(
        "INSERT INTO translations (id, video_translate_id, status, created_at, finished_at) VALUES"
        " (1, 'a', 'success', '2026-11-23 09:00:00', '2026-11-23 09:10:00'), (2, 'b', 'running', "
        "'2026-11-23 09:00:00', NULL)"
    )
    sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at, "
        "recorded_at) VALUES"
        " (1, 'pending', 'running', 'poll', '2026-11-23 09:02:00', '2026-11-23 09:02:00.1'),"
        " (1, 'running', 'success', 'webhook', '2026-11-23 09:10:01', '2026-11-23 09:10:01.5')"
    )

    timings = {row.pop("video_translate_id"): row for row in sql("SELECT * FROM translation_timings")}

    assert timings["a"] == {
        "id": 1,
        "callback_id": None,
        "status": "success",
        "submitted_at": "2026-11-23 09:00:00",
        "first_running_at": "2026-11-23 09:02:00",
        "finished_at": "2026-11-23 09:10:00",
        "recorded_at": "2026-11-23 09:10:01.5",
        "source": "webhook",
        "lag_seconds": 1.5,
    }
    assert (timings["b"]["source"], timings["b"]["lag_seconds"]) == (None, None)


def test_translation_timings_of_a_reopened_translation_tell_of_its_last_end(sql: Shell) -> None:
    sql(
        "INSERT INTO translations (id, video_translate_id, status, created_at, finished_at) VALUES"
        " (1, 'a', 'success', '2026-11-23 09:00:00', '2026-11-23 11:00:00')"
    )
    sql(
        "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at, "
        "recorded_at) VALUES"
        " (1, 'pending', 'failed', 'webhook', '2026-11-23 09:10:00', '2026-11-23 09:10:00'),"
        " (1, 'failed', 'pending', 'manual', '2026-11-23 10:00:00', '2026-11-23 10:00:00'),"
        " (1, 'pending', 'success', 'poll', '2026-11-23 11:00:00', '2026-11-23 11:00:02')"
    )

    [row] = sql("SELECT source, lag_seconds FROM translation_timings")

    assert row == {"source": "poll", "lag_seconds": 2.0}


def test_tracker_health_is_one_row_also_while_everything_is_empty(sql: Shell) -> None:
    assert sql("SELECT * FROM tracker_health") == [
        {
            "open": 0,
            "conflict": 0,
            "invalid_id": 0,
            "not_found": 0,
            "url_missing": 0,
            "overdue": 0,
            "oldest_unpolled_seconds": None,
            "last_webhook_at": None,
            "last_good_poll_at": None,
        }
    ]


def test_tracker_health_tells_what_is_open_flagged_late_and_when_anything_last_arrived(sql: Shell) -> None:
    sql(
        "INSERT INTO translations (video_translate_id, status, attention, next_poll_at, "
        "last_polled_at, poll_failures)"
        f" VALUES ('a', 'running', 'overdue', {ago(120)}, '2026-11-23 09:00:00', 0),"
        f" ('b', 'pending', 'not_found', {ago(60)}, '2026-11-23 09:05:00', 3), ('c', 'success', "
        f"NULL, NULL, NULL, 0)"
    )
    sql("INSERT INTO translations (callback_id, next_poll_at) VALUES ('x', '2020-01-01 00:00:00')")
    sql(
        "INSERT INTO deliveries (body_sha256, outcome, last_received_at) VALUES ('ab', "
        "'applied', '2026-11-23 09:30:00')"
    )

    [health] = sql("SELECT * FROM tracker_health")

    assert (health["open"], health["overdue"], health["not_found"], health["conflict"]) == (3, 1, 1, 0)
    assert health["oldest_unpolled_seconds"] == pytest.approx(120, abs=20)
    assert health["last_webhook_at"] == "2026-11-23 09:30:00"
    assert health["last_good_poll_at"] == "2026-11-23 09:00:00"
