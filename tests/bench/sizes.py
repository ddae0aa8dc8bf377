"""How many bytes a translation, a webhook and its body take on each engine, stored as the daemon stores them.

Indexes are counted in, and the room that updates left behind.
"""

import base64
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from tests.builders import after, as_body, event, observation
from tests.postgres import Server, find_binaries
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.heygen.webhook_events import read_event
from tracker.store.batch import ToStore, store_all
from tracker.store.engine import Engines, open_engines
from tracker.store.schema import migrations

TRANSLATIONS = 20_000
TOGETHER = 200
RULES = partial(determine_outcome, schedule=Schedule())
HEADERS = (  # those of a request that came through a proxy
    ("host", "tracker.example"),
    ("user-agent", "HeyGen-Webhook/1.0"),
    ("content-type", "application/json"),
    ("content-length", "961"),
    ("heygen-signature", "5f" * 32),
    ("x-forwarded-for", "192.0.2.17"),
    ("x-forwarded-proto", "https"),
    ("accept-encoding", "gzip, deflate"),
)
TABLES = ("translations", "changes", "deliveries", "delivery_bodies")


def link(name: str, kind: str) -> str:
    """A signed link, as long as such links are, and as hard to compress."""
    digests = [hashlib.sha512(f"{name} {kind} {number}".encode()).digest() for number in range(4)]
    signature = base64.urlsafe_b64encode(b"".join(digests)).decode()
    return (
        f"https://resource2.heygen.ai/video_translate/{name}/{kind}?Expires=1796040000"
        f"&Signature={signature}&Key-Pair-Id=K1QFSFNPOKQWPQ"
    )


def life(number: int) -> Iterator[Record]:
    """All that is stored of one translation: registered, seen running, ended by webhook, links by poll."""
    name = f"{number * 2654435761 % 2**128:032x}-es"
    told = {"title": f"Quarterly talk {number}", "callback_id": f"order-{number}"}
    yield Record(
        observation=observation(Source.MANUAL, video_translate_id=name, callback_id=told["callback_id"])
    )
    yield Record(observation=observation(Source.POLL, Status.RUNNING, video_translate_id=name))
    said = event(video_translate_id=name, url=link(name, "original.mp4"), **told)
    said["event_id"] = f"evt_{number:024x}"
    yield read_event(said, as_body(said), HEADERS, after(600), "heygen")
    yield Record(
        observation=observation(
            Source.POLL,
            Status.SUCCESS,
            video_translate_id=name,
            observed_at=after(601),
            title=told["title"],
            output_language="Spanish (Spain)",
            input_language="English",
            duration_seconds=93.4,
            url=link(name, "original.mp4"),
            audio_url=link(name, "audio.mp3"),
            srt_url=link(name, "captions.srt"),
            vtt_url=link(name, "captions.vtt"),
        )
    )


def fill(engine: Engine) -> None:
    """Life by life, as many at once as a busy daemon stores."""
    for start in range(0, TRANSLATIONS, TOGETHER):
        lives = [list(life(number)) for number in range(start, start + TOGETHER)]
        for step in zip(*lives, strict=True):
            with engine.begin() as connection:
                store_all(connection, [ToStore(record, RULES) for record in step], after(601))


def rows_of(connection: Connection) -> Mapping[str, int]:
    return {table: connection.scalar(text(f"SELECT COUNT(*) FROM {table}")) or 0 for table in TABLES}


def sqlite_bytes(connection: Connection) -> Mapping[str, int]:
    """Pages of each table and of its indexes."""
    found = connection.execute(
        text(
            "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name "
            "WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
        )
    )
    sizes = dict(map(tuple, found))
    return {table: sizes[table] for table in TABLES}


def postgresql_bytes(connection: Connection) -> Mapping[str, int]:
    sizes = {}
    for table in TABLES:
        size = connection.scalar(text(f"SELECT pg_total_relation_size('{table}')"))
        sizes[table] = int(size or 0)
    return sizes


def measure(engines: Engines) -> Sequence[float]:
    """Bytes a row of each table, indexes and room that updates left behind included."""
    migrations.migrate(engines.writer)
    fill(engines.writer)
    with engines.writer.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        rows, sizes = rows_of(connection), (sqlite_bytes if sqlite else postgresql_bytes)(connection)
    engines.dispose()
    return [sizes[table] / rows[table] for table in TABLES] + [sum(sizes.values()) / rows["translations"]]


def main() -> None:
    binaries = find_binaries()
    columns: dict[str, Sequence[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        columns["SQLite"] = measure(open_engines(f"sqlite:///{Path(folder) / 'tracker.db'}"))
    if binaries is not None:
        with Server(binaries) as server, server.database() as name:
            columns["PostgreSQL"] = measure(open_engines(server.url(name)))
    print(f"\nBytes a row, {TRANSLATIONS:,} translations from their beginning to their links:")
    print(f"{'':>24}" + "".join(f"{engine:>14}" for engine in columns))
    for number, name in enumerate((*TABLES, "all of one translation")):
        print(f"{name:>24}" + "".join(f"{sizes[number]:>14,.0f}" for sizes in columns.values()))
