"""What the rows of archived files must do: on SQLite and on a real PostgreSQL server."""

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from tests.contract.openers import NOON, Database
from tracker.domain.files.records import Archived, FileClaim
from tracker.domain.links import LinkKind
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.record import Record
from tracker.domain.retention import Kind
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.store import archive as sql
from tracker.store import archive_queries as reports
from tracker.store.repository import Repository
from tracker.store.tables import archived_files, translations

pytestmark = pytest.mark.anyio

LEASE = timedelta(minutes=5)
RULES = partial(determine_outcome, schedule=Schedule())
URL, SRT = "https://files.example/v.mp4", "https://files.example/v.srt"
VIDEO_AND_SRT = frozenset({LinkKind.VIDEO, LinkKind.SRT})
THERE = Archived("/archive/v.mp4", 7, "ab" * 32, "video/mp4")


def seen(
    name: str, status: Status | None = Status.SUCCESS, source: Source = Source.POLL, **told: Any
) -> Record:
    details = Details(**told)
    observation = Observation(
        source=source, observed_at=NOON, video_translate_id=name, status=status, details=details
    )
    return Record(observation=observation)


async def end(database: Database, name: str, **told: Any) -> int:
    """A translation that has succeeded now; returns its number."""
    [recorded] = await database.store.apply([seen(name, **{"url": URL} | told)], RULES)
    assert recorded.translation_id is not None
    return recorded.translation_id


def states(database: Database) -> list[tuple[Any, ...]]:
    return database.sql(
        "SELECT translation_id, kind, state FROM archived_files ORDER BY translation_id, kind"
    )


async def take(
    database: Database,
    limit: int = 10,
    *,
    at: datetime = NOON,
    owner: str = "one",
    of: Collection[int] | None = None,
) -> list[FileClaim]:
    return await database.store.files.claim(at, limit, owner, LEASE, of)


@pytest.fixture
def database(database: Database) -> Database:
    """With the archive on, for videos and srt."""
    database.store.archive = VIDEO_AND_SRT
    return database


# Which files get a row


async def test_an_end_brings_a_row_for_each_wanted_file_that_it_has_a_link_to(database: Database) -> None:
    number = await end(database, "a", srt_url=SRT, audio_url="https://files.example/a.mp3")

    assert states(database) == [(number, "srt", "waiting"), (number, "video", "waiting")]
    assert database.sql("SELECT COUNT(*) FROM archived_files WHERE next_attempt_at IS NOT NULL") == [(2,)]


async def test_a_link_that_comes_after_the_end_brings_its_row_then(database: Database) -> None:
    await database.store.apply([seen("a", source=Source.WEBHOOK)], RULES)
    assert states(database) == []

    await database.store.apply([seen("a", url=URL)], RULES)
    await database.store.apply([seen("a", url=URL, srt_url=SRT)], RULES)

    assert [state[1:] for state in states(database)] == [("srt", "waiting"), ("video", "waiting")]


async def test_many_ends_at_once_bring_their_rows_in_the_same_transaction(database: Database) -> None:
    await database.store.apply([seen(f"id-{number}", url=URL, srt_url=SRT) for number in range(20)], RULES)

    assert len(states(database)) == 40


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FAILED, None])
async def test_what_has_not_succeeded_has_no_files(database: Database, status: Status | None) -> None:
    await database.store.apply([seen("a", status, url=URL)], RULES)

    assert states(database) == []


async def test_a_renewed_link_leaves_an_archived_file_as_it_is(database: Database) -> None:
    await end(database, "a")
    [claim] = await take(database)
    assert await database.store.files.keep(claim, THERE)

    await end(database, "a", url=f"{URL}?Signature=new")

    assert [state[2] for state in states(database)] == ["archived"]


async def test_a_renewed_link_of_an_end_from_before_the_archive_brings_no_row(database: Database) -> None:
    database.store.archive = frozenset()
    number = await end(database, "a")
    database.store.archive = VIDEO_AND_SRT

    await end(database, "a", url=f"{URL}?Signature=new")
    assert states(database) == []
    await end(database, "a", srt_url=SRT)
    assert states(database) == [(number, "srt", "waiting")]


