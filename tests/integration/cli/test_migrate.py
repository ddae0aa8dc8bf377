"""`tracker migrate`: what it says it did, and what it would do."""

import sqlite3

from tests.integration.cli.conftest import Program
from tracker.store.schema import revisions

NEWEST = revisions.needed_revision()


def test_a_plan_is_sql_and_makes_nothing(tracker: Program) -> None:
    ran = tracker("migrate", "--plan")

    assert ran.code == 0
    assert ran.out.startswith(f"-- current schema: none; target: {NEWEST}\n")
    assert "\n-- 0001: The first schema: translations, deliveries with their bodies, changes" in ran.out
    assert "\n-- 0002: Submissions, and what the tracker remembers between runs.\n" in ran.out
    assert ran.out.endswith("-- nothing was run; run it without --plan\n")
    assert not tracker.path.exists()
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(ran.out)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]


def test_a_plan_without_anything_to_do_says_so(migrated: Program) -> None:
    ran = migrated("migrate", "--plan")

    assert (ran.code, ran.out) == (0, f"-- current schema: {NEWEST}; target: {NEWEST}\n-- nothing to do\n")


def test_a_plan_shows_the_way_down(migrated: Program) -> None:
    ran = migrated("migrate", "--plan", "--to", "0001")

    assert "\n-- 0002 (downgrade): Submissions, and what the tracker remembers between runs.\n" in ran.out
    assert "\nDROP TABLE submissions;\n" in ran.out
    assert migrated("migrate").out == f"the schema is up to date: {NEWEST}\n"


def test_a_plan_for_programs(migrated: Program) -> None:
    way = migrated("migrate", "--plan", "--to", "0001", "--json").json

    assert (way["before"], way["after"]) == (NEWEST, "0001")
    assert [(step["revision"], step["up"]) for step in way["steps"]][-1] == ("0002", False)
    assert way["steps"][-1]["title"] == "Submissions, and what the tracker remembers between runs."
    assert "DROP TABLE submissions;" in way["steps"][-1]["sql"]
    assert migrated("migrate", "--plan", "--json").json == {"before": NEWEST, "after": NEWEST, "steps": []}


def test_a_plan_to_nowhere_is_wrong_input(migrated: Program) -> None:
    ran = migrated("migrate", "--plan", "--to", "0815")

    assert ran.code == 2
    assert "there is no schema revision 0815" in ran.err
