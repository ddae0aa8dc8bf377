"""The trackers that poll at present: each says so in a row of its own."""

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from tracker.store.tables import tracker_instances as instances


def meet(connection: Connection, *, name: str, now: datetime, silent_since: datetime) -> int:
    """Say that `name` is here, forget who was not heard of since then; returns how many there are."""
    connection.execute(delete(instances).where(instances.c.seen_at < silent_since))
    seen = connection.execute(update(instances).where(instances.c.name == name).values(seen_at=now))
    if seen.rowcount == 0:
        connection.execute(insert(instances).values(name=name, started_at=now, seen_at=now))
    return connection.scalar(select(func.count()).select_from(instances)) or 0


def leave(connection: Connection, name: str) -> None:
    """It is gone, and the others need not wait until they miss it."""
    connection.execute(delete(instances).where(instances.c.name == name))


def forget_all(connection: Connection) -> None:
    """Whoever is here says so again; what was killed does not."""
    connection.execute(delete(instances))
