"""What the tracker remembers between runs: small JSON values by name."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tracker.store.tables import tracker_state
from tracker.store.writer import LostRaceError


def recall(connection: Connection, name: str) -> Any:
    """The value of that name; None where nothing is remembered."""
    found = connection.scalar(select(tracker_state.c.value).where(tracker_state.c.name == name))
    return None if found is None else json.loads(found)


def remember(connection: Connection, name: str, value: Any, now: datetime) -> None:
    """Keep `value`, which must be JSON (None: nothing), in the place of what was remembered."""
    if value is None:
        connection.execute(delete(tracker_state).where(tracker_state.c.name == name))
        return
    values = {"value": json.dumps(value), "updated_at": now}
    changed = connection.execute(update(tracker_state).where(tracker_state.c.name == name).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(tracker_state).values(name=name, **values))


def swap(connection: Connection, name: str, old: Any, new: Any, now: datetime) -> bool:
    """Compare and set: `new` (None: nothing) in the place of `old`; False where it is something else."""
    if old is None:
        return recall(connection, name) is None and (new is None or _begin(connection, name, new, now))
    same = (tracker_state.c.name == name, tracker_state.c.value == json.dumps(old))
    if new is None:
        return connection.execute(delete(tracker_state).where(*same)).rowcount == 1
    values = {"value": json.dumps(new), "updated_at": now}
    return connection.execute(update(tracker_state).where(*same).values(values)).rowcount == 1


def _begin(connection: Connection, name: str, value: Any, now: datetime) -> bool:
    try:
        connection.execute(insert(tracker_state).values(name=name, value=json.dumps(value), updated_at=now))
    except IntegrityError as error:  # another tracker was quicker
        raise LostRaceError from error
    return True
