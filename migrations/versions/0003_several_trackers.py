"""Several trackers on one database, and word of each change for those who listen.

House rules:
- expand, then migrate, then contract: the previous release must work on this schema;
- never edit a merged migration; import nothing from tracker;
- views are SQL: drop and create the ones that change;
- downgrade undoes upgrade, and the tests run both.

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A payload may have 8000 bytes, and a callback_id any number.
TELL_CHANGE = """
CREATE FUNCTION tracker_tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told record;
BEGIN
    SELECT video_translate_id, callback_id INTO told FROM translations WHERE id = NEW.translation_id;
    PERFORM pg_notify('tracker_changes', json_build_object(
        'id', NEW.translation_id,
        'video_translate_id', told.video_translate_id,
        'callback_id', CASE WHEN octet_length(told.callback_id) <= 1000 THEN told.callback_id END,
        'old', NEW.old_status,
        'new', NEW.new_status
    )::text);
    RETURN NULL;
END
$$
"""
ON_EACH_CHANGE = """
CREATE TRIGGER tracker_tell_change AFTER INSERT ON changes
FOR EACH ROW EXECUTE FUNCTION tracker_tell_change()
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(26) if sqlite else sa.DateTime(timezone=True)
    op.create_table(
        "tracker_instances",
        sa.Column("name", sa.Text(), nullable=False, comment="host and process; claimed_by names it"),
        sa.Column("started_at", time, nullable=False),
        sa.Column("seen_at", time, nullable=False, comment="when it last said that it is there"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tracker_instances")),
        comment="the trackers that poll at present; not for other programs",
    )
    if not sqlite:
        op.execute(TELL_CHANGE)
        op.execute(ON_EACH_CHANGE)


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP TRIGGER tracker_tell_change ON changes")
        op.execute("DROP FUNCTION tracker_tell_change()")
    op.drop_table("tracker_instances")
