"""Runs migrations on the connection handed over by tracker.store.schema, or on TRACKER_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from tracker.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("tracker's migrations look at the database; run them online: tracker migrate")

handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    from tracker.settings import load_settings
    from tracker.store.engine import open_engines

    with open_engines(load_settings().database_url.get_secret_value()).writer.connect() as opened:
        run(opened)
