"""What the store keeps of links that lead elsewhere."""

from dataclasses import replace
from datetime import datetime

import pytest

from tests.builders import NOON
from tests.contract.openers import Database
from tests.contract.records import apply, by_the_rules, observation, registered
from tracker.domain.observation import Observation
from tracker.domain.outcome import Outcome
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.domain.translation import Translation
from tracker.errors import StoreError

pytestmark = pytest.mark.anyio


def listed(name: str, url: str, at: datetime = NOON) -> Record:
    return Record(
        observation=observation(name, Status.SUCCESS, source=Source.LIST, at=at, url=url, srt_url=url)
    )


LINK_CHANGES = "SELECT translation_id, kind, old_url, new_url, source FROM link_changes ORDER BY id"


@pytest.mark.parametrize("alone", [True, False])
async def test_a_link_that_leads_elsewhere_is_recorded_and_a_renewed_one_is_not(
    database: Database, *, alone: bool
) -> None:
    """One by one, or among others."""
    others = [] if alone else [registered("b"), registered("c")]
    await apply(database, registered("a"))
    await apply(database, listed("a", "https://files.example/a.mp4?Signature=one"), *others)
    before = database.sql("SELECT * FROM changes")

    await apply(database, listed("a", "https://files.example/a.mp4?Signature=two"), *others)
    assert database.sql("SELECT url, srt_url FROM translations WHERE video_translate_id = 'a'") == [
        ("https://files.example/a.mp4?Signature=two",) * 2
    ]
    assert database.sql(LINK_CHANGES) == []

    await apply(database, listed("a", "https://files.example/b.mp4?Signature=three"), *others)
    assert database.sql(LINK_CHANGES) == [
        (1, "video", "https://files.example/a.mp4", "https://files.example/b.mp4", "list"),
        (1, "srt", "https://files.example/a.mp4", "https://files.example/b.mp4", "list"),
    ]
    assert database.sql("SELECT * FROM changes") == before


async def test_a_link_change_is_in_the_transaction_of_its_link(database: Database) -> None:
    await apply(database, registered("a"), listed("a", "https://files.example/a.mp4"))

    def by_a_broken_rule(current: Translation, seen: Observation) -> Outcome:
        verdict = by_the_rules(current, seen)
        return replace(verdict, updates=verdict.updates | {"attention": "no such flag"})

    with pytest.raises(StoreError):
        await apply(database, listed("a", "https://files.example/b.mp4"), rule=by_a_broken_rule)

    assert database.sql("SELECT * FROM link_changes") == []
    assert database.sql("SELECT url FROM translations") == [("https://files.example/a.mp4",)]
