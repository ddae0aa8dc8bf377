"""The table `archived_files` of the SQL contract."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text, text

from tracker.domain.files.states import FileState
from tracker.domain.links import LinkKind
from tracker.store.conditions import one_of
from tracker.store.metadata import index_where, metadata
from tracker.store.types import BigKey, UtcTime, utc_now

archived_files = Table(
    "archived_files",
    metadata,
    Column(
        "translation_id",
        BigKey,
        ForeignKey("translations.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("kind", String(8), primary_key=True, comment="video, audio, captions, srt or vtt"),
    Column(
        "state",
        String(16),
        nullable=False,
        server_default="waiting",
        comment="waiting, downloading, archived or failed",
    ),
    Column("location", Text, comment="absolute path, or s3://bucket/key; null: not there yet"),
    Column("bytes", BigInteger, comment="its size"),
    Column("sha256", String(64), comment="of its bytes, in hex"),
    Column("content_type", Text, comment="as the file host said"),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="in a row that brought nothing",
    ),
    Column("next_attempt_at", UtcTime, comment="when to try next; null: nothing is left to do"),
    Column("error", Text, comment="why the latest attempt failed; null: it did not"),
    Column("claimed_by", Text, comment="the tracker that is downloading it now"),
    Column("claimed_until", UtcTime, comment="when that claim lapses"),
    Column("finished_at", UtcTime, nullable=False, comment="when the translation ended"),
    Column("created_at", UtcTime, nullable=False, server_default=utc_now()),
    Column("archived_at", UtcTime, comment="when it was there, complete and under its name"),
    CheckConstraint(one_of("kind", LinkKind), name="kind"),
    CheckConstraint(one_of("state", FileState), name="state"),
    CheckConstraint("(state = 'archived') = (archived_at IS NOT NULL)", name="archived_has_time"),
    CheckConstraint(
        "(state IN ('waiting', 'downloading')) = (next_attempt_at IS NOT NULL)", name="open_has_next_attempt"
    ),
    index_where("ix_archived_files_due", "next_attempt_at", "next_attempt_at IS NOT NULL"),
    index_where("ix_archived_files_missing", ("state", "finished_at"), "archived_at IS NULL"),
    comment="one row per file of a finished translation that is kept, or is to be",
)
