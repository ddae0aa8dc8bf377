"""What a hundred times the rows cost the daemon: its start, its memory, its pages, its claims.

Not part of `make bench`: with 1,000,000 open and 10,000,000 finished translations it takes 15 GB.
`python -m tests.bench scale`, or for a hundredth of it `python -m tests.bench scale=0.01`.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import Connection

from tests.bench.figures import peak_megabytes
from tests.builders import observation
from tests.end_to_end.processes import Daemon, Program, clean_environment
from tests.postgres import Server, find_binaries
from tracker.domain.cadence import Cadence
from tracker.domain.status import Source, Status
from tracker.domain.verdict import judge
from tracker.ports import Due, Record
from tracker.store import schema
from tracker.store.engine import Engines, open_engines
from tracker.store.repository import Repository

SMALLER = 100
ROUNDS = 5
QUESTIONS, BATCH = 10, 100  # ten bulk questions at a time
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


@dataclass(slots=True)
class Cost:
    """Seconds, but for `memory` in MB."""

    ready: float = 0.0
    memory: float = 0.0
    pages: dict[str, float] = field(default_factory=dict)
    round: float = 0.0


def fill(connection: Connection, size: Size) -> None:
    """As if a daemon had done it, in the engine's own loop; indexes come last, for that is quicker."""
    sqlite = connection.dialect.name == "sqlite"
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


@contextmanager
def filled(url: str, size: Size) -> Iterator[str]:
    engines = open_engines(url)
    schema.migrate(engines.writer)
    with engines.writer.begin() as connection:
        fill(connection, size)
    if engines.writer.dialect.name == "postgresql":  # as autovacuum does
        with engines.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in ("CHECKPOINT", "VACUUM ANALYZE translations"):
                connection.exec_driver_sql(statement)
    engines.dispose()
    yield url


def measure(url: str, folder: Path) -> Cost:
    """The daemon without a key, which polls nothing, and then its store."""
    cost = Cost()
    environment = {
        **clean_environment(folder),
        "TRACKER_DATABASE_URL": url,
        "TRACKER_LISTEN": "127.0.0.1:0",
        "TRACKER_ADMIN_LISTEN": "127.0.0.1:0",
        "TRACKER_LOG_FORMAT": "json",
    }
    began = time.monotonic()
    program = Program("daemon", (sys.executable, "-m", "tracker", "run"), folder, environment)
    try:
        daemon = Daemon(program)
        cost.ready = time.monotonic() - began
        for page in ("/metrics", "/", "/api/translations?limit=100", "/metrics", "/"):
            asked = time.monotonic()
            daemon.get(page).raise_for_status()
            cost.pages[f"{page} again" if page in cost.pages else page] = time.monotonic() - asked
        cost.memory = peak_megabytes(program.process.pid)
        daemon.close()
    finally:
        program.close()
    cost.round = asyncio.run(rounds(open_engines(url)))
    return cost


async def rounds(engines: Engines) -> float:
    """Seconds for one: a thousand are claimed, and what was answered about them is stored."""
    now = datetime.now(UTC)
    store = Repository(engines, lambda: now)
    store.open()
    took = []
    for _ in range(ROUNDS):
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
        await store.apply(records, partial(judge, cadence=Cadence()))
        took.append(time.perf_counter() - began)
    await asyncio.to_thread(store.close)
    return median(took)


def show(engine: str, size: Size, small: Cost, large: Cost) -> None:
    """Both, and how many times the small one the large one is."""
    print(f"\n{engine}: {size.opened:,} open and {size.ended:,} ended, beside a hundredth of it:")
    rows: list[tuple[str, Callable[[Cost], float]]] = [
        ("start to READY, s", lambda cost: cost.ready),
        ("memory, MB", lambda cost: cost.memory),
        *((f"{page}, s", lambda cost, page=page: cost.pages[page]) for page in large.pages),
        ("claim and store 1,000, s", lambda cost: cost.round),
    ]
    for name, figure in rows:
        few, many = figure(small), figure(large)
        print(f"{name:>36}{few:>10.3f}{many:>10.3f}{many / few:>8.1f} times")


def main(share: float = 1.0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Size(500_000, 500_000).smaller(share)
        costs = []
        for size in (whole.smaller(1 / SMALLER), whole):
            path = Path(folder) / f"{size.opened}.db"
            with filled(f"sqlite:///{path}", size) as url:
                costs.append(measure(url, Path(folder)))
        show("SQLite", whole, *costs)
    if (binaries := find_binaries()) is None:
        print("PostgreSQL: no server found", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder, Server(binaries) as server:
        whole, costs = Size(1_000_000, 10_000_000).smaller(share), []
        for size in (whole.smaller(1 / SMALLER), whole):
            with server.database() as name, filled(server.url(name), size) as url:
                costs.append(measure(url, Path(folder)))
        show("PostgreSQL", whole, *costs)
