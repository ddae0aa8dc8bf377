"""The tables of the SQL contract. People query and join them, and insert into the first one."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from tracker.domain.links import LinkKind
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.status import Attention, Source, Status
from tracker.domain.submissions import SubmissionState
from tracker.store.archive_table import archived_files
from tracker.store.conditions import (
    EVERY_ROW,
    IS_FINAL,
    IS_OPEN,
    IS_SETTLED,
    IS_UNFLAGGED,
    IS_UNPLANNED,
    LEARNT,
    POLLED_ALONE,
    POLLED_TOGETHER,
    is_a_time,
    one_of,
)
from tracker.store.metadata import index_where, metadata, translation_id_column
from tracker.store.types import BigKey, UtcTime, utc_now

__all__ = [
    "WAITS_FOR_ID",
    "archived_files",
    "changes",
    "deliveries",
    "delivery_bodies",
    "link_changes",
    "metadata",
    "submissions",
    "tracker_instances",
    "tracker_state",
    "translations",
]

TIMES = (
    "url_fetched_at",
    "url_expires_at",
    "caption_url_expires_at",
    "audio_url_expires_at",
    "srt_url_expires_at",
    "vtt_url_expires_at",
    "renew_links_at",
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

translations = Table(
    "translations",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("video_translate_id", String(255), unique=True, comment="HeyGen's id; null until it is known"),
    Column("callback_id", Text, comment="your own id; the languages of one request share it"),
    Column(
        "status",
        String(16),
        nullable=False,
        server_default="pending",
        comment="pending, running, success or failed",
    ),
    Column("title", Text),
    Column("output_language", Text),
    Column("url", Text, comment="the result; the link expires, see url_expires_at"),
    Column("message", Text, comment="HeyGen's explanation, above all of a failure"),
    Column("caption_url", Text, comment="captions in .ass format; see caption_url_expires_at"),
    Column("provider_status", Text, comment="the status word as HeyGen said it"),
    Column("api_version", String(8), comment="the HeyGen API that answered last: v2 or v3"),
    Column("input_language", Text),
    Column("duration_seconds", Double),
    Column("audio_url", Text, comment="the translated sound alone; see audio_url_expires_at"),
    Column("srt_url", Text, comment="captions in .srt format; see srt_url_expires_at"),
    Column("vtt_url", Text, comment="captions in .vtt format; see vtt_url_expires_at"),
    Column("url_fetched_at", UtcTime, comment="when HeyGen gave url"),
    Column("url_expires_at", UtcTime, comment="what the url says, else 7 days after url_fetched_at"),
    Column("attention", String(16), comment="why a person should look; null: no need"),
    Column("attention_since", UtcTime, comment="when that flag was raised"),
    Column("last_error", Text, comment="why the latest poll learnt nothing; null: it did"),
    Column(
        "next_poll_at",
        UtcTime,
        server_default=utc_now(),
        comment="due time of the next poll; null: none needed",
    ),
    Column("last_polled_at", UtcTime),
    Column("poll_count", Integer, nullable=False, server_default=text("0")),
    Column(
        "poll_failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="polls in a row that learnt nothing",
    ),
    Column("failing_since", UtcTime, comment="when that row of polls began"),
    Column("claimed_by", Text, comment="the tracker that is polling it now"),
    Column("claimed_until", UtcTime, comment="when that claim lapses"),
    Column("provider_created_at", UtcTime, comment="when HeyGen says it was created"),
    Column(
        "created_at", UtcTime, nullable=False, server_default=utc_now(), comment="when it was first tracked"
    ),
    Column("updated_at", UtcTime, nullable=False, server_default=utc_now()),
    Column("finished_at", UtcTime, comment="when it ended: HeyGen's time, else when the end was seen"),
    Column("submission_id", BigKey, comment="the row of submissions that created it; null: others did"),
    *(
        Column(kind.expiry_column, UtcTime, comment=f"until when {kind.column} works; as url_expires_at")
        for kind in LinkKind
        if kind is not LinkKind.VIDEO
    ),
    Column(
        "renew_links_at",
        UtcTime,
        comment="when to ask for new links where they are always kept fresh: a day before the first one ends",
    ),
    CheckConstraint(one_of("status", Status), name="status"),
    CheckConstraint(one_of("attention", Attention), name="attention"),
    CheckConstraint("video_translate_id IS NOT NULL OR callback_id IS NOT NULL", name="names_something"),
    CheckConstraint(
        f"{IS_FINAL} OR video_translate_id IS NULL OR next_poll_at IS NOT NULL", name="open_has_next_poll"
    ),
    # SQLite stores any text as a time; one in another form would never come due, or could not be read.
    *(CheckConstraint(is_a_time(name), name=f"{name}_is_a_time").ddl_if("sqlite") for name in TIMES),
    Index("ix_translations_callback_id", "callback_id", postgresql_using="hash"),
    # For the release before, while it runs beside this one; the next one drops it.
    index_where("ix_translations_due", "next_poll_at", "next_poll_at IS NOT NULL"),
    index_where("ix_translations_due_together", "next_poll_at", POLLED_TOGETHER),
    index_where("ix_translations_due_alone", "next_poll_at", f"next_poll_at IS NOT NULL AND {POLLED_ALONE}"),
    index_where("ix_translations_claimed", "claimed_until", "claimed_until IS NOT NULL"),
    index_where("ix_translations_unflagged", "created_at", IS_UNFLAGGED),
    index_where("ix_translations_good_poll", "last_polled_at", LEARNT),
    # For those alone who say its condition: SQLite would sort by it what another index has in order.
    index_where("ix_translations_counted", ("status", "attention"), EVERY_ROW),
    index_where("ix_translations_open", "created_at", IS_OPEN),
    index_where("ix_translations_attention", "attention", "attention IS NOT NULL"),
    index_where("ix_translations_flagged", "id", "attention IS NOT NULL"),
    Index("ix_translations_url_expires_at", "url_expires_at"),
    index_where("ix_translations_renew_links_at", "renew_links_at", "renew_links_at IS NOT NULL"),
    index_where("ix_translations_unplanned_links", "url_expires_at", IS_UNPLANNED),
    index_where("ix_translations_finished", "finished_at", IS_SETTLED),
    index_where("ix_translations_submission_id", "submission_id", "submission_id IS NOT NULL"),
    comment="one row per tracked HeyGen video translation",
)

# Said so that no index fits: SQLite would rather read all that wait for an id than those of one callback_id.
WAITS_FOR_ID = translations.c.video_translate_id.is_(None).is_not(false())

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column(
        "body_sha256",
        String(64),
        nullable=False,
        unique=True,
        comment="SHA-256 of the body: what is a duplicate",
    ),
    Column("event_id", Text, comment="not signed by HeyGen: never used to tell duplicates"),
    Column("event_type", Text),
    Column("video_translate_id", Text),
    Column("callback_id", Text),
    Column("signed_by", Text, comment="name of the secret that signed it; null: unsigned"),
    Column(
        "outcome", String(16), nullable=False, comment="applied, unchanged, hint, ignored, unknown or error"
    ),
    Column("error", Text),
    Column("received_at", UtcTime, nullable=False, server_default=utc_now()),
    Column("last_received_at", UtcTime, nullable=False, server_default=utc_now()),
    Column("times_received", Integer, nullable=False, server_default=text("1")),
    CheckConstraint(one_of("outcome", DeliveryOutcome), name="outcome"),
    Index("ix_deliveries_video_translate_id", "video_translate_id", postgresql_using="hash"),
    Index("ix_deliveries_last_received_at", "last_received_at"),
    comment="one row per webhook body received, however often",
)

delivery_bodies = Table(
    "delivery_bodies",
    metadata,
    Column(
        "delivery_id",
        BigKey,
        ForeignKey("deliveries.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("headers", Text, nullable=False, comment="JSON list of name and value, as first received"),
    Column("body", LargeBinary, nullable=False, comment="the bytes as they came"),
    comment="what a delivery looked like; kept for a shorter time",
)

changes = Table(
    "changes",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    translation_id_column(),
    Column("old_status", String(16), nullable=False),
    Column("new_status", String(16), nullable=False),
    Column(
        "source", String(16), nullable=False, comment="who said so: webhook, poll, event_log, list or manual"
    ),
    Column("observed_at", UtcTime, nullable=False, comment="when the source said so"),
    Column("recorded_at", UtcTime, nullable=False, server_default=utc_now(), comment="when it was stored"),
    Column("delivery_id", BigKey, ForeignKey("deliveries.id", ondelete="SET NULL"), index=True),
    Column("note", Text, comment="why a final status was left"),
    CheckConstraint(one_of("old_status", Status), name="old_status"),
    CheckConstraint(one_of("new_status", Status), name="new_status"),
    CheckConstraint(one_of("source", Source), name="source"),
    comment="one row per status change; replayed in order they give translations.status",
)

link_changes = Table(
    "link_changes",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    translation_id_column(),
    Column("kind", String(16), nullable=False, comment="video, audio, captions, srt or vtt"),
    Column("old_url", Text, nullable=False, comment="where the link led before, without its query"),
    Column("new_url", Text, nullable=False, comment="where it leads now, without its query"),
    Column("source", String(16), nullable=False, comment="who said so, as in changes"),
    Column("observed_at", UtcTime, nullable=False, comment="when the source said so"),
    Column("recorded_at", UtcTime, nullable=False, server_default=utc_now(), comment="when it was stored"),
    CheckConstraint(one_of("kind", LinkKind), name="kind"),
    CheckConstraint(one_of("source", Source), name="source"),
    comment="one row per link that led elsewhere than before; a link with another query is the same one",
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column(
        "idempotency_key",
        String(255),
        nullable=False,
        unique=True,
        comment="sent to HeyGen with every attempt",
    ),
    Column("request", Text, nullable=False, comment="JSON: what HeyGen is asked to create"),
    Column(
        "state",
        String(16),
        nullable=False,
        server_default="planned",
        comment="planned, sent (no answer yet), done, refused, or unanswered (given up)",
    ),
    Column("api_version", String(8), comment="the HeyGen API it was sent to"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, comment="why the latest attempt brought no ids"),
    Column("created_at", UtcTime, nullable=False, server_default=utc_now()),
    Column("sent_at", UtcTime, comment="when it was first sent"),
    Column("next_attempt_at", UtcTime, comment="when to try again; null: nothing is left to do"),
    CheckConstraint(one_of("state", SubmissionState), name="state"),
    index_where("ix_submissions_due", "next_attempt_at", "next_attempt_at IS NOT NULL"),
    comment="one row per request that asked HeyGen to create translations",
)

tracker_instances = Table(
    "tracker_instances",
    metadata,
    Column("name", Text, primary_key=True, comment="host and process; claimed_by names it"),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False, comment="when it last said that it is there"),
    comment="the trackers that poll at present; not for other programs",
)

tracker_state = Table(
    "tracker_state",
    metadata,
    Column("name", String(64), primary_key=True, comment="what is remembered"),
    Column("value", Text, nullable=False, comment="JSON"),
    Column("updated_at", UtcTime, nullable=False, server_default=utc_now()),
    comment="what the tracker remembers between runs; not for other programs",
)
