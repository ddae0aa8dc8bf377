"""An index of what has ended and is settled, so that retention finds the oldest of it.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both.

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEX = "ix_translations_finished"
IS_SETTLED = "finished_at IS NOT NULL AND next_poll_at IS NULL AND attention IS NULL"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(INDEX, "translations", ["finished_at"], sqlite_where=sa.text(IS_SETTLED))
        return
    with op.get_context().autocommit_block():  # nobody waits, however large the table is
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an earlier try may have left half of it
        op.create_index(
            INDEX,
            "translations",
            ["finished_at"],
            postgresql_where=sa.text(IS_SETTLED),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index(INDEX, "translations")
