"""How much quicker webhooks are stored that arrive together, at one time and in one process."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import Engine

from tests.builders import NOON, URL, delivery, observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store.batch import ToStore, store_all
from tracker.store.engine import open_engines
from tracker.store.schema import migrations

WEBHOOKS = 2_000
TOGETHER = 200  # as many as the writer takes at most
ROUNDS = 5
RULES = partial(determine_outcome, schedule=Schedule())


def webhooks(prefix: str) -> list[ToStore]:
    """Each tells of the end of a translation of its own."""
    names = [f"{prefix}-{number}" for number in range(WEBHOOKS)]
    return [
        ToStore(
            Record(
                delivery=delivery(name.encode(), video_translate_id=name),
                observation=observation(Source.WEBHOOK, Status.SUCCESS, video_translate_id=name, url=URL),
            ),
            RULES,
        )
        for name in names
    ]


def store(engine: Engine, given: Sequence[ToStore], at_once: int) -> float:
    """Webhooks a second, stored so many at once; TOGETHER in a transaction in any case."""
    began = time.perf_counter()
    for start in range(0, len(given), TOGETHER):
        with engine.begin() as connection:
            for first in range(start, start + TOGETHER, at_once):
                store_all(connection, given[first : first + at_once], NOON)
    return len(given) / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engines = open_engines(f"sqlite:///{Path(folder) / 'tracker.db'}")
        migrations.migrate(engines.writer)
        rates = [
            (
                store(engines.writer, webhooks(f"apart{number}"), 1),
                store(engines.writer, webhooks(f"together{number}"), TOGETHER),
            )
            for number in range(ROUNDS)
        ]
        engines.dispose()
    print(f"\nWebhooks stored, {TOGETHER} in a transaction, median of {ROUNDS} rounds:")
    print(f"{median(apart for apart, _ in rates):,.0f} a second one by one,")
    print(f"{median(together for _, together in rates):,.0f} a second together:")
    print(f"{median(together / apart for apart, together in rates):.1f} times as many")
