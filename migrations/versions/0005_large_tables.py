"""Indexes with which no query reads more of a large table than it takes.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both;
- it can be written as SQL for PostgreSQL (`tracker migrate --plan`): it asks the database nothing there;
- on PostgreSQL it stops nobody: see tests/migration_rules.py, which checks it.

Revision: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IS_OPEN = "status IN ('pending', 'running')"
HAS_ID = "video_translate_id IS NOT NULL"
ASKED_ALONE = (
    "(status IN ('success', 'failed') OR (substr(COALESCE(last_error, ''), 1, 10) = 'not_found:' "
    "AND COALESCE(attention, '') <> 'not_found'))"
)
TOGETHER = f"{HAS_ID} AND NOT {ASKED_ALONE}"
ALONE = f"{HAS_ID} AND {ASKED_ALONE}"
EVERY_ROW = "id > 0"
LEARNT = "poll_failures = 0 AND last_polled_at IS NOT NULL"
INDEXES = {
    "ix_translations_due_together": ("next_poll_at", TOGETHER),
    "ix_translations_due_alone": ("next_poll_at", f"next_poll_at IS NOT NULL AND {ALONE}"),
    "ix_translations_claimed": ("claimed_until", "claimed_until IS NOT NULL"),
    "ix_translations_unflagged": ("created_at", f"{IS_OPEN} AND attention IS NULL"),
    "ix_translations_good_poll": ("last_polled_at", LEARNT),
    "ix_translations_flagged": ("id", "attention IS NOT NULL"),
    "ix_translations_counted": ("status, attention", EVERY_ROW),
}
FLAGS = ("conflict", "invalid_id", "not_found", "url_missing", "overdue")


def upgrade() -> None:
    replace_health(
        oldest=f"""
            SELECT MIN(oldest) FROM (
                SELECT MIN(next_poll_at) AS oldest FROM translations WHERE {TOGETHER}
                UNION ALL
                SELECT MIN(next_poll_at) FROM translations WHERE next_poll_at IS NOT NULL AND {ALONE}
            ) AS lanes
        """,
        open_=f"{EVERY_ROW} AND {IS_OPEN}",
        learnt=LEARNT,
    )
    for name, (columns, condition) in INDEXES.items():
        create_index(name, columns.split(", "), condition)


def downgrade() -> None:
    replace_health(
        oldest=f"SELECT MIN(next_poll_at) FROM translations WHERE next_poll_at <= {{now}} AND {HAS_ID}",
        open_=IS_OPEN,
        learnt="poll_failures = 0",
    )
    for name in INDEXES:
        op.drop_index(name, "translations")


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def create_index(name: str, columns: list[str], condition: str) -> None:
    """On PostgreSQL while others write; a broken attempt leaves an index that is invalid, and goes first."""
    where = sa.text(condition)
    if on_sqlite():
        op.create_index(name, "translations", columns, sqlite_where=where)
        return
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(name, "translations", columns, postgresql_where=where, postgresql_concurrently=True)


def replace_health(*, open_: str, oldest: str, learnt: str) -> None:
    """The same columns; on PostgreSQL whoever may read the view still may."""
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if on_sqlite() else "CURRENT_TIMESTAMP"
    counted = ", ".join(
        f"(SELECT COUNT(*) FROM translations WHERE attention = '{flag}') AS {flag}" for flag in FLAGS
    )
    waited = seconds_until(now, f"({oldest.format(now=now)})")
    view = f"""
        VIEW tracker_health AS
        SELECT (SELECT COUNT(*) FROM translations WHERE {open_}) AS open, {counted},
               (SELECT CASE WHEN waited >= 0 THEN waited END FROM (SELECT {waited} AS waited) AS due)
                   AS oldest_unpolled_seconds,
               (SELECT MAX(last_received_at) FROM deliveries) AS last_webhook_at,
               (SELECT MAX(last_polled_at) FROM translations WHERE {learnt}) AS last_good_poll_at
    """
    if on_sqlite():
        op.execute("DROP VIEW tracker_health")
    op.execute(f"CREATE {'' if on_sqlite() else 'OR REPLACE '}{view.strip()}")


def seconds_until(now: str, start: str) -> str:
    if on_sqlite():
        return f"ROUND((julianday({now}) - julianday({start})) * 86400.0, 3)"
    return f"ROUND(EXTRACT(EPOCH FROM ({now}) - {start})::numeric, 3)::double precision"
