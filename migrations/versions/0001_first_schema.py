"""The first schema: translations, deliveries with their bodies, changes, and four views.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMES = (
    "url_fetched_at",
    "url_expires_at",
    "attention_since",
    "next_poll_at",
    "last_polled_at",
    "failing_since",
    "claimed_until",
    "provider_created_at",
    "created_at",
    "updated_at",
    "finished_at",
)
VIEWS = ("tracker_health", "translation_timings", "expiring_urls", "open_translations")


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(26) if sqlite else sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "CURRENT_TIMESTAMP")
    create_tables(time, now, readable_time_checks() if sqlite else [])
    create_views(sqlite)


def downgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    for table in ("changes", "delivery_bodies", "deliveries", "translations"):
        op.drop_table(table)


def readable_time_checks() -> list[sa.CheckConstraint]:
    """SQLite stores any text as a time; one in another form would never come due, or could not be read."""
    return [
        sa.CheckConstraint(
            f"strftime('%Y-%m-%d %H:%M:%S', substr({column}, 1, 19), '+0 days') IS substr({column}, 1, 19) "
            f"AND {column} > '0001' AND (substr({column}, 20) = '' OR (substr({column}, 20) GLOB '.[0-9]*' "
            f"AND trim(substr({column}, 21), '0123456789') = ''))",
            name=op.f(f"ck_translations_{column}_is_a_time"),
        )
        for column in TIMES
    ]


def create_tables(
    time: sa.types.TypeEngine, now: sa.TextClause, readable_times: list[sa.CheckConstraint]
) -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column(
            "body_sha256",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of the body: what is a duplicate",
        ),
        sa.Column("event_id", sa.Text(), comment="not signed by HeyGen: never used to tell duplicates"),
        sa.Column("event_type", sa.Text()),
        sa.Column("video_translate_id", sa.Text()),
        sa.Column("callback_id", sa.Text()),
        sa.Column("signed_by", sa.Text(), comment="name of the secret that signed it; null: unsigned"),
        sa.Column(
            "outcome",
            sa.String(length=16),
            nullable=False,
            comment="applied, unchanged, hint, ignored, unknown or error",
        ),
        sa.Column("error", sa.Text()),
        sa.Column("received_at", time, server_default=now, nullable=False),
        sa.Column("last_received_at", time, server_default=now, nullable=False),
        sa.Column("times_received", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('applied', 'unchanged', 'hint', 'ignored', 'unknown', 'error')",
            name=op.f("ck_deliveries_outcome"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("body_sha256", name=op.f("uq_deliveries_body_sha256")),
        comment="one row per webhook body received, however often",
    )
    op.create_index("ix_deliveries_last_received_at", "deliveries", ["last_received_at"])
    op.create_index(
        "ix_deliveries_video_translate_id", "deliveries", ["video_translate_id"], postgresql_using="hash"
    )
    op.create_table(
        "translations",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("video_translate_id", sa.String(length=255), comment="HeyGen's id; null until it is known"),
        sa.Column("callback_id", sa.Text(), comment="your own id; the languages of one request share it"),
        sa.Column(
            "status",
            sa.String(length=16),
            server_default="pending",
            nullable=False,
            comment="pending, running, success or failed",
        ),
        sa.Column("title", sa.Text()),
        sa.Column("output_language", sa.Text()),
        sa.Column("url", sa.Text(), comment="the result; the link expires, see url_expires_at"),
        sa.Column("message", sa.Text(), comment="HeyGen's explanation, above all of a failure"),
        sa.Column("caption_url", sa.Text(), comment="captions in .ass format"),
        sa.Column("provider_status", sa.Text(), comment="the status word as HeyGen said it"),
        sa.Column("api_version", sa.String(length=8), comment="the HeyGen API that answered last: v2 or v3"),
        sa.Column("input_language", sa.Text()),
        sa.Column("duration_seconds", sa.Double()),
        sa.Column("audio_url", sa.Text()),
        sa.Column("srt_url", sa.Text()),
        sa.Column("vtt_url", sa.Text()),
        sa.Column("url_fetched_at", time),
        sa.Column("url_expires_at", time, comment="what the url says, else 7 days after url_fetched_at"),
        sa.Column("attention", sa.String(length=16), comment="why a person should look; null: no need"),
        sa.Column("attention_since", time, comment="when that flag was raised"),
        sa.Column("last_error", sa.Text(), comment="why the latest poll learnt nothing; null: it did"),
        sa.Column(
            "next_poll_at", time, server_default=now, comment="due time of the next poll; null: none needed"
        ),
        sa.Column("last_polled_at", time),
        sa.Column("poll_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "poll_failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="polls in a row that learnt nothing",
        ),
        sa.Column("failing_since", time, comment="when that row of polls began"),
        sa.Column("claimed_by", sa.Text(), comment="the tracker that is polling it now"),
        sa.Column("claimed_until", time, comment="when that claim lapses"),
        sa.Column("provider_created_at", time, comment="when HeyGen says it was created"),
        sa.Column(
            "created_at", time, server_default=now, nullable=False, comment="when it was first tracked"
        ),
        sa.Column("updated_at", time, server_default=now, nullable=False),
        sa.Column("finished_at", time, comment="when it ended: HeyGen's time, else when the end was seen"),
        sa.CheckConstraint(
            "attention IN ('conflict', 'invalid_id', 'not_found', 'url_missing', 'overdue')",
            name=op.f("ck_translations_attention"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'success', 'failed')", name=op.f("ck_translations_status")
        ),
        sa.CheckConstraint(
            "status IN ('success', 'failed') OR video_translate_id IS NULL OR next_poll_at IS NOT NULL",
            name=op.f("ck_translations_open_has_next_poll"),
        ),
        sa.CheckConstraint(
            "video_translate_id IS NOT NULL OR callback_id IS NOT NULL",
            name=op.f("ck_translations_names_something"),
        ),
        *readable_times,
        sa.PrimaryKeyConstraint("id", name=op.f("pk_translations")),
        sa.UniqueConstraint("video_translate_id", name=op.f("uq_translations_video_translate_id")),
        comment="one row per tracked HeyGen video translation",
    )
    op.create_index(
        "ix_translations_attention",
        "translations",
        ["attention"],
        sqlite_where=sa.text("attention IS NOT NULL"),
        postgresql_where=sa.text("attention IS NOT NULL"),
    )
    op.create_index("ix_translations_callback_id", "translations", ["callback_id"], postgresql_using="hash")
    op.create_index(
        "ix_translations_due",
        "translations",
        ["next_poll_at"],
        sqlite_where=sa.text("next_poll_at IS NOT NULL"),
        postgresql_where=sa.text("next_poll_at IS NOT NULL"),
    )
    op.create_index(
        "ix_translations_open",
        "translations",
        ["created_at"],
        sqlite_where=sa.text("status IN ('pending', 'running')"),
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_index("ix_translations_url_expires_at", "translations", ["url_expires_at"])
    op.create_table(
        "changes",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("translation_id", BIG_KEY, nullable=False),
        sa.Column("old_status", sa.String(length=16), nullable=False),
        sa.Column("new_status", sa.String(length=16), nullable=False),
        sa.Column(
            "source",
            sa.String(length=16),
            nullable=False,
            comment="who said so: webhook, poll, event_log, list or manual",
        ),
        sa.Column("observed_at", time, nullable=False, comment="when the source said so"),
        sa.Column("recorded_at", time, server_default=now, nullable=False, comment="when it was stored"),
        sa.Column("delivery_id", BIG_KEY),
        sa.Column("note", sa.Text(), comment="why a final status was left"),
        sa.CheckConstraint(
            "new_status IN ('pending', 'running', 'success', 'failed')", name=op.f("ck_changes_new_status")
        ),
        sa.CheckConstraint(
            "old_status IN ('pending', 'running', 'success', 'failed')", name=op.f("ck_changes_old_status")
        ),
        sa.CheckConstraint(
            "source IN ('webhook', 'poll', 'event_log', 'list', 'manual')", name=op.f("ck_changes_source")
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_changes_delivery_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["translation_id"],
            ["translations.id"],
            name=op.f("fk_changes_translation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        comment="one row per status change; replayed in order they give translations.status",
    )
    op.create_index(op.f("ix_changes_delivery_id"), "changes", ["delivery_id"])
    op.create_index(op.f("ix_changes_translation_id"), "changes", ["translation_id"])
    op.create_table(
        "delivery_bodies",
        sa.Column("delivery_id", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column(
            "headers", sa.Text(), nullable=False, comment="JSON list of name and value, as first received"
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the bytes as they came"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name=op.f("fk_delivery_bodies_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_delivery_bodies")),
        comment="what a delivery looked like; kept for a shorter time",
    )


def create_views(sqlite: bool) -> None:
    seconds = sqlite_seconds if sqlite else postgresql_seconds
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if sqlite else "CURRENT_TIMESTAMP"
    in_a_day = (
        "strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 day')"
        if sqlite
        else "CURRENT_TIMESTAMP + interval '1 day'"
    )
    op.execute(
        f"""
        CREATE VIEW open_translations AS
        SELECT id, video_translate_id, callback_id, status, title, output_language, attention, created_at,
               {seconds("COALESCE(provider_created_at, created_at)", now)} AS age_seconds,
               last_polled_at, next_poll_at, last_error
        FROM translations
        WHERE status IN ('pending', 'running')
        """
    )
    op.execute(
        f"""
        CREATE VIEW expiring_urls AS
        SELECT id, video_translate_id, callback_id, title, output_language,
               url, url_fetched_at, url_expires_at, {seconds(now, "url_expires_at")} AS expires_in_seconds
        FROM translations
        WHERE url IS NOT NULL AND url_expires_at < {in_a_day}
        """
    )
    op.execute(
        f"""
        CREATE VIEW translation_timings AS
        SELECT t.id, t.video_translate_id, t.callback_id, t.status,
               COALESCE(t.provider_created_at, t.created_at) AS submitted_at,
               (SELECT MIN(c.observed_at) FROM changes c
                WHERE c.translation_id = t.id AND c.new_status = 'running') AS first_running_at,
               t.finished_at, e.recorded_at, e.source,
               {seconds("t.finished_at", "e.recorded_at")} AS lag_seconds
        FROM translations t
        LEFT JOIN changes e ON e.id = (
            SELECT MIN(c.id) FROM changes c
            WHERE c.translation_id = t.id AND c.new_status IN ('success', 'failed')
              AND t.status IN ('success', 'failed')
              AND c.id > (SELECT COALESCE(MAX(r.id), 0) FROM changes r
                          WHERE r.translation_id = t.id AND r.new_status IN ('pending', 'running')))
        """
    )
    flags = ("conflict", "invalid_id", "not_found", "url_missing", "overdue")
    counted = ", ".join(
        f"(SELECT COUNT(*) FROM translations WHERE attention = '{flag}') AS {flag}" for flag in flags
    )
    op.execute(
        f"""
        CREATE VIEW tracker_health AS
        SELECT (SELECT COUNT(*) FROM translations WHERE status IN ('pending', 'running')) AS open, {counted},
               (SELECT {seconds("MIN(next_poll_at)", now)} FROM translations
                WHERE next_poll_at <= {now} AND video_translate_id IS NOT NULL) AS oldest_unpolled_seconds,
               (SELECT MAX(last_received_at) FROM deliveries) AS last_webhook_at,
               (SELECT MAX(last_polled_at) FROM translations WHERE poll_failures = 0) AS last_good_poll_at
        """
    )


def sqlite_seconds(start: str, end: str) -> str:
    return f"ROUND((julianday({end}) - julianday({start})) * 86400.0, 3)"


def postgresql_seconds(start: str, end: str) -> str:
    return f"ROUND(EXTRACT(EPOCH FROM ({end}) - ({start}))::numeric, 3)::double precision"