async def test_nobody_waits_for_the_files_of_a_success_that_was_none(database: Database) -> None:
    archived, other = await end(database, "a"), await end(database, "b")
    [claim] = await take(database, of=[archived])
    await database.store.files.keep(claim, THERE)
    [asked] = await take(database, of=[other])

    for name in ("a", "b"):
        told = [seen(name, Status.PENDING, Source.MANUAL), seen(name, Status.FAILED)]
        await database.store.apply(told, RULES)

    assert database.sql("SELECT DISTINCT status FROM translations") == [("failed",)]
    assert states(database) == [(archived, "video", "archived")]
    assert not await database.store.files.keep(asked, THERE)
    assert await database.store.files.oldest_missing() is None


async def test_one_that_was_asked_for_again_and_is_a_success_no_more_is_known_by_its_place(
    database: Database,
) -> None:
    number = await end(database, "a")
    [claim] = await take(database)
    await database.store.files.keep(claim, THERE)
    await database.store.files.want([number], VIDEO_AND_SRT, again=True)

    await database.store.apply([seen("a", Status.PENDING, Source.MANUAL)], RULES)

    assert database.sql("SELECT state, location, error FROM archived_files") == [
        ("failed", THERE.location, sql.LEFT)
    ]


async def test_with_the_archive_off_no_end_brings_a_row(database: Database) -> None:
    database.store.archive = frozenset()
    await end(database, "a")

    assert states(database) == []


# What people ask for


