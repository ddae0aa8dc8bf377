"""Whatever arrives together is stored as if it had come one by one."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.builders import NOON, URL, after, delivery
from tests.builders import observation as observation_of
from tests.databases import write_migrated
from tracker.domain.cadence import Cadence
from tracker.domain.observation import Observation, Problem, ProblemKind
from tracker.domain.status import Source, Status
from tracker.domain.verdict import Outcome, judge
from tracker.ports import Claim, Due, Record, Recorded
from tracker.store import claims
from tracker.store.batch import ToStore, store_all
from tracker.store.engine import open_engines
from tracker.store.tables import changes, deliveries, delivery_bodies, translations

RULES = partial(judge, cadence=Cadence())
TABLES = (translations, deliveries, delivery_bodies, changes)

names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
callback_ids = st.sampled_from([None, None, "x", "y"])
statuses = st.sampled_from([None, *Status])
times = st.integers(0, 100).map(after)
urls = st.sampled_from([None, URL])


@st.composite
def told(draw: st.DrawFn, /, source: Source, **more: Any) -> Observation:
    """What a source says of a translation, by its id or by its callback_id alone."""
    name, callback_id = draw(st.none() | names), draw(callback_ids)
    if name is None and callback_id is None:
        name = draw(names)
    return observation_of(
        source,
        draw(statuses),
        video_translate_id=name,
        callback_id=callback_id,
        observed_at=draw(times),
        url=draw(urls),
        title=draw(st.sampled_from([None, "Talk"])),
        **more,
    )


@st.composite
def webhooks(draw: st.DrawFn) -> Record:
    """Signed ones and unsigned copies of the same bodies; what is no translation's, too."""
    is_signed = draw(st.booleans())
    seen = draw(told(Source.WEBHOOK, hint=not is_signed or draw(st.booleans()), authentic=is_signed))
    body = f"{seen.video_translate_id} {seen.callback_id} {seen.status} {draw(st.integers(0, 1))}".encode()
    came = delivery(body, signed_by="main" if is_signed else None, received_at=draw(times))
    if draw(st.integers(0, 5)) == 0:
        return Record(delivery=came, outcome=draw(st.sampled_from([Outcome.IGNORED, Outcome.ERROR])))
    return Record(delivery=came, observation=replace(seen, status=None) if seen.hint else seen)


@st.composite
def others(draw: st.DrawFn) -> Record:
    source = draw(st.sampled_from([Source.MANUAL, Source.LIST, Source.EVENT_LOG]))
    seen = draw(told(source))
    return Record(observation=seen, adopt=draw(st.booleans()))


refusals = st.builds(  # of a submission, told of one row that waits for its id
    Record,
    observation=st.just(
        observation_of(Source.MANUAL, Status.FAILED, video_translate_id=None, message="refused")
    ),
    translation_id=st.integers(1, 4),
)


@st.composite
def polls(draw: st.DrawFn, held: Sequence[Claim]) -> Record:
    """An answer to a question, or the lack of one; some come after the claim has lapsed."""
    claim = draw(st.sampled_from(held))
    lost = Problem(ProblemKind.NOT_FOUND, "HTTP 404")
    seen = observation_of(
        Source.POLL,
        draw(statuses),
        video_translate_id=claim.video_translate_id,
        callback_id=draw(callback_ids),
        observed_at=draw(times),
        problem=draw(st.sampled_from([None, None, lost])),
        url=draw(urls),
    )
    late = timedelta(seconds=draw(st.sampled_from([0, 0, 0, 1])))
    return Record(observation=seen, claim=replace(claim, until=claim.until + late))


arrivals = webhooks() | others()


@contextmanager
def database() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracker.db"
        write_migrated(path)
        engines = open_engines(f"sqlite:///{path}", synchronous="off")
        try:
            yield engines.writer
        finally:
            engines.dispose()


def store(engine: Engine, records: Sequence[Record]) -> list[Recorded]:
    """All in one transaction."""
    with engine.begin() as connection:
        return store_all(connection, [ToStore(one, RULES) for one in records], after(200))


def one_by_one(engine: Engine, records: Sequence[Record]) -> list[Recorded]:
    return [recorded for record in records for recorded in store(engine, [record])]


def claimed(engine: Engine) -> list[Claim]:
    with engine.begin() as connection:
        due = Due(after(1000), after(1000))
        lease = timedelta(seconds=75)
        return claims.claim_due(connection, now=NOON, requests=9, owner="one", lease=lease, due=due)


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with engine.begin() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key))
            ]
            for table in TABLES
        }


@settings(max_examples=150)
@given(st.data())
def test_a_batch_is_stored_as_if_its_records_had_come_one_by_one(data: st.DataObject) -> None:
    with database() as apart, database() as together:
        before = data.draw(st.lists(arrivals, max_size=5), "before")
        assert one_by_one(apart, before) == one_by_one(together, before)
        held = claimed(apart)
        assert claimed(together) == held
        kinds = arrivals | refusals | polls(held) if held else arrivals | refusals
        batch = data.draw(st.lists(kinds, min_size=2, max_size=12), "batch")

        expected = one_by_one(apart, batch)

        assert store(together, batch) == expected
        assert contents(together) == contents(apart)
