"""${message}

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both;
- it can be written as SQL for PostgreSQL (`tracker migrate --plan`): it asks the database nothing there;
- on PostgreSQL it stops nobody: see below, and tests/migration_rules.py, which checks it.

Revision: ${up_revision}
Revises: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}


# For tables that others write to meanwhile. Keep what you use, delete the rest and this line.
# What an autocommit block follows is committed with it, and comes again after an attempt that broke off:
# it needs IF NOT EXISTS, or a migration of its own.


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def create_index(name: str, table: str, columns: list[str], **more: object) -> None:
    """On PostgreSQL while others write; a broken attempt leaves an index that is invalid, and goes first."""
    if on_sqlite():
        op.create_index(name, table, columns, **more)
        return
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(name, table, columns, postgresql_concurrently=True, **more)


def add_constraint(table: str, name: str, definition: str) -> None:
    """On PostgreSQL: what is new is checked at once, what is there without a lock. SQLite: batch_alter_table."""
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def fill(table: str, assignment: str, where: str) -> None:
    """Write to the rows that `where` finds, which the assignment must end; on PostgreSQL a few at a time."""
    if on_sqlite():
        op.execute(f"UPDATE {table} SET {assignment} WHERE {where}")
        return
    with op.get_context().autocommit_block():
        op.execute(
            f"DO $$ BEGIN LOOP UPDATE {table} SET {assignment} WHERE id IN "
            f"(SELECT id FROM {table} WHERE {where} LIMIT 5000); EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$"
        )
