"""The files of finished translations that are kept, or are to be.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both;
- it can be written as SQL for PostgreSQL (`tracker migrate --plan`): it asks the database nothing there;
- on PostgreSQL it stops nobody: see tests/migration_rules.py, which checks it.

Revision: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
BIG_KEY = BIG.with_variant(sa.Integer(), "sqlite")
TABLE = "archived_files"
INDEXES = {
    "ix_archived_files_due": (["next_attempt_at"], "next_attempt_at IS NOT NULL"),
    "ix_archived_files_missing": (["state", "finished_at"], "archived_at IS NULL"),
}


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(26) if sqlite else sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "CURRENT_TIMESTAMP")
    op.create_table(
        TABLE,
        sa.Column("translation_id", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False, comment="video, audio, captions, srt or vtt"),
        sa.Column(
            "state",
            sa.String(16),
            server_default="waiting",
            nullable=False,
            comment="waiting, downloading, archived or failed",
        ),
        sa.Column("location", sa.Text(), comment="absolute path, or s3://bucket/key; null: not there yet"),
        sa.Column("bytes", BIG, comment="its size"),
        sa.Column("sha256", sa.String(64), comment="of its bytes, in hex"),
        sa.Column("content_type", sa.Text(), comment="as the file host said"),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="in a row that brought nothing",
        ),
        sa.Column("next_attempt_at", time, comment="when to try next; null: nothing is left to do"),
        sa.Column("error", sa.Text(), comment="why the latest attempt failed; null: it did not"),
        sa.Column("claimed_by", sa.Text(), comment="the tracker that is downloading it now"),
        sa.Column("claimed_until", time, comment="when that claim lapses"),
        sa.Column("finished_at", time, nullable=False, comment="when the translation ended"),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("archived_at", time, comment="when it was there, complete and under its name"),
        sa.CheckConstraint(
            "kind IN ('video', 'audio', 'captions', 'srt', 'vtt')", name=op.f("ck_archived_files_kind")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'downloading', 'archived', 'failed')", name=op.f("ck_archived_files_state")
        ),
        sa.CheckConstraint(
            "(state = 'archived') = (archived_at IS NOT NULL)",
            name=op.f("ck_archived_files_archived_has_time"),
        ),
        sa.CheckConstraint(
            "(state IN ('waiting', 'downloading')) = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_archived_files_open_has_next_attempt"),
        ),
        sa.ForeignKeyConstraint(
            ["translation_id"],
            ["translations.id"],
            name=op.f("fk_archived_files_translation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("translation_id", "kind", name=op.f("pk_archived_files")),
        comment="one row per file of a finished translation that is kept, or is to be",
    )
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, TABLE, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, TABLE)
    op.drop_table(TABLE)
