"""What a hundred times the rows cost the daemon: its start, its memory, its pages, its claims.

Not part of `make bench`: with 1,000,000 open and 10,000,000 finished translations it takes 15 GB.
`python -m tests.bench scale`, or for a hundredth of it `python -m tests.bench scale=0.01`.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import Connection

from tests.bench.figures import peak_megabytes
from tests.builders import observation
from tests.end_to_end.processes import Daemon, Program, clean_environment
from tests.postgres import Server, find_binaries
from tracker.domain.claims import Due
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository
from tracker.store.schema import migrations

SMALLER = 100
TURNS = 5
QUESTIONS, BATCH = 10, 100  # ten bulk questions at a time
PAGES = ("/metrics", "/", "/api/translations?limit=100", "/metrics", "/")
LEASE = timedelta(minutes=2)
LINK = "https://resource2.heygen.ai/video_translate/#/original.mp4?Expires=1796040000&Signature=" + "s" * 380
COLUMNS = (
    "video_translate_id, callback_id, status, created_at, next_poll_at, last_polled_at, finished_at, url"
)


@dataclass(frozen=True, slots=True)
class Size:
    """So many translations are open, all of them due, and so many have ended."""

    opened: int
    ended: int

    def smaller(self, share: float) -> "Size":
        return Size(int(self.opened * share), int(self.ended * share))


@dataclass(frozen=True, slots=True)
class Cost:
    """The median of each figure, by name."""

    figures: Mapping[str, float]


def fill(connection: Connection, size: Size) -> None:
    """As if a daemon had done it, in the engine's own loop; indexes come last, for that is quicker."""
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    indexes = _take_indexes(connection, sqlite)
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now', {})" if sqlite else "now() + {}::interval"
    many = (
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) "
        if sqlite
        else "WITH s(n) AS (SELECT generate_series(1, {})) "
    )
    ago = now.format(
        "'-' || (n - n / 1700 * 1700) || ' seconds'"
        if sqlite
        else "('-' || (n - n / 1700 * 1700) || ' seconds')"
    )
    name = "'{}-' || n || '-0123456789abcdef0123456789abcdef-es'"
    row = "SELECT {name}, 'order-' || n, {status}, {ago}, {due}, {ago}, {end}, {url} FROM s"
    kinds = (
        (size.opened, "open", "'running'", ago, "NULL", "NULL"),
        (size.ended, "ended", "'success'", "NULL", ago, f"replace('{LINK}', '#', 'n' || n)"),
    )
    for count, word, status, due, end, url in kinds:
        values = row.format(name=name.format(word), status=status, ago=ago, due=due, end=end, url=url)
        insert = f"INSERT INTO translations ({COLUMNS}) "
        source = many.format(count) + values if not sqlite else values
        connection.exec_driver_sql(insert + source if not sqlite else many.format(count) + insert + source)
    for index in indexes:
        connection.exec_driver_sql(index)


def _take_indexes(connection: Connection, sqlite: bool) -> list[str]:
    """Drop those that can be made again; returns how."""
    listed = (
        "SELECT name, sql FROM sqlite_master "
        "WHERE type = 'index' AND tbl_name = 'translations' AND sql IS NOT NULL"
        if sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'translations' "
        "AND indexname LIKE 'ix|_%%' ESCAPE '|'"
    )
    found = [(row[0], row[1]) for row in connection.exec_driver_sql(listed)]
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [made for _, made in found]


def filled(url: str, size: Size) -> str:
    """That database, with so many rows."""
    engines = open_engines(url)
    migrations.migrate(engines.writer)
    with engines.writer.begin() as connection:
        fill(connection, size)
    if engines.writer.dialect.name == "postgresql":  # as autovacuum does
        with engines.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in ("SET statement_timeout = 0", "CHECKPOINT", "VACUUM ANALYZE translations"):
                connection.exec_driver_sql(statement)
    engines.dispose()
    return url


def measure(urls: Sequence[str], folder: Path) -> list[Cost]:
    """The daemon without a key, which polls nothing, and its store; by turns, on the same machine."""
    turns = [[_run(url, folder) for url in urls] for _ in range(TURNS)]
    return [
        Cost({name: median(turn[name] for turn in turns_of_one) for name in turns_of_one[0]})
        for turns_of_one in zip(*turns, strict=True)
    ]


def _run(url: str, folder: Path) -> Mapping[str, float]:
    environment = {
        **clean_environment(folder),
        "TRACKER_DATABASE_URL": url,
        "TRACKER_LISTEN": "127.0.0.1:0",
        "TRACKER_ADMIN_LISTEN": "127.0.0.1:0",
        "TRACKER_LOG_FORMAT": "json",
    }
    cost: dict[str, float] = {}
    began = time.monotonic()
    program = Program("daemon", (sys.executable, "-m", "tracker", "run"), folder, environment)
    try:
        daemon = Daemon(program)
        cost["start to READY, s"] = time.monotonic() - began
        for page in PAGES:
            asked = time.monotonic()
            daemon.get(page).raise_for_status()
            cost[f"{page} again, s" if f"{page}, s" in cost else f"{page}, s"] = time.monotonic() - asked
        cost["memory, MB"] = peak_megabytes(program.process.pid)
        daemon.close()
    finally:
        program.close()
    return {**cost, "claim and store 1,000, s": asyncio.run(one_round(open_engines(url)))}


async def one_round(engines: Engines) -> float:
    """Seconds in which a thousand are claimed, and what was answered about them is stored."""
    now = datetime.now(UTC)
    store = Repository(engines, lambda: now)
    store.open()
    began = time.perf_counter()
    claims = await store.claim_due(now, QUESTIONS, "bench", LEASE, Due(now, now, BATCH))
    records = [
        Record(
            observation=observation(
                Source.POLL,
                Status.RUNNING,
                video_translate_id=claim.video_translate_id,
                observed_at=now,
                partial=True,
            ),
            claim=claim,
        )
        for claim in claims
    ]
    await store.apply(records, partial(determine_outcome, schedule=Schedule()))
    took = time.perf_counter() - began
    await asyncio.to_thread(store.close)
    return took


def show(engine: str, size: Size, costs: Sequence[Cost]) -> None:
    """Both, and how many times the small one the large one is."""
    print(f"\n{engine}: {size.opened:,} open and {size.ended:,} ended, beside a hundredth of it:")
    small, large = costs
    for name, many in large.figures.items():
        few = small.figures[name]
        print(f"{name:>36}{few:>10.3f}{many:>10.3f}{many / few:>8.1f} times")


def main(share: float = 1.0) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, whole = Path(name), Size(500_000, 500_000).smaller(share)
        sizes = (whole.smaller(1 / SMALLER), whole)
        urls = [filled(f"sqlite:///{folder / f'{size.opened}.db'}", size) for size in sizes]
        show("SQLite", whole, measure(urls, folder))
    if (binaries := find_binaries()) is None:
        print("PostgreSQL: no server found", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as name, Server(binaries) as server, ExitStack() as stack:
        whole = Size(1_000_000, 10_000_000).smaller(share)
        sizes = (whole.smaller(1 / SMALLER), whole)
        urls = [filled(server.url(stack.enter_context(server.database())), size) for size in sizes]
        show("PostgreSQL", whole, measure(urls, Path(name)))
