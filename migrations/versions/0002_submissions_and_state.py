"""Submissions, and what the tracker remembers between runs.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both.

Revision: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = "'planned', 'sent', 'done', 'refused', 'unanswered'"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(26) if sqlite else sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "CURRENT_TIMESTAMP")
    op.create_table(
        "tracker_state",
        sa.Column("name", sa.String(64), nullable=False, comment="what is remembered"),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("updated_at", time, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tracker_state")),
        comment="what the tracker remembers between runs; not for other programs",
    )
    op.create_table(
        "submissions",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column(
            "idempotency_key", sa.String(255), nullable=False, comment="sent to HeyGen with every attempt"
        ),
        sa.Column("request", sa.Text(), nullable=False, comment="JSON: what HeyGen is asked to create"),
        sa.Column(
            "state",
            sa.String(16),
            server_default="planned",
            nullable=False,
            comment="planned, sent (no answer yet), done, refused, or unanswered (given up)",
        ),
        sa.Column("api_version", sa.String(8), comment="the HeyGen API it was sent to"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), comment="why the latest attempt brought no ids"),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("sent_at", time, comment="when it was first sent"),
        sa.Column("next_attempt_at", time, comment="when to try again; null: nothing is left to do"),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("ck_submissions_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_submissions_idempotency_key")),
        comment="one row per request that asked HeyGen to create translations",
    )
    op.create_index(
        "ix_submissions_due",
        "submissions",
        ["next_attempt_at"],
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.add_column(
        "translations",
        sa.Column(
            "submission_id", BIG_KEY, comment="the row of submissions that created it; null: others did"
        ),
    )
    op.create_index(
        "ix_translations_submission_id",
        "translations",
        ["submission_id"],
        sqlite_where=sa.text("submission_id IS NOT NULL"),
        postgresql_where=sa.text("submission_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_translations_submission_id", "translations")
    op.drop_column("translations", "submission_id")
    op.drop_index("ix_submissions_due", "submissions")
    op.drop_table("submissions")
    op.drop_table("tracker_state")
