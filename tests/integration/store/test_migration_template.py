"""What the template of migrations offers, at work in a migration of a next version, among others."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house.pages import ROOT
from tests.integration.store.places import OnPostgresql, OnSqlite, Storage
from tests.migration_rules import broken_rules
from tests.postgres import Server
from tests.systemd.newer import copy_of_the_tree
from tracker.store.engine import open_engines
from tracker.store.schema import migrations, revisions

NEWEST = revisions.needed_revision()
MIGRATION = '''"""A column, an index and a constraint on a table that is in use."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if on_sqlite():
        op.add_column("translations", sa.Column("priority", sa.Integer()))
    else:
        op.execute("ALTER TABLE translations ADD COLUMN IF NOT EXISTS priority INTEGER")
    fill("translations", "priority = 7", "priority IS NULL")
    create_index("ix_translations_priority", "translations", ["priority"])
    if not on_sqlite():
        add_constraint("translations", "ck_translations_priority", "CHECK (priority > 0)")


def downgrade() -> None:
    op.drop_index("ix_translations_priority", "translations")
    op.drop_column("translations", "priority")


{idioms}
'''


class Newer:
    """A version of tracker with one more migration."""

    def __init__(self, folder: Path) -> None:
        self._folder = copy_of_the_tree(folder)
        _, _, idioms = (ROOT / "migrations" / "script.py.mako").read_text().partition("def on_sqlite")
        text = MIGRATION.format(newest=NEWEST, idioms=f"def on_sqlite{idioms}")
        (self._folder / "migrations" / "versions" / "9001_priority.py").write_text(text)

    def migrate(self, url: str, *flags: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tracker", "migrate", "--json", *flags],
            cwd=self._folder,
            env={"TRACKER_DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def migrated(self, url: str, *flags: str) -> dict[str, Any]:
        process = self.migrate(url, *flags)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer


@pytest.fixture
def newer(tmp_path: Path) -> Newer:
    return Newer(tmp_path / "newer")


@pytest.fixture
def old(place: Storage) -> Storage:
    """A database of this version, with more rows than are written at once."""
    engines = open_engines(place.url)
    migrations.migrate(engines.writer)
    engines.dispose()
    place.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
        "INSERT INTO translations (callback_id) SELECT 'c' || i FROM n"
    )
    return place


def test_a_migration_of_that_kind_goes_up_and_down(newer: Newer, old: Storage) -> None:
    before = old.schema()

    assert newer.migrated(old.url) == {"before": NEWEST, "after": "9001"}
    assert old.sql("SELECT COUNT(*) FROM translations WHERE priority = 7") == [(12000,)]
    assert newer.migrated(old.url, "--to", NEWEST) == {"before": "9001", "after": NEWEST}
    assert old.schema() == before


def test_it_keeps_the_rules_that_it_is_held_against(newer: Newer, postgresql: Server) -> None:
    with postgresql.migrated() as name:
        [step] = newer.migrated(postgresql.url(name), "--plan")["steps"]

    assert broken_rules(step["sql"]) == []


def test_what_a_broken_attempt_left_behind_is_done_again(newer: Newer, postgresql: Server) -> None:
    with postgresql.migrated() as name:
        place = OnPostgresql(postgresql, name)
        assert newer.migrated(place.url)["after"] == "9001"
        complete = place.schema()
        place.sql(f"UPDATE alembic_version SET version_num = '{NEWEST}'")
        place.sql(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_translations_priority'::regclass"
        )

        assert newer.migrated(place.url)["after"] == "9001"

        assert place.schema() == complete
        assert place.sql("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


def test_two_at_once_beside_a_long_transaction_end_with_one_schema(newer: Newer, postgresql: Server) -> None:
    """An index that is built CONCURRENTLY waits for that transaction, and must not wait for the second."""
    with postgresql.migrated() as name:
        url = postgresql.url(name)
        with postgresql.connect(name) as other, other.transaction():
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT 1 FROM alembic_version")  # a snapshot that is kept, as a backup keeps one
            both = [newer.migrate(url) for _ in range(2)]
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'virtualxid'"
            refused = (  # the second one's try for the right to migrate was undone
                f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'tracker'"
                " AND state = 'idle' AND query = 'ROLLBACK'"
            )
            while not (postgresql.execute(waiting, name) and postgresql.execute(refused, name)):
                assert [process.poll() for process in both] == [None, None]
        said = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    began = sorted(json.loads(out)["before"] for out, _ in said)
    assert began == [NEWEST, "9001"]
    assert any("waiting for another migration" in err for _, err in said)


def test_the_newer_version_shows_its_plan(newer: Newer, old: Storage) -> None:
    [step] = newer.migrated(old.url, "--plan")["steps"]

    assert step["title"] == "A column, an index and a constraint on a table that is in use."
    if isinstance(old, OnSqlite):
        assert step["sql"][0] == "ALTER TABLE translations ADD COLUMN priority INTEGER;"
    assert old.sql("SELECT version_num FROM alembic_version") == [(NEWEST,)]
