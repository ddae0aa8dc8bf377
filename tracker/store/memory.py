"""What the tracker remembers between runs: small JSON values by name."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tracker.store.tables import tracker_state


def recall(connection: Connection, name: str) -> Any:
    """The value of that name; None where nothing is remembered."""
    found = connection.scalar(select(tracker_state.c.value).where(tracker_state.c.name == name))
    return None if found is None else json.loads(found)


def remember(connection: Connection, name: str, value: Any, now: datetime) -> None:
    """Keep `value`, which must be JSON, in the place of what was remembered."""
    values = {"value": json.dumps(value), "updated_at": now}
    changed = connection.execute(update(tracker_state).where(tracker_state.c.name == name).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(tracker_state).values(name=name, **values))