async def test_the_whole_history_is_walked_in_pieces(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.store.archive = frozenset()
    numbers = [await end(database, f"id-{number}", srt_url=SRT) for number in range(5)]
    await database.store.apply([seen("running", Status.RUNNING), seen("failed", Status.FAILED)], RULES)
    monkeypatch.setattr(sql, "WALKED", 3)

    walked, after = [], 0
    while True:
        wanted = await database.store.files.want_all({LinkKind.VIDEO}, after)
        walked.append(wanted.files)
        if wanted.after is None:
            break
        after = wanted.after

    assert walked == [3, 2, 0]
    assert states(database) == [(number, "video", "waiting") for number in numbers]
    assert (await database.store.files.want_all({LinkKind.VIDEO}, 0)).files == 0


async def test_what_was_given_up_is_tried_again_where_somebody_asks(database: Database) -> None:
    number = await end(database, "a")
    for ask in (
        partial(database.store.files.want, [number], VIDEO_AND_SRT),
        partial(database.store.files.want_all, VIDEO_AND_SRT, 0),
    ):
        [claim] = await take(database)
        assert await database.store.files.fail(claim, "too large", 40, None)
        assert await take(database) == []

        assert (await ask()).files == 1
        [again] = await take(database)
        assert again.attempts == 0
        assert await database.store.files.give_back(again, NOON)


async def test_what_was_put_off_is_tried_at_once_where_somebody_asks(database: Database) -> None:
    """Whoever asks has mended what was wrong, and would wait for hours."""
    number = await end(database, "a")
    for ask in (
        partial(database.store.files.want, [number], VIDEO_AND_SRT),
        partial(database.store.files.want_all, VIDEO_AND_SRT, 0),
    ):
        [claim] = await take(database)
        assert (await ask()).files == 0  # it is under way, and stays so
        assert await database.store.files.fail(claim, "HTTP 500", 20, NOON + timedelta(hours=6))
        assert await take(database) == []

        assert (await ask()).files == 1
        [again] = await take(database)
        assert again.attempts == 0
        assert await database.store.files.give_back(again, NOON)


async def test_what_is_archived_is_downloaded_again_only_where_that_is_said(database: Database) -> None:
    number = await end(database, "a")
    [claim] = await take(database)
    await database.store.files.keep(claim, THERE)

    assert (await database.store.files.want([number], VIDEO_AND_SRT)).files == 0
    assert (await database.store.files.want([number], VIDEO_AND_SRT, again=True)).files == 1
    [again] = await take(database)
    assert again.location == THERE.location


# Claims


async def test_a_claim_tells_what_the_key_is_made_of_and_the_known_link(database: Database) -> None:
    number = await end(database, "a", title="Talk", output_language="German", srt_url=SRT)

    claims = await take(database)

    assert {claim.kind: claim.url for claim in claims} == {LinkKind.VIDEO: URL, LinkKind.SRT: SRT}
    claim = claims[0]
    assert (claim.translation_id, claim.owner, claim.until) == (number, "one", NOON + LEASE)
    assert (claim.video_translate_id, claim.title, claim.output_language) == ("a", "Talk", "German")
    assert (claim.finished_at, claim.created_at) == (NOON, NOON)
    assert URL not in repr(claims)
    assert {state[2] for state in states(database)} == {"downloading"}


async def test_nobody_else_gets_a_claimed_file_until_the_claim_lapses(database: Database) -> None:
    await end(database, "a")
    [first] = await take(database)

    assert await take(database, owner="two") == []
    [second] = await take(database, owner="two", at=NOON + LEASE)

    assert await database.store.files.renew(first, NOON + 2 * LEASE) is None
    assert not await database.store.files.keep(first, THERE)
    assert not await database.store.files.fail(first, "late", 1, None)
    assert not await database.store.files.give_back(first, NOON)
    assert await database.store.files.keep(second, THERE)


async def test_a_renewed_claim_holds_longer(database: Database) -> None:
    await end(database, "a")
    [claim] = await take(database)

    renewed = await database.store.files.renew(claim, NOON + 2 * LEASE)

    assert renewed is not None
    assert await take(database, owner="two", at=NOON + LEASE) == []
    assert not await database.store.files.keep(claim, THERE)
    assert await database.store.files.keep(renewed, THERE)


async def test_what_came_due_last_goes_first_and_never_more_than_asked(database: Database) -> None:
    first, second, third = [await end(database, name) for name in ("a", "b", "c")]
    database.sql(
        "UPDATE archived_files SET next_attempt_at = '2026-11-23 11:00:00.000000'"
        f" WHERE translation_id = {second}"
    )
    database.sql(
        "UPDATE archived_files SET next_attempt_at = '2026-11-23 10:00:00.000000'"
        f" WHERE translation_id = {third}"
    )

    assert [claim.translation_id for claim in await take(database, 2)] == [first, second]
    assert [claim.translation_id for claim in await take(database, 2)] == [third]


async def test_a_claim_of_certain_translations_takes_no_others(database: Database) -> None:
    await end(database, "a")
    wanted = await end(database, "b")

    assert [claim.translation_id for claim in await take(database, of=[wanted])] == [wanted]


async def test_what_is_not_due_or_was_reopened_is_not_taken(database: Database) -> None:
    await end(database, "a")
    [claim] = await take(database)
    await database.store.files.fail(claim, "the connection broke", 1, NOON + LEASE)
    assert await take(database) == []

    await database.store.apply([seen("a", Status.PENDING, Source.MANUAL)], RULES)
    assert await take(database, at=NOON + LEASE) == []

    await end(database, "a")
    [again] = await take(database, at=NOON + LEASE)
    assert again.attempts == 0


async def test_the_sole_runner_frees_what_a_killed_one_held(database: Database) -> None:
    await end(database, "a")
    await take(database)

    await database.store.free_claims()

    assert len(await take(database, owner="two")) == 1


async def test_two_programs_at_once_never_get_the_same_file(database: Database) -> None:
    for number in range(30):
        await end(database, f"id-{number}", srt_url=SRT)
    with database.second() as other:
        stores: Sequence[Repository] = [database.store, other]
        claims = await asyncio.gather(
            *(store.files.claim(NOON, 7, "me", LEASE) for store in stores for _ in range(6))
        )

    taken = [(claim.translation_id, claim.kind) for some in claims for claim in some]
    assert len(taken) == len(set(taken)) == 60


# What became of it


async def test_a_kept_file_can_be_joined_with_its_translation(database: Database) -> None:
    number = await end(database, "a", title="Talk")
    [claim] = await take(database)

    assert await database.store.files.keep(claim, THERE)

    assert database.sql(
        "SELECT t.title, f.location, f.bytes, f.sha256, f.content_type, f.state FROM translations t"
        " JOIN archived_files f ON f.translation_id = t.id"
    ) == [("Talk", "/archive/v.mp4", 7, "ab" * 32, "video/mp4", "archived")]
    [row] = await database.store.files.rows([number])
    assert (row["video_translate_id"], row["archived_at"], row["claimed_by"]) == ("a", NOON, None)
    assert row["next_attempt_at"] is None


async def test_the_figures_count_what_is_missing_and_tell_the_oldest(database: Database) -> None:
    assert await database.store.files.oldest_missing() is None
    for number in range(4):
        await end(database, f"id-{number}")
    kept, failed, _ = await take(database, 3)
    await database.store.files.keep(kept, THERE)
    await database.store.files.fail(failed, "too large", 1, None)
    database.sql(
        "UPDATE archived_files SET finished_at = '2026-11-20 12:00:00.000000'"
        f" WHERE translation_id = {failed.translation_id}"
    )

    assert await database.store.files.counts(100) == {"waiting": 1, "downloading": 1, "failed": 1}
    assert await database.store.files.counts(0) == {"waiting": 0, "downloading": 0, "failed": 0}
    assert await database.store.files.oldest_missing() == NOON - timedelta(days=3)


async def test_what_was_in_vain_too_often_is_not_worth_waiting_for(database: Database) -> None:
    for name in ("kept", "given up", "in vain", "once more", "untried"):
        await end(database, name)
    claims = {claim.video_translate_id: claim for claim in await take(database)}
    await database.store.files.keep(claims["kept"], THERE)
    await database.store.files.fail(claims["given up"], "too large", 1, None)
    await database.store.files.fail(claims["in vain"], "HTTP 500", 5, NOON)
    await database.store.files.fail(claims["once more"], "HTTP 500", 4, NOON)

    assert await database.store.files.unsettled(5) == 2
    assert await database.store.files.unsettled(5, limit=1) == 1
    told = {row["video_translate_id"]: row["error"] for row in await database.store.files.missing(5, 10)}
    assert told == {"given up": "too large", "in vain": "HTTP 500"}
    assert len(await database.store.files.missing(5, 1)) == 1


async def test_retention_waits_for_a_file_and_takes_its_row_along(database: Database) -> None:
    numbers = [await end(database, name) for name in ("a", "b", "c")]
    for claim in await take(database):
        if claim.translation_id == numbers[0]:
            await database.store.files.keep(claim, THERE)
    database.sql("UPDATE translations SET next_poll_at = NULL, attention = NULL")

    assert await database.store.prune(Kind.TRANSLATIONS, NOON + LEASE, 10) == 1
    assert sorted({state[0] for state in states(database)}) == numbers[1:]


# By an index, however many there are


async def test_no_question_reads_what_is_archived(database: Database) -> None:
    """Of 3,000 rows that are archived, and three that are not."""
    questions: tuple[Callable[[Connection], Any], ...] = (
        partial(reports.counts, limit=10),
        partial(reports.unsettled, patience=5, limit=10),
        partial(reports.missing, patience=5, limit=10),
        reports.oldest_missing,
        partial(sql.claim, now=NOON, limit=2, owner="one", lease=LEASE, of=None),
    )
    fill(database)
    with database.engines.writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE archived_files")
            connection.exec_driver_sql("ANALYZE translations")
        for ask in questions:
            statements = said(connection, ask)
            assert statements
            for statement in statements:
                found = plan(connection, statement)
                assert re.search("ix_archived_files_(due|missing)", found), found


def fill(database: Database) -> None:
    rows = [
        {"id": number, "video_translate_id": f"id-{number}", "status": "success", "next_poll_at": None}
        for number in range(1, 3004)
    ]
    kept = {"state": "archived", "next_attempt_at": None, "archived_at": NOON}
    waiting = {"state": "waiting", "next_attempt_at": NOON, "archived_at": None}
    with database.engines.writer.begin() as connection:
        connection.execute(insert(translations), rows)
        files = [
            {"translation_id": row["id"], "kind": "video", "finished_at": NOON}
            | (kept if isinstance(row["id"], int) and row["id"] <= 3000 else waiting)
            for row in rows
        ]
        connection.execute(insert(archived_files), files)


def said(connection: Connection, ask: Callable[[Connection], Any]) -> list[tuple[str, Any]]:
    """The SELECTs that it makes, with what they are given."""

    heard: list[tuple[str, Any]] = []

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            heard.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", hear)
    ask(connection)
    event.remove(connection, "before_cursor_execute", hear)
    return heard


def plan(connection: Connection, said: tuple[str, Any]) -> str:
    statement, parameters = said
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))
