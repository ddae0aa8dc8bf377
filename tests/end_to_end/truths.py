"""What must hold of the database: always, and at the end."""

import hashlib
from itertools import groupby

from tracker.simulator.truth import TranslationTruth, Truth

from .processes import Database, Row

FINAL = ("success", "failed")


def check_invariants(database: Database) -> None:
    """Design's invariants 2 to 5, and that SQLite itself is content."""
    assert database.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert database.query("PRAGMA foreign_key_check") == []
    for row in database.query("SELECT * FROM translations"):
        changes = database.query("SELECT * FROM changes WHERE translation_id = ? ORDER BY id", row["id"])
        assert replay(changes) == row["status"], row
        assert sum(change["new_status"] in FINAL for change in changes) <= 1, changes
        if row["status"] not in FINAL and row["video_translate_id"] is not None:
            assert row["next_poll_at"] is not None, row
    assert database.query("SELECT * FROM changes WHERE source = 'webhook' AND delivery_id IS NULL") == []
    bodies = database.query("SELECT * FROM deliveries LEFT JOIN delivery_bodies ON delivery_id = id")
    for row in bodies:
        assert hashlib.sha256(row["body"]).hexdigest() == row["body_sha256"]


def replay(changes: list[Row]) -> str:
    """The status that the changes lead to, each beginning where the one before it ended."""
    status = "pending"
    for change in changes:
        assert change["old_status"] == status, changes
        status = change["new_status"]
    return status


def wrong_rows(database: Database, truth: Truth) -> dict[str, str]:
    """What is not yet as the simulator says, by id; empty: all of it is right."""
    rows = {row["video_translate_id"]: row for row in database.query("SELECT * FROM translations")}
    compared = {
        one.video_translate_id: _difference(rows.get(one.video_translate_id), one)
        for one in truth.translations
    }
    return {name: difference for name, difference in compared.items() if difference}


def is_right(database: Database, truth: Truth) -> bool:
    return truth.all_finished and not wrong_rows(database, truth)


def _difference(row: Row | None, truth: TranslationTruth) -> str:
    if row is None:
        return "is not tracked"
    if row["status"] != truth.status:
        return f"is {row['status']}, in truth {truth.status}"
    if truth.status == "success" and bool(row["url"]) != truth.url_ready:
        return f"its url is {row['url']}"
    if truth.status == "failed" and (row["message"], row["url"]) != (truth.message, None):
        return f"its message is {row['message']!r}, in truth {truth.message!r}"
    return ""


def ends_by_translation(database: Database) -> dict[str, list[str]]:
    """The sources of the final changes of each translation."""
    rows = database.query(
        "SELECT video_translate_id AS name, source FROM changes JOIN translations t ON t.id = translation_id "
        "WHERE new_status IN ('success', 'failed') ORDER BY name"
    )
    return {name: [row["source"] for row in some] for name, some in groupby(rows, lambda row: row["name"])}
