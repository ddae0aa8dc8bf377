"""What `tracker migrate --plan` shows: the way, in the SQL of this engine, and nothing is run."""

import pytest

from tests.integration.store.places import OnSqlite, Storage
from tracker.errors import InputError
from tracker.store.engine import Engines
from tracker.store.schema import migrations, plan, revisions


def test_an_empty_database_is_shown_the_whole_way_and_stays_empty(either: Engines, place: Storage) -> None:
    planned = plan.plan(either.reader)

    assert (planned.before, planned.after) == (None, revisions.needed_revision())
    assert [step.revision for step in planned.steps] == revisions.known_revisions()
    assert all(step.up for step in planned.steps)
    assert planned.steps[0].title.startswith("The first schema")
    if isinstance(place, OnSqlite):
        assert not place.path.exists()
    else:
        assert place.schema() == []


def test_what_is_shown_is_what_makes_the_schema(either: Engines, place: Storage) -> None:
    """Statement by statement, as a database administrator would run it."""
    planned = plan.plan(either.reader)
    for statement in (statement for step in planned.steps for statement in step.sql):
        if statement not in ("BEGIN;", "COMMIT;"):  # each of ours is committed at once
            place.sql(statement)
    by_hand = plainly(place)

    assert plan.plan(either.reader).steps == []
    assert migrations.migrate(either.writer, "0001") == (revisions.needed_revision(), "0001")
    assert migrations.migrate(either.writer) == ("0001", revisions.needed_revision())
    assert plainly(place) == by_hand


def plainly(place: Storage) -> list[tuple[str, str, str]]:
    """The schema, however its SQL is indented."""
    return [(kind, name, " ".join((sql or "").split())) for kind, name, sql in place.schema()]


def test_nothing_to_do_is_a_way_without_steps(either: Engines) -> None:
    migrations.migrate(either.writer)

    newest = revisions.needed_revision()
    assert plan.plan(either.reader) == plan.Plan(newest, newest, [])


def test_the_way_down_takes_the_newest_back_first(either: Engines, place: Storage) -> None:
    migrations.migrate(either.writer)
    before = place.schema()

    planned = plan.plan(either.reader, "0001")

    assert [step.revision for step in planned.steps] == revisions.known_revisions()[:0:-1]
    assert not any(step.up for step in planned.steps)
    assert "DROP TABLE submissions;" in planned.steps[-1].sql
    assert place.schema() == before


def test_each_migration_is_a_transaction_of_its_own_on_postgresql() -> None:
    for step in plan.steps_between(None, revisions.needed_revision(), "postgresql"):
        assert (step.sql[0], step.sql[-1]) == ("BEGIN;", "COMMIT;")
        assert f"'{step.revision}'" in step.sql[-2]


def test_a_revision_that_nobody_knows_is_refused(either: Engines) -> None:
    with pytest.raises(InputError, match="there is no schema revision 0815; known revisions: 0001, 0002"):
        plan.plan(either.reader, "0815")
