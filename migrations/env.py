"""Runs migrations on the connection that tracker.store.schema hands over, or on TRACKER_DATABASE_URL.

Offline it writes them down as SQL, for tracker.store.schema.plan.
"""

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


def write(dialect: str) -> None:
    """Write down what would run; each migration is a transaction of its own."""
    context.configure(
        dialect_name=dialect, target_metadata=metadata, literal_binds=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
dialect = context.config.attributes.get("dialect")
if context.is_offline_mode():
    if dialect is None:
        raise SystemExit("alembic does not know which database this is for; run: tracker migrate --plan")
    write(dialect)
elif handed_over is not None:
    run(handed_over)
else:
    from tracker.settings import load_settings
    from tracker.store.engine import open_engines

    with open_engines(load_settings().database_url.get_secret_value()).writer.connect() as opened:
        run(opened)
