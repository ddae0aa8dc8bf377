"""Expand, migrate, contract: what the daemons of earlier releases say, the newest schema still bears."""

import inspect
import re

import pytest

from tests import store_scenario
from tests.integration.store.places import OnSqlite, Storage
from tests.recorded_queries import (
    Recording,
    record,
    recorded,
    recorded_revisions,
    replay_on_postgresql,
    replay_on_sqlite,
)
from tracker.store.archive_repository import ArchiveRepository
from tracker.store.engine import Engines
from tracker.store.repository import Repository
from tracker.store.schema import migrations, revisions


def replayed(place: Storage, recording: Recording) -> list[str]:
    """What goes wrong where all of it is said again, to an empty database."""
    if isinstance(place, OnSqlite):
        return list(replay_on_sqlite(place.path, recording))
    with place.connect() as connection:
        return list(replay_on_postgresql(connection, recording))


def engine_of(place: Storage) -> str:
    return "sqlite" if isinstance(place, OnSqlite) else "postgresql"


def test_there_is_a_recording_of_the_first_schema_that_had_successors() -> None:
    assert "0002" in recorded_revisions()
    assert set(recorded_revisions()) <= set(revisions.known_revisions())


@pytest.mark.parametrize("revision", recorded_revisions())
def test_the_newest_schema_bears_what_an_earlier_release_says(
    either: Engines, place: Storage, revision: str
) -> None:
    migrations.migrate(either.writer)

    assert replayed(place, recorded(revision, engine_of(place))) == []


def test_what_this_version_says_can_be_said_again(either: Engines, place: Storage) -> None:
    """Or a recording would prove nothing."""
    migrations.migrate(either.writer)
    said = record(either)
    kept = place.sql("SELECT COUNT(*) FROM changes")
    tables = ("link_changes", "changes", "delivery_bodies", "deliveries", "translations", "submissions")
    for table in (*tables, "tracker_state"):
        place.sql(f"DELETE FROM {table}")
    if not isinstance(place, OnSqlite):  # which counts from 1 again by itself
        for table in ("link_changes", "changes", "deliveries", "translations", "submissions"):
            place.sql(f"ALTER SEQUENCE {table}_id_seq RESTART")

    assert replayed(place, said) == []
    assert place.sql("SELECT COUNT(*) FROM changes") == kept


@pytest.mark.parametrize(
    ("contracted", "told"),
    [
        ("ALTER TABLE translations RENAME COLUMN caption_url TO captions", "caption_url"),
        ("ALTER TABLE submissions RENAME TO orders", "submissions"),
        ("DROP VIEW tracker_health", "tracker_health"),
        ("CREATE UNIQUE INDEX too_strict ON changes (translation_id)", "(?i)unique"),
    ],
)
def test_a_schema_that_contracts_too_early_is_found_out(
    either: Engines, place: Storage, contracted: str, told: str
) -> None:
    migrations.migrate(either.writer)
    place.sql(contracted)

    refused = replayed(place, recorded("0002", engine_of(place)))

    assert any(re.search(told, one) for one in refused)


def test_a_column_that_only_the_new_release_fills_is_found_out(either: Engines, place: Storage) -> None:
    """An old INSERT does not name it: to look at the statement would not tell."""
    migrations.migrate(either.writer)
    if isinstance(place, OnSqlite):
        place.sql("ALTER TABLE changes ADD COLUMN reason TEXT CHECK (reason IS NOT NULL)")
    else:
        place.sql("ALTER TABLE changes ADD COLUMN reason TEXT NOT NULL")

    refused = replayed(place, recorded("0002", engine_of(place)))

    assert any("reason" in one and "INSERT INTO changes" in one for one in refused)


def test_rows_that_are_no_longer_written_are_found_out(either: Engines, place: Storage) -> None:
    migrations.migrate(either.writer)
    place.sql("INSERT INTO translations (video_translate_id) VALUES ('in the way of the numbers')")

    refused = replayed(place, recorded("0002", engine_of(place)))

    assert any("it wrote 0 rows, and 1 when it was recorded" in one for one in refused)


def test_the_scenario_asks_the_store_for_everything() -> None:
    source = inspect.getsource(store_scenario)
    for face, called in ((Repository, r"\bstore\.(\w+)\("), (ArchiveRepository, r"\bstore\.files\.(\w+)\(")):
        methods = {
            name
            for name, method in inspect.getmembers(face, inspect.iscoroutinefunction)
            if not name.startswith("_")
        }
        assert methods
        assert methods - set(re.findall(called, source)) == set()
