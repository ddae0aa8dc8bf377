"""When each webhook secret was last used."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from tracker.store.tables import deliveries


def secret_use(connection: Connection) -> dict[str, tuple[datetime, int]]:
    """By the secret's name: when it last signed a webhook, and how many it signed, retries included."""
    signed = (
        select(
            deliveries.c.signed_by,
            func.max(deliveries.c.last_received_at).label("last"),
            func.sum(deliveries.c.times_received).label("times"),
        )
        .where(deliveries.c.signed_by.is_not(None))
        .group_by(deliveries.c.signed_by)
    )
    return {row.signed_by: (row.last, int(row.times)) for row in connection.execute(signed)}
