"""Each migration after the first two keeps the house rules, which its template tells."""

from alembic.script import ScriptDirectory

from tests.house.pages import ROOT
from tests.migration_rules import broken_rules
from tracker.store.schema import migrations, plan, revisions

KNOWN = revisions.known_revisions()
FREE = ("0001", "0002")  # made before anybody had a large table


def test_files_of_migrations_are_named_for_their_revisions() -> None:
    """The names alone tell a verb which schema it needs."""
    scripts = ScriptDirectory.from_config(migrations.migrations_config())

    assert scripts.get_current_head() == KNOWN[-1]
    assert [script.revision for script in scripts.walk_revisions()] == KNOWN[::-1]


def test_no_migration_on_postgresql_stops_the_daemons() -> None:
    """Neither on its way up nor on its way down."""
    newest = KNOWN[-1]
    up = plan.steps_between(FREE[-1], newest, "postgresql")
    down = plan.steps_between(newest, FREE[-1], "postgresql")

    assert len(up) == len(down) == len(KNOWN) - len(FREE)
    for step in [*up, *down]:
        assert broken_rules(step.sql) == [], f"{step.revision}: see migrations/script.py.mako"


def test_the_rules_find_what_the_second_migration_did_to_a_small_table() -> None:
    [step] = plan.steps_between("0001", "0002", "postgresql")

    [broken] = broken_rules(step.sql)
    assert broken.endswith(
        "CREATE INDEX ix_translations_submission_id ON translations (submission_id) WHERE "
        "submission_id IS NOT NULL"
    )


def test_every_revision_has_a_title() -> None:
    for revision in KNOWN:
        assert migrations.title_of(revision).endswith(".")
        assert "\n" not in migrations.title_of(revision)


def test_the_template_shows_how_what_the_rules_ask_for_is_written() -> None:
    template = (ROOT / "migrations" / "script.py.mako").read_text()

    for told in ("autocommit_block", "CONCURRENTLY", "NOT VALID", "VALIDATE", "LIMIT"):
        assert told in template
