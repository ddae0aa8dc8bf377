"""Until when each link works, when links are renewed, and which of them led elsewhere.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both;
- it can be written as SQL for PostgreSQL (`tracker migrate --plan`): it asks the database nothing there;
- on PostgreSQL it stops nobody: see tests/migration_rules.py, which checks it.

What earlier releases have stored is not filled in: the next look at a translation does that, and until then
ix_translations_unplanned_links finds it.

Revision: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COLUMNS = {
    "audio_url_expires_at": "until when audio_url works; as url_expires_at",
    "caption_url_expires_at": "until when caption_url works; as url_expires_at",
    "srt_url_expires_at": "until when srt_url works; as url_expires_at",
    "vtt_url_expires_at": "until when vtt_url works; as url_expires_at",
    "renew_links_at": "when to ask for new links where they are always kept fresh: "
    "a day before the first one ends",
}
COMMENTS = {
    "audio_url": "the translated sound alone; see audio_url_expires_at",
    "caption_url": "captions in .ass format; see caption_url_expires_at",
    "srt_url": "captions in .srt format; see srt_url_expires_at",
    "vtt_url": "captions in .vtt format; see vtt_url_expires_at",
    "url_fetched_at": "when HeyGen gave url",
}
EARLIER_COMMENTS = {"caption_url": "captions in .ass format"}
RENEWALS, UNPLANNED = "ix_translations_renew_links_at", "ix_translations_unplanned_links"
KINDS = {"video": "url", "audio": "audio_url", "captions": "caption_url", "srt": "srt_url", "vtt": "vtt_url"}


def upgrade() -> None:
    for name, meaning in COLUMNS.items():
        add_time(name, meaning)
    for name, meaning in COMMENTS.items():
        comment_on(name, meaning)
    create_index(RENEWALS, "translations", ["renew_links_at"], "renew_links_at IS NOT NULL")
    unplanned = "renew_links_at IS NULL AND status = 'success' AND url_expires_at IS NOT NULL"
    create_index(UNPLANNED, "translations", ["url_expires_at"], unplanned)
    create_link_changes()
    create_view()


def downgrade() -> None:
    op.execute("DROP VIEW expiring_urls")
    op.drop_table("link_changes")
    op.drop_index(UNPLANNED, "translations")
    op.drop_index(RENEWALS, "translations")
    for name in reversed(COLUMNS):
        op.drop_column("translations", name)
    for name in COMMENTS:
        comment_on(name, EARLIER_COMMENTS.get(name))
    create_first_view()


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def comment_on(column: str, meaning: str | None) -> None:
    """SQLite has no comments."""
    if not on_sqlite():
        text = "NULL" if meaning is None else f"'{meaning}'"
        op.execute(f"COMMENT ON COLUMN translations.{column} IS {text}")


def add_time(column: str, meaning: str) -> None:
    """With the CHECK that the others have on SQLite, which stores any text as a time."""
    if not on_sqlite():
        added = sa.Column(column, sa.DateTime(timezone=True), comment=meaning)
        op.add_column("translations", added, if_not_exists=True)
        return
    op.execute(
        f"ALTER TABLE translations ADD COLUMN {column} VARCHAR(26) "
        f"CONSTRAINT ck_translations_{column}_is_a_time CHECK ("
        f"strftime('%Y-%m-%d %H:%M:%S', substr({column}, 1, 19), '+0 days') IS substr({column}, 1, 19) "
        f"AND {column} > '0001' AND (substr({column}, 20) = '' OR (substr({column}, 20) GLOB '.[0-9]*' "
        f"AND trim(substr({column}, 21), '0123456789') = '')))"
    )


def create_index(name: str, table: str, columns: list[str], where: str) -> None:
    """On PostgreSQL while others write; a broken attempt leaves an index that is invalid, and goes first."""
    if on_sqlite():
        op.create_index(name, table, columns, sqlite_where=sa.text(where))
        return
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(name, table, columns, postgresql_where=sa.text(where), postgresql_concurrently=True)


def create_link_changes() -> None:
    sqlite = on_sqlite()
    time = sa.String(26) if sqlite else sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite else "CURRENT_TIMESTAMP")
    op.create_table(
        "link_changes",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("translation_id", BIG_KEY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False, comment="video, audio, captions, srt or vtt"),
        sa.Column(
            "old_url", sa.Text(), nullable=False, comment="where the link led before, without its query"
        ),
        sa.Column("new_url", sa.Text(), nullable=False, comment="where it leads now, without its query"),
        sa.Column("source", sa.String(16), nullable=False, comment="who said so, as in changes"),
        sa.Column("observed_at", time, nullable=False, comment="when the source said so"),
        sa.Column("recorded_at", time, server_default=now, nullable=False, comment="when it was stored"),
        sa.CheckConstraint(
            "kind IN ('video', 'audio', 'captions', 'srt', 'vtt')", name=op.f("ck_link_changes_kind")
        ),
        sa.CheckConstraint(
            "source IN ('webhook', 'poll', 'event_log', 'list', 'manual')",
            name=op.f("ck_link_changes_source"),
        ),
        sa.ForeignKeyConstraint(
            ["translation_id"],
            ["translations.id"],
            name=op.f("fk_link_changes_translation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_changes")),
        comment="one row per link that led elsewhere than before; a link with another query is the same one",
    )
    op.create_index(op.f("ix_link_changes_translation_id"), "link_changes", ["translation_id"])


def create_view() -> None:
    """A row for each link of any kind; on PostgreSQL whoever may read the view still may."""
    if on_sqlite():
        op.execute("DROP VIEW expiring_urls")
    op.execute(
        f"CREATE {'' if on_sqlite() else 'OR REPLACE '}VIEW expiring_urls AS "
        + " UNION ALL ".join(
            f"""
            SELECT id, video_translate_id, callback_id, title, output_language, {url} AS url,
                   {"url_fetched_at" if kind == "video" else none()} AS url_fetched_at,
                   {url}_expires_at AS url_expires_at,
                   {seconds_left(f"{url}_expires_at")} AS expires_in_seconds,
                   '{kind}' AS kind
            FROM translations
            WHERE {url} IS NOT NULL AND {url}_expires_at < {in_a_day()}
            """
            for kind, url in KINDS.items()
        )
    )


def create_first_view() -> None:
    """As 0001 makes it."""
    op.execute(
        f"""
        CREATE VIEW expiring_urls AS
        SELECT id, video_translate_id, callback_id, title, output_language,
               url, url_fetched_at, url_expires_at, {seconds_left("url_expires_at")} AS expires_in_seconds
        FROM translations
        WHERE url IS NOT NULL AND url_expires_at < {in_a_day()}
        """
    )


def none() -> str:
    return "NULL" if on_sqlite() else "NULL::timestamptz"


def in_a_day() -> str:
    if on_sqlite():
        return "strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 day')"
    return "CURRENT_TIMESTAMP + interval '1 day'"


def seconds_left(end: str) -> str:
    if on_sqlite():
        now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
        return f"ROUND((julianday({end}) - julianday({now})) * 86400.0, 3)"
    return f"ROUND(EXTRACT(EPOCH FROM ({end}) - (CURRENT_TIMESTAMP))::numeric, 3)::double precision"
