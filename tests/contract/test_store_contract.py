"""What every store must do for the core and the pages: on SQLite and on a real PostgreSQL server."""

import asyncio
import hashlib
import sqlite3
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.contract.openers import NOON, Opened
from tracker.domain.cadence import Cadence
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation
from tracker.domain.status import Attention, Source, Status
from tracker.domain.translation import Translation
from tracker.domain.verdict import Outcome, Verdict, judge
from tracker.errors import StoreError
from tracker.ports import Claim, Due, Judge, Record, Recorded
from tracker.store.repository import HASTENED

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)
SPACING = timedelta(seconds=15)
DEADLINE = 10.0
by_the_rules: Judge = partial(judge, cadence=Cadence())


def observation(
    video_translate_id: str | None = "a",
    status: Status | None = None,
    *,
    callback_id: str | None = None,
    source: Source = Source.WEBHOOK,
    at: datetime = NOON,
    hint: bool = False,
    authentic: bool = True,
    **details: Any,
) -> Observation:
    return Observation(
        source=source,
        observed_at=at,
        video_translate_id=video_translate_id,
        callback_id=callback_id,
        status=status,
        details=Details(**details),
        hint=hint,
        authentic=authentic,
    )


def registered(video_translate_id: str | None = "a", **told: Any) -> Record:
    return Record(observation=observation(video_translate_id, source=Source.MANUAL, **told))


def delivery(body: bytes = b"{}", *, signed_by: str | None = "main", **told: Any) -> Delivery:
    received = {"received_at": NOON, "headers": (("Signature", "a1"),), **told}
    return Delivery(body=body, body_sha256=hashlib.sha256(body).hexdigest(), signed_by=signed_by, **received)


def webhook(
    video_translate_id: str = "a",
    status: Status = Status.SUCCESS,
    *,
    body: bytes = b"{}",
    callback_id: str | None = None,
    url: str | None = "https://files.example/a.mp4",
) -> Record:
    return Record(
        delivery=delivery(body, video_translate_id=video_translate_id, callback_id=callback_id),
        observation=observation(video_translate_id, status, callback_id=callback_id, url=url),
    )


def unsigned(
    video_translate_id: str | None, *, body: bytes = b"{}", callback_id: str | None = None
) -> Record:
    return Record(
        delivery=delivery(
            body, signed_by=None, video_translate_id=video_translate_id, callback_id=callback_id
        ),
        observation=observation(video_translate_id, callback_id=callback_id, hint=True, authentic=False),
    )


async def apply(opened: Opened, *records: Record, rule: Judge = by_the_rules) -> list[Recorded]:
    async with asyncio.timeout(DEADLINE):
        return await opened.store.apply(records, rule)


async def claimed(opened: Opened, *, at: datetime = NOON, owner: str = "one", limit: int = 10) -> list[Claim]:
    return await opened.store.claim_due(at, limit, owner, LEASE)


def statuses(opened: Opened) -> dict[str, str]:
    return {row[0]: row[1] for row in opened.sql("SELECT video_translate_id, status FROM translations")}


def count(opened: Opened, table: str) -> int:
    [(rows,)] = opened.sql(f"SELECT COUNT(*) FROM {table}")
    return int(rows)


# Links


def listed(name: str, url: str, at: datetime = NOON) -> Record:
    return Record(
        observation=observation(name, Status.SUCCESS, source=Source.LIST, at=at, url=url, srt_url=url)
    )


LINK_CHANGES = "SELECT translation_id, kind, old_url, new_url, source FROM link_changes ORDER BY id"


@pytest.mark.parametrize("alone", [True, False])
async def test_a_link_that_leads_elsewhere_is_recorded_and_a_renewed_one_is_not(
    opened: Opened, *, alone: bool
) -> None:
    """One by one, or among others."""
    others = [] if alone else [registered("b"), registered("c")]
    await apply(opened, registered("a"))
    await apply(opened, listed("a", "https://files.example/a.mp4?Signature=one"), *others)
    before = opened.sql("SELECT * FROM changes")

    await apply(opened, listed("a", "https://files.example/a.mp4?Signature=two"), *others)
    assert opened.sql("SELECT url, srt_url FROM translations WHERE video_translate_id = 'a'") == [
        ("https://files.example/a.mp4?Signature=two",) * 2
    ]
    assert opened.sql(LINK_CHANGES) == []

    await apply(opened, listed("a", "https://files.example/b.mp4?Signature=three"), *others)
    assert opened.sql(LINK_CHANGES) == [
        (1, "video", "https://files.example/a.mp4", "https://files.example/b.mp4", "list"),
        (1, "srt", "https://files.example/a.mp4", "https://files.example/b.mp4", "list"),
    ]
    assert opened.sql("SELECT * FROM changes") == before


async def test_a_link_change_is_in_the_transaction_of_its_link(opened: Opened) -> None:
    await apply(opened, registered("a"), listed("a", "https://files.example/a.mp4"))

    def by_a_broken_rule(current: Translation, seen: Observation) -> Verdict:
        verdict = by_the_rules(current, seen)
        return replace(verdict, updates=verdict.updates | {"attention": "no such flag"})

    with pytest.raises(StoreError):
        await apply(opened, listed("a", "https://files.example/b.mp4"), rule=by_a_broken_rule)

    assert count(opened, "link_changes") == 0
    assert opened.sql("SELECT url FROM translations") == [("https://files.example/a.mp4",)]


# One transaction


async def test_a_webhook_leaves_delivery_effect_and_change(opened: Opened) -> None:
    await apply(opened, registered("a"))

    [recorded] = await apply(opened, webhook("a", body=b'{"the": "body"}'))

    assert recorded.outcome is Outcome.APPLIED
    assert recorded.change is not None
    assert recorded.change.new is Status.SUCCESS
    assert recorded.recorded_at == NOON
    assert statuses(opened) == {"a": "success"}
    assert opened.sql(
        "SELECT old_status, new_status, source, delivery_id, translation_id FROM changes"
    ) == opened.sql("SELECT 'pending', 'success', 'webhook', d.id, t.id FROM deliveries d, translations t")
    assert opened.sql("SELECT outcome, signed_by, times_received FROM deliveries") == [("applied", "main", 1)]
    [(body, headers)] = opened.sql("SELECT body, headers FROM delivery_bodies")
    assert (bytes(body), headers) == (b'{"the": "body"}', '[["Signature", "a1"]]')


async def test_nothing_is_stored_where_the_rules_raise(opened: Opened) -> None:
    def broken(_current: Translation, seen: Observation) -> Verdict:
        raise ArithmeticError(seen.video_translate_id)

    with pytest.raises(ArithmeticError, match="b"):
        await apply(
            opened, Record(delivery=delivery(b"first"), outcome=Outcome.IGNORED), webhook("b"), rule=broken
        )

    assert [
        count(opened, table) for table in ("translations", "deliveries", "delivery_bodies", "changes")
    ] == [
        0,
        0,
        0,
        0,
    ]
    [after] = await apply(opened, webhook("b"))
    assert after.outcome is Outcome.APPLIED


async def test_records_are_decided_in_the_order_they_are_given(opened: Opened) -> None:
    running = Record(observation=observation("a", Status.RUNNING, source=Source.LIST))

    results = await apply(opened, registered("a"), running, webhook("a"), running)

    assert [one.outcome for one in results] == [
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.UNCHANGED,
    ]
    assert opened.sql("SELECT new_status FROM changes ORDER BY id") == [("running",), ("success",)]


async def test_many_at_once_are_all_stored_and_each_hears_of_its_own(opened: Opened) -> None:
    ids = [f"id-{number}" for number in range(300)]

    answers = await asyncio.gather(*(apply(opened, webhook(name, body=name.encode())) for name in ids))

    assert [one.video_translate_id for [one] in answers] == ids
    assert statuses(opened) == dict.fromkeys(ids, "success")
    assert count(opened, "changes") == count(opened, "deliveries") == 300


async def test_one_bad_piece_does_not_sink_the_others(opened: Opened) -> None:
    def picky(current: Translation, seen: Observation) -> Verdict:
        if seen.video_translate_id == "id-7":
            raise ArithmeticError("id-7")
        return by_the_rules(current, seen)

    ids = [f"id-{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(apply(opened, webhook(name, body=name.encode()), rule=picky) for name in ids),
        return_exceptions=True,
    )

    assert [str(one) for one in answers if isinstance(one, BaseException)] == ["id-7"]
    assert statuses(opened) == dict.fromkeys([name for name in ids if name != "id-7"], "success")
    assert count(opened, "deliveries") == 19


async def test_what_another_program_changes_meanwhile_is_never_overwritten_blindly(opened: Opened) -> None:
    """Where the database lets a rival in between read and write, the decision is made afresh."""
    await apply(opened, registered("a"))
    judged: list[Status] = []

    def raced(current: Translation, seen: Observation) -> Verdict:
        judged.append(current.status)
        if len(judged) == 1:
            with suppress(sqlite3.OperationalError):  # "locked": this engine keeps rivals out
                opened.sql("UPDATE translations SET status = 'running'")
        return by_the_rules(current, seen)

    [recorded] = await apply(opened, webhook("a"), rule=raced)

    assert recorded.change is not None
    assert recorded.change.old is judged[-1]
    assert statuses(opened) == {"a": "success"}
    assert count(opened, "changes") == 1


# Deliveries


async def test_a_repeated_delivery_is_counted_and_changes_nothing(opened: Opened) -> None:
    await apply(opened, webhook("a"))
    before = opened.sql("SELECT * FROM translations")

    again = [await apply(opened, webhook("a")) for _ in range(3)]

    assert [(one.is_duplicate, one.outcome) for [one] in again] == [(True, Outcome.APPLIED)] * 3
    assert opened.sql("SELECT times_received FROM deliveries") == [(4,)]
    assert count(opened, "changes") == 1
    assert opened.sql("SELECT * FROM translations") == before


async def test_a_repetition_in_the_same_batch_is_a_duplicate_too(opened: Opened) -> None:
    results = await apply(opened, webhook("a"), webhook("a"))

    assert [one.is_duplicate for one in results] == [False, True]
    assert opened.sql("SELECT times_received FROM deliveries") == [(2,)]


async def test_an_event_id_that_was_used_before_hides_nothing(opened: Opened) -> None:
    first = Record(
        delivery=delivery(b"1", event_id="evt"),
        observation=observation("a", Status.SUCCESS, url="https://x.y/"),
    )
    second = Record(
        delivery=delivery(b"2", event_id="evt"), observation=observation("b", Status.FAILED, message="no")
    )

    await apply(opened, first)
    [recorded] = await apply(opened, second)

    assert not recorded.is_duplicate
    assert statuses(opened) == {"a": "success", "b": "failed"}


async def test_the_signed_copy_of_a_body_that_came_unsigned_first_is_believed(opened: Opened) -> None:
    [hint] = await apply(opened, unsigned("a"))
    assert (hint.outcome, statuses(opened)) == (Outcome.HINT, {"a": "pending"})

    [recorded] = await apply(opened, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, Outcome.APPLIED)
    assert statuses(opened) == {"a": "success"}
    assert opened.sql("SELECT signed_by, outcome, times_received FROM deliveries") == [("main", "applied", 2)]


async def test_the_unsigned_copy_of_a_signed_body_is_a_duplicate(opened: Opened) -> None:
    await apply(opened, webhook("a"))

    [recorded] = await apply(opened, unsigned("a"))

    assert recorded.is_duplicate
    assert opened.sql("SELECT signed_by, outcome FROM deliveries") == [("main", "applied")]


async def test_a_delivery_that_could_not_be_used_is_tried_again_when_it_returns(opened: Opened) -> None:
    await apply(opened, Record(delivery=delivery(error="not understood"), outcome=Outcome.ERROR))
    assert opened.sql("SELECT outcome, error FROM deliveries") == [("error", "not understood")]

    [recorded] = await apply(opened, webhook("a"))

    assert (recorded.is_duplicate, recorded.outcome) == (False, Outcome.APPLIED)
    assert opened.sql("SELECT outcome, error, times_received FROM deliveries") == [("applied", None, 2)]
    assert count(opened, "delivery_bodies") == 1


async def test_an_unsigned_copy_does_not_make_a_signature_forgotten(opened: Opened) -> None:
    await apply(opened, Record(delivery=delivery(error="not understood"), outcome=Outcome.ERROR))

    await apply(opened, unsigned("a"))

    assert opened.sql("SELECT signed_by, outcome, error, times_received FROM deliveries") == [
        ("main", "error", "not understood", 2)
    ]


async def test_a_delivery_of_another_product_is_kept_without_a_translation(opened: Opened) -> None:
    [recorded] = await apply(opened, Record(delivery=delivery(b"avatar"), outcome=Outcome.IGNORED))

    assert (recorded.outcome, recorded.translation_id) == (Outcome.IGNORED, None)
    assert (count(opened, "deliveries"), count(opened, "translations")) == (1, 0)


# Whom an observation is about


async def test_a_row_that_waits_for_its_id_is_bound_by_the_first_who_knows_both(opened: Opened) -> None:
    [added] = await apply(opened, registered(None, callback_id="order-1", title="Mine"))

    [recorded] = await apply(opened, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert (recorded.is_new, recorded.video_translate_id) == (False, "a")
    assert opened.sql("SELECT video_translate_id, callback_id, status, title FROM translations") == [
        ("a", "order-1", "success", "Mine")
    ]


async def test_a_second_id_with_the_same_callback_id_gets_a_row_of_its_own(opened: Opened) -> None:
    await apply(opened, registered(None, callback_id="order-1"))

    await apply(opened, webhook("a", body=b"a", callback_id="order-1"))
    [second] = await apply(opened, webhook("b", Status.FAILED, body=b"b", callback_id="order-1", url=None))

    assert second.is_new
    assert statuses(opened) == {"a": "success", "b": "failed"}
    assert opened.sql("SELECT DISTINCT callback_id FROM translations") == [("order-1",)]


async def test_two_waiting_rows_are_bound_oldest_first(opened: Opened) -> None:
    opened.sql("INSERT INTO translations (callback_id) VALUES ('order-1')")
    opened.sql("INSERT INTO translations (callback_id) VALUES ('order-1')")

    await apply(opened, webhook("a", body=b"a", callback_id="order-1"))
    await apply(opened, webhook("b", body=b"b", callback_id="order-1"))

    assert opened.sql("SELECT video_translate_id FROM translations ORDER BY id") == [("a",), ("b",)]


async def test_naming_a_waiting_callback_id_again_adds_no_second_row(opened: Opened) -> None:
    [first] = await apply(opened, registered(None, callback_id="order-1"))
    [second] = await apply(opened, registered(None, callback_id="order-1"))

    assert (first.is_new, second.is_new) == (True, False)
    assert first.translation_id == second.translation_id


async def test_a_hint_binds_nothing(opened: Opened) -> None:
    await apply(opened, registered(None, callback_id="order-1"))

    await apply(opened, unsigned("a", callback_id="order-1"))

    assert opened.sql("SELECT video_translate_id, callback_id FROM translations ORDER BY id") == [
        (None, "order-1"),
        ("a", None),
    ]


async def test_the_row_that_a_hint_made_gives_way_to_the_one_that_waits_for_the_id(opened: Opened) -> None:
    [added] = await apply(opened, registered(None, callback_id="order-1"))
    await apply(opened, unsigned("a", body=b"hint", callback_id="order-1"))

    [recorded] = await apply(opened, webhook("a", body=b"signed", callback_id="order-1"))

    assert recorded.translation_id == added.translation_id
    assert opened.sql("SELECT video_translate_id, callback_id, status FROM translations") == [
        ("a", "order-1", "success")
    ]


async def test_a_signed_hint_that_knows_both_ids_binds_too(opened: Opened) -> None:
    await apply(opened, registered(None, callback_id="order-1"))
    preflight = observation("a", callback_id="order-1", hint=True)

    await apply(opened, Record(delivery=delivery(b"preflight"), observation=preflight))

    assert opened.sql("SELECT video_translate_id, callback_id, status FROM translations") == [
        ("a", "order-1", "pending")
    ]


async def test_adding_a_callback_id_again_adds_nothing(opened: Opened) -> None:
    await apply(opened, registered(None, callback_id="order-1"))
    await apply(opened, webhook("a", callback_id="order-1"))

    [again] = await apply(opened, registered(None, callback_id="order-1"))

    assert not again.is_new
    assert count(opened, "translations") == 1


async def test_open_rows_are_claimed_before_what_has_ended_for_a_minute(opened: Opened) -> None:
    await apply(opened, webhook("ended"))
    opened.sql(
        "INSERT INTO translations (video_translate_id, next_poll_at) VALUES ('open', '2026-11-23 12:00:30')"
    )
    soon, later = NOON + timedelta(seconds=31), NOON + timedelta(seconds=61)

    [first] = await claimed(opened, at=soon, limit=1)
    await opened.store.release([first])
    [after_a_minute] = await claimed(opened, at=later, limit=1)

    assert [first.video_translate_id, after_a_minute.video_translate_id] == ["open", "ended"]
    assert [claim.video_translate_id for claim in await claimed(opened, at=later, owner="two")] == ["open"]


async def test_the_sole_runner_frees_what_a_dead_one_held(opened: Opened) -> None:
    await apply(opened, registered("a"))
    assert await claimed(opened)
    assert await claimed(opened, owner="two") == []

    await opened.store.free_claims()

    assert [claim.video_translate_id for claim in await claimed(opened, owner="two")] == ["a"]


async def test_a_row_that_nobody_hinted_at_never_gives_way(opened: Opened) -> None:
    [mine] = await apply(opened, registered("a", title="Mine"))
    await apply(opened, registered(None, callback_id="order-1"))

    [recorded] = await apply(opened, webhook("a", callback_id="order-1"))

    assert recorded.translation_id == mine.translation_id
    assert opened.sql("SELECT video_translate_id, status, title FROM translations ORDER BY id") == [
        ("a", "success", "Mine"),
        (None, "pending", None),
    ]


async def test_a_hint_by_callback_id_makes_every_open_row_due_and_changes_no_status(opened: Opened) -> None:
    later = NOON + timedelta(minutes=5)
    await apply(opened, webhook("done", body=b"1", callback_id="order-1"))
    opened.sql(
        "INSERT INTO translations (video_translate_id, callback_id, next_poll_at) VALUES"
        " ('a', 'order-1', '2026-11-23 13:00:00'), ('b', 'order-1', '2026-11-23 13:00:00'),"
        " ('c', 'order-2', '2026-11-23 13:00:00')"
    )
    hint = Record(
        delivery=delivery(b"2", signed_by=None),
        observation=observation(None, callback_id="order-1", hint=True, at=later),
    )

    [recorded] = await apply(opened, hint)

    assert recorded.outcome is Outcome.HINT
    assert {claim.video_translate_id for claim in await claimed(opened, at=later)} == {"done", "a", "b"}
    assert statuses(opened) == {"done": "success", "a": "pending", "b": "pending", "c": "pending"}


async def test_a_hint_at_nothing_known_is_kept_as_unknown(opened: Opened) -> None:
    [recorded] = await apply(opened, unsigned(None, callback_id="order-1"))

    assert recorded.outcome is Outcome.UNKNOWN
    assert (count(opened, "translations"), count(opened, "deliveries")) == (0, 1)


async def test_a_callback_id_of_ten_kilobytes_is_like_any_other(opened: Opened) -> None:
    long = "order-" + "x" * 10_000
    await apply(opened, registered(None, callback_id=long))

    await apply(opened, webhook("a", callback_id=long))

    [row] = await opened.store.list_translations(callback_id=long)
    assert (row["video_translate_id"], row["callback_id"]) == ("a", long)


# Claims


async def test_a_claim_is_exclusive_until_it_lapses(opened: Opened) -> None:
    await apply(opened, registered("a"))

    [mine] = await claimed(opened, owner="one")

    assert (mine.video_translate_id, mine.owner, mine.until) == ("a", "one", NOON + LEASE)
    assert await claimed(opened, owner="two", at=mine.until - timedelta(microseconds=1)) == []
    [theirs] = await claimed(opened, owner="two", at=mine.until)
    assert theirs.owner == "two"


async def test_claims_at_once_never_overlap(opened: Opened) -> None:
    await apply(opened, *(registered(f"id-{number}") for number in range(50)))

    taken = await asyncio.gather(*(claimed(opened, owner=f"{n}", limit=20) for n in range(4)))

    ids = [claim.video_translate_id for claims in taken for claim in claims]
    assert len(ids) == len(set(ids)) == 50


async def test_those_due_longest_are_claimed_first_and_those_not_due_never(opened: Opened) -> None:
    opened.sql(
        "INSERT INTO translations (video_translate_id, next_poll_at) VALUES ('second', "
        "'2026-11-23 11:30:00'),"
        " ('first', '2026-11-23 11:00:00'), ('third', '2026-11-23 12:00:00'), ('early', "
        "'2026-11-23 12:00:01')"
    )
    opened.sql("INSERT INTO translations (callback_id) VALUES ('no id to ask with')")

    assert [claim.video_translate_id for claim in await claimed(opened, limit=1)] == ["first"]
    assert {claim.video_translate_id for claim in await claimed(opened)} == {"second", "third"}


def polled(claim: Claim, status: Status, at: datetime = NOON) -> Record:
    seen = observation(claim.video_translate_id, status, source=Source.POLL, at=at, url="https://x.example/v")
    return Record(observation=seen, claim=claim)


async def test_a_poll_stores_its_answer_and_ends_its_claim(opened: Opened) -> None:
    await apply(opened, registered("a"))
    [claim] = await claimed(opened)

    [recorded] = await apply(opened, polled(claim, Status.SUCCESS))

    assert recorded.outcome is Outcome.APPLIED
    assert opened.sql("SELECT status, claimed_by, claimed_until, poll_count FROM translations") == [
        ("success", None, None, 1)
    ]


async def test_an_answer_that_comes_after_its_claim_lapsed_changes_nothing(opened: Opened) -> None:
    await apply(opened, registered("a"))
    [late] = await claimed(opened, owner="one")
    await claimed(opened, owner="two", at=late.until)
    before = opened.sql("SELECT * FROM translations")

    [recorded] = await apply(opened, polled(late, Status.SUCCESS))

    assert (recorded.outcome, recorded.change) == (Outcome.UNCHANGED, None)
    assert opened.sql("SELECT * FROM translations") == before


async def test_a_lapsed_claim_of_the_same_owner_is_not_taken_for_the_new_one(opened: Opened) -> None:
    await apply(opened, registered("a"))
    [late] = await claimed(opened)
    [fresh] = await claimed(opened, at=late.until)

    await apply(opened, polled(late, Status.FAILED))
    await apply(opened, polled(fresh, Status.SUCCESS))

    assert statuses(opened) == {"a": "success"}


async def test_a_claim_that_is_given_back_leaves_the_row_due(opened: Opened) -> None:
    await apply(opened, registered("a"))
    held = await claimed(opened)

    await opened.store.release(held)

    assert [claim.owner for claim in await claimed(opened, owner="two")] == ["two"]


async def test_a_claim_can_be_given_back_with_a_later_due_time(opened: Opened) -> None:
    await apply(opened, registered("a"))
    later = NOON + timedelta(minutes=1)

    await opened.store.release(await claimed(opened), later)

    assert await claimed(opened, at=later - timedelta(seconds=1)) == []
    assert len(await claimed(opened, at=later)) == 1


async def test_giving_back_what_somebody_else_holds_by_now_changes_nothing(opened: Opened) -> None:
    await apply(opened, registered("a"))
    late = await claimed(opened, owner="one")
    await claimed(opened, owner="two", at=late[0].until)
    before = opened.sql("SELECT * FROM translations")

    await opened.store.release(late, NOON)

    assert opened.sql("SELECT * FROM translations") == before


# Bulk questions


async def track(opened: Opened, *names: str, due: float = 0.0) -> None:
    """Track these, due so many seconds after noon."""
    await apply(opened, *(registered(name) for name in names))
    time = f"{NOON + timedelta(seconds=due):%Y-%m-%d %H:%M:%S.%f}"
    listed = ", ".join(f"'{name}'" for name in names)
    opened.sql(f"UPDATE translations SET next_poll_at = '{time}' WHERE video_translate_id IN ({listed})")


async def in_bulk(
    opened: Opened,
    requests: int = 10,
    batch: int = 3,
    *,
    soon: float = 0.0,
    owner: str = "one",
    alone_first: bool = True,
) -> tuple[list[str], list[str]]:
    """Claim at noon; whom to ask about together, and whom alone."""
    due = Due(NOON, NOON + timedelta(seconds=soon), batch, alone_first)
    claims = await opened.store.claim_due(NOON, requests, owner, LEASE, due)
    assert len({claim.translation_id for claim in claims}) == len(claims)
    together = [claim.video_translate_id for claim in claims if not claim.alone]
    return sorted(together), sorted(claim.video_translate_id for claim in claims if claim.alone)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def suspect(opened: Opened, *names: str) -> None:
    """HeyGen's bulk answer did not find them."""
    listed = ", ".join(f"'{name}'" for name in names)
    opened.sql(
        f"UPDATE translations SET last_error = 'not_found: left out' WHERE video_translate_id IN ({listed})"
    )


async def end(opened: Opened, *names: str, due: float = 0.0) -> None:
    """They have ended, and a question for their fields is due."""
    time = f"{NOON + timedelta(seconds=due):%Y-%m-%d %H:%M:%S.%f}"
    listed = ", ".join(f"'{name}'" for name in names)
    opened.sql(
        f"UPDATE translations SET status = 'success', next_poll_at = '{time}'"
        f" WHERE video_translate_id IN ({listed})"
    )


async def test_without_bulk_questions_every_claim_is_alone(opened: Opened) -> None:
    await track(opened, *names("a", 5))

    assert await in_bulk(opened, 3, batch=1) == ([], ["a0", "a1", "a2"])


async def test_so_many_questions_ask_about_so_many_times_more(opened: Opened) -> None:
    await track(opened, *names("a", 8))

    assert await in_bulk(opened, 2, batch=3) == (names("a", 6), [])
    assert await in_bulk(opened, 2, batch=3) == (["a6", "a7"], [])
    assert await in_bulk(opened, 2, batch=3) == ([], [])


async def test_what_is_due_soon_fills_a_question_that_is_asked_anyway(opened: Opened) -> None:
    await track(opened, "due")
    await track(opened, *names("soon", 5), due=5)
    await track(opened, "later", due=8)

    assert await in_bulk(opened, 10, batch=4, soon=7.5) == (["due", "soon0", "soon1", "soon2"], [])


@pytest.mark.parametrize("due", [0, 4])
async def test_it_never_begins_a_question(opened: Opened, due: int) -> None:
    await track(opened, *names("soon", 5), due=5)
    if due:
        await track(opened, *names("due", due))

    assert await in_bulk(opened, 10, batch=4, soon=7.5) == (names("due", due), [])


async def test_what_was_asked_about_early_is_not_asked_again_when_it_was_due(opened: Opened) -> None:
    await track(opened, "due")
    await track(opened, "soon", due=5)
    due = Due(NOON, NOON + timedelta(seconds=7.5), 2)
    claims = await opened.store.claim_due(NOON, 1, "one", LEASE, due)

    await apply(opened, *(polled(claim, Status.RUNNING) for claim in claims))

    [(first,), (second,)] = opened.sql("SELECT next_poll_at FROM translations ORDER BY id")
    assert min(first, second) >= "2026-11-23 12:00:15"


async def test_what_has_ended_wants_a_question_of_its_own(opened: Opened) -> None:
    await track(opened, "open", "ended")
    await end(opened, "ended")

    assert await in_bulk(opened) == (["open"], ["ended"])


async def test_what_a_bulk_answer_did_not_find_is_asked_about_alone_until_it_is_flagged(
    opened: Opened,
) -> None:
    await track(opened, "open", "suspect", "flagged", "unreachable")
    await suspect(opened, "suspect", "flagged")
    opened.sql("UPDATE translations SET attention = 'not_found' WHERE video_translate_id = 'flagged'")
    opened.sql(
        "UPDATE translations SET last_error = 'unreachable: not_found: no'"
        " WHERE video_translate_id = 'unreachable'"
    )

    assert await in_bulk(opened) == (["flagged", "open", "unreachable"], ["suspect"])


async def test_a_suspect_with_another_flag_is_still_asked_about_alone(opened: Opened) -> None:
    await track(opened, "overdue")
    await suspect(opened, "overdue")
    opened.sql("UPDATE translations SET attention = 'overdue'")

    assert await in_bulk(opened) == ([], ["overdue"])


async def test_questions_of_their_own_wait_for_bulk_questions(opened: Opened) -> None:
    await track(opened, *names("open", 5), *names("ended", 5))
    await end(opened, *names("ended", 5), due=-59)

    assert await in_bulk(opened, 2) == (names("open", 5), [])
    assert await in_bulk(opened, 2) == ([], ["ended0", "ended1"])


async def test_half_of_the_questions_are_for_those_that_waited_a_minute_for_their_own(
    opened: Opened,
) -> None:
    await track(opened, *names("open", 30), *names("ended", 9))
    await end(opened, *names("ended", 9), due=-60)

    together, alone = await in_bulk(opened, 4)

    assert (len(together), alone) == (6, ["ended0", "ended1"])


@pytest.mark.parametrize(
    ("requests", "alone_first", "expected"),
    [(1, True, (0, 1)), (1, False, (3, 0)), (3, True, (3, 2)), (3, False, (6, 1)), (2, False, (3, 1))],
)
async def test_of_an_odd_number_the_odd_question_goes_to_whoever_has_the_turn(
    opened: Opened,
    requests: int,
    alone_first: bool,
    expected: tuple[int, int],
) -> None:
    await track(opened, *names("open", 9), *names("ended", 9))
    await end(opened, *names("ended", 9), due=-60)

    together, alone = await in_bulk(opened, requests, alone_first=alone_first)

    assert (len(together), len(alone)) == expected


async def test_the_turn_is_lost_where_nobody_wants_it(opened: Opened) -> None:
    await track(opened, *names("ended", 2))
    await end(opened, *names("ended", 2), due=-60)
    assert await in_bulk(opened, 1, alone_first=False) == ([], ["ended0"])
    assert await in_bulk(opened, 1, alone_first=True) == ([], ["ended1"])

    await track(opened, *names("open", 2))

    assert await in_bulk(opened, 1, alone_first=True) == (["open0", "open1"], [])


async def test_they_get_all_where_nothing_is_to_be_asked_in_bulk(opened: Opened) -> None:
    await track(opened, *names("ended", 9))
    await end(opened, *names("ended", 9), due=-60)

    assert await in_bulk(opened, 4) == ([], names("ended", 4))


async def test_two_who_claim_for_bulk_at_once_never_ask_about_the_same(opened: Opened) -> None:
    await track(opened, *names("open", 40), *names("ended", 10))
    await end(opened, *names("ended", 10), due=-60)

    claims = await asyncio.gather(*(in_bulk(opened, 4, batch=5, owner=f"owner {n}") for n in range(4)))

    asked = [name for together, alone in claims for name in together + alone]
    assert len(set(asked)) == len(asked) >= 40


async def test_rows_without_an_id_and_rows_that_somebody_holds_are_in_no_bulk_question(
    opened: Opened,
) -> None:
    await track(opened, "held")
    await claimed(opened)
    await apply(opened, registered(None, callback_id="mine"))
    await track(opened, "free")

    assert await in_bulk(opened) == (["free"], [])


async def test_polling_is_hastened_for_what_is_open_and_would_wait_longer(opened: Opened) -> None:
    await track(opened, "early", due=1)
    await track(opened, "late", "ended", due=500)
    await end(opened, "ended", due=500)
    await apply(opened, registered(None, callback_id="mine"))
    opened.sql("UPDATE translations SET next_poll_at = '2026-11-24 00:00:00' WHERE callback_id = 'mine'")

    assert await opened.store.hasten(NOON + timedelta(seconds=54), SPACING) == 1

    times = {"early": "12:00:01", "late": "12:00:54", "ended": "12:08:20", None: "00:00:00"}
    assert due_times(opened) == times
    assert await opened.store.hasten(NOON + timedelta(seconds=54), SPACING) == 0


async def test_however_many_there_are_all_are_hastened(opened: Opened) -> None:
    await track(opened, *names("late", HASTENED + 1), due=500)

    assert await opened.store.hasten(NOON, SPACING) == HASTENED + 1
    assert set(due_times(opened).values()) == {"12:00:00"}
    assert await opened.store.hasten(NOON, SPACING) == 0


async def test_what_was_just_asked_about_is_not_asked_at_once_again(opened: Opened) -> None:
    await track(opened, "just", "long ago", "soon", due=500)
    for name, seconds in (("just", 45), ("long ago", 39), ("soon", 50)):
        at = f"2026-11-23 12:00:{seconds}.000000"
        opened.sql(f"UPDATE translations SET last_polled_at = '{at}' WHERE video_translate_id = '{name}'")
    opened.sql("UPDATE translations SET next_poll_at = '2026-11-23 12:01:05.000000' WHERE id = 3")

    assert await opened.store.hasten(NOON + timedelta(seconds=54), SPACING) == 2

    assert due_times(opened) == {"just": "12:01:09", "long ago": "12:00:54", "soon": "12:01:05"}


def due_times(opened: Opened) -> dict[str | None, str]:
    rows = opened.sql("SELECT video_translate_id, next_poll_at FROM translations")
    return {name: due[11:19] for name, due in rows}


async def test_open_translations_are_counted_by_age(opened: Opened) -> None:
    assert await opened.store.count_open(NOON) == (0, 0)
    ages = {"young": 0, "edge": 1800, "old": 1801, "ended": 0}
    for name, age in ages.items():
        await apply(opened, registered(name, at=NOON - timedelta(seconds=age)))
    await apply(opened, registered(None, callback_id="mine"))
    await end(opened, "ended")

    assert await opened.store.count_open(NOON - timedelta(seconds=1800)) == (1, 2)


async def test_the_oldest_open_translation_is_known(opened: Opened) -> None:
    assert await opened.store.oldest_open() is None
    for name, age in {"older": 900, "old": 300, "young": 10}.items():
        await apply(opened, registered(name, at=NOON - timedelta(seconds=age)))
    assert await opened.store.oldest_open() == NOON - timedelta(seconds=900)

    await end(opened, "older")

    assert await opened.store.oldest_open() == NOON - timedelta(seconds=300)


# What nobody tracks, and what waits for its id


async def test_what_nobody_tracks_stays_untracked_where_it_may_not_be_adopted(opened: Opened) -> None:
    seen = observation("stranger", Status.SUCCESS, callback_id="theirs", source=Source.LIST)

    [recorded] = await apply(opened, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.change) == (Outcome.UNKNOWN, False, None)
    assert count(opened, "translations") == count(opened, "changes") == 0
    [adopted] = await apply(opened, Record(observation=seen))
    assert (adopted.outcome, adopted.is_new, adopted.is_bound) == (Outcome.APPLIED, True, False)


async def test_what_is_tracked_is_told_all_the_same(opened: Opened) -> None:
    await apply(opened, registered("a"))

    seen = observation("a", Status.SUCCESS, source=Source.LIST, url="https://files.example/a.mp4")
    [recorded] = await apply(opened, Record(observation=seen, adopt=False))

    assert (recorded.outcome, recorded.is_new, recorded.is_bound) == (Outcome.APPLIED, False, False)
    assert statuses(opened) == {"a": "success"}


async def test_a_row_that_waits_is_bound_also_where_nothing_may_be_adopted(opened: Opened) -> None:
    await apply(opened, registered(None, callback_id="mine"))
    first, second = (
        Record(observation=observation(name, callback_id="mine", source=Source.LIST), adopt=False)
        for name in ("a", "b")
    )

    [bound], [stranger] = await apply(opened, first), await apply(opened, second)

    assert (bound.is_bound, bound.is_new, bound.video_translate_id) == (True, False, "a")
    assert (stranger.is_bound, stranger.outcome) == (False, Outcome.UNKNOWN)
    assert statuses(opened) == {"a": "pending"}


async def test_the_languages_of_one_request_are_bound_to_the_rows_of_their_languages(
    opened: Opened,
) -> None:
    for language in ("Spanish", "French", "Urdu"):
        opened.sql(f"INSERT INTO translations (callback_id, output_language) VALUES ('mine', '{language}')")

    for name, language in (("x-ur", "Urdu"), ("x-es", "Spanish"), ("x-tl", "Klingon"), ("x-fr", "French")):
        seen = observation(name, callback_id="mine", source=Source.LIST, output_language=language)
        await apply(opened, Record(observation=seen, adopt=False))

    found = opened.sql("SELECT video_translate_id, callback_id FROM translations ORDER BY id")
    assert found == [("x-es", "mine"), ("x-tl", "mine"), ("x-ur", "mine")]


# What is remembered between runs


async def test_what_is_remembered_is_recalled_also_by_the_next_run(opened: Opened) -> None:
    assert await opened.store.recall("heygen_api") is None
    values: list[Any] = ["v3", {"token": "é", "pages": [1, None, True]}, 0, "", None]
    for value in values:
        await opened.store.remember("heygen_api", value)
        assert await opened.store.recall("heygen_api") == value
    assert await opened.store.recall("another") is None
    assert count(opened, "tracker_state") == 1


# Flags


async def test_open_rows_that_grew_too_old_are_flagged_once_also_without_an_id(opened: Opened) -> None:
    opened.sql(
        "INSERT INTO translations (video_translate_id, callback_id, status, attention, created_at) VALUES"
        " ('old', NULL, 'running', NULL, '2026-11-23 10:59:59'), ('young', NULL, 'running', "
        "NULL, '2026-11-23 11:00:01'),"
        " (NULL, 'order-1', 'pending', NULL, '2026-11-23 09:00:00'), ('done', NULL, 'success', "
        "NULL, '2026-11-23 09:00:00'),"
        " ('lost', NULL, 'pending', 'not_found', '2026-11-23 09:00:00')"
    )

    flagged = await opened.store.flag_overdue(NOON, timedelta(hours=1))

    assert sorted(flagged) == ["callback_id order-1", "old"]
    assert await opened.store.flag_overdue(NOON, timedelta(hours=1)) == []
    rows = await opened.store.list_translations(attention=Attention.OVERDUE)
    assert [(row["status"], row["attention_since"]) for row in rows] == [("running", NOON), ("pending", NOON)]


# News


async def test_news_comes_with_a_change_and_else_after_its_time(opened: Opened) -> None:
    loop = asyncio.get_running_loop()
    async with opened.store.news() as news:
        began = loop.time()
        await news(0.3)
        assert loop.time() - began >= 0.3

        waiting = asyncio.ensure_future(news(DEADLINE))
        await apply(opened, registered("untold"), webhook("told"))
        await asyncio.wait_for(waiting, DEADLINE / 2)


# What pages read


async def test_pages_read_rows_by_column_name_in_the_order_of_ids(opened: Opened) -> None:
    await apply(opened, *(registered(name, callback_id=f"for-{name}") for name in "abcde"))
    await apply(opened, webhook("c"))
    names = partial(map, lambda row: row["video_translate_id"])
    everything = await opened.store.list_translations()

    assert list(names(everything)) == list("abcde")
    assert list(names(await opened.store.list_translations(status="success"))) == ["c"]
    assert list(names(await opened.store.list_translations(callback_id="for-d"))) == ["d"]
    assert list(names(await opened.store.list_translations(newest_first=True, limit=2))) == ["e", "d"]
    assert list(names(await opened.store.list_translations(after=everything[2]["id"], limit=1))) == ["d"]
    assert list(names(await opened.store.find(["e", "nobody", "a"]))) == ["a", "e"]
    assert list(names(await opened.store.get([everything[1]["id"], 12345]))) == ["b"]
    assert everything[0]["created_at"] == NOON


async def test_pages_read_the_flagged_rows(opened: Opened) -> None:
    await apply(opened, registered("fine"), webhook("urgent", url=None))

    [row] = await opened.store.list_translations(flagged=True)

    assert (row["video_translate_id"], row["attention"]) == ("urgent", "url_missing")


async def test_a_thousand_ids_are_found_in_one_call(opened: Opened) -> None:
    ids = [f"id-{number:04}" for number in range(1001)]
    await apply(opened, *(registered(name) for name in ids))

    assert [row["video_translate_id"] for row in await opened.store.find(ids)] == ids


async def test_the_history_of_a_translation_is_read_oldest_first(opened: Opened) -> None:
    [added] = await apply(opened, registered("a"))
    await apply(
        opened, Record(observation=observation("a", Status.RUNNING, source=Source.LIST)), webhook("a")
    )

    changes = await opened.store.list_changes(added.translation_id or 0)

    assert [(one["old_status"], one["new_status"], one["source"]) for one in changes] == [
        ("pending", "running", "list"),
        ("running", "success", "webhook"),
    ]
    assert await opened.store.list_changes(12345) == []


async def test_figures_count_by_status_and_flag(opened: Opened) -> None:
    await apply(
        opened, registered("a"), registered("b"), webhook("c", body=b"c"), webhook("d", body=b"d", url=None)
    )
    assert sorted(await opened.store.counts(), key=str) == [
        ("pending", None, 2),
        ("success", "url_missing", 1),
        ("success", None, 1),
    ]


async def test_the_poll_that_waits_longest_is_known(opened: Opened) -> None:
    opened.sql("INSERT INTO translations (callback_id, next_poll_at) VALUES ('x', '2026-11-23 08:00:00')")
    assert await opened.store.oldest_due(NOON) is None

    opened.sql(
        "INSERT INTO translations (video_translate_id, next_poll_at) VALUES ('a', '2026-11-23 11:00:00')"
    )

    assert await opened.store.oldest_due(NOON) == NOON - timedelta(hours=1)


async def test_who_reported_the_latest_ends_is_known_newest_first(opened: Opened) -> None:
    await apply(opened, registered("a"))
    [claim] = await claimed(opened)
    await apply(opened, polled(claim, Status.SUCCESS))
    await apply(
        opened, webhook("b"), Record(observation=observation("c", Status.RUNNING, source=Source.LIST))
    )

    assert await opened.store.recent_end_sources(5) == [Source.WEBHOOK, Source.POLL]
    assert await opened.store.recent_end_sources(1) == [Source.WEBHOOK]


async def test_a_signed_webhook_since_the_oldest_of_the_latest_ends_is_heard_of(opened: Opened) -> None:
    assert not await opened.store.heard_since_ends(5)
    for name in ("a", "b"):
        await apply(opened, registered(name))
        [claim] = await claimed(opened)
        await apply(opened, polled(claim, Status.SUCCESS))
    assert not await opened.store.heard_since_ends(5)
    await apply(opened, webhook("a"))
    assert await opened.store.heard_since_ends(5)
    opened.sql("UPDATE changes SET recorded_at = '2099-01-01 00:00:00' WHERE translation_id = 2")
    assert await opened.store.heard_since_ends(2)
    assert not await opened.store.heard_since_ends(1)  # it came before that one
    opened.sql("UPDATE deliveries SET signed_by = NULL")
    assert not await opened.store.heard_since_ends(2)


async def test_a_database_in_order_passes_the_check(opened: Opened) -> None:
    await opened.store.check()

    assert (await opened.store.health())["open"] == 0


async def test_a_database_whose_schema_changed_underneath_fails_the_check(opened: Opened) -> None:
    opened.sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match="9999"):
        await opened.store.check()


async def test_a_database_that_lost_its_tables_is_a_store_error_without_data(opened: Opened) -> None:
    opened.sql("ALTER TABLE changes RENAME TO lost")
    opened.sql("DROP VIEW tracker_health")

    with pytest.raises(StoreError) as writing:
        await apply(opened, webhook("a", url="https://files.example/a?Signature=secret"))
    with pytest.raises(StoreError) as reading:
        await opened.store.health()

    assert "secret" not in str(writing.value) + str(reading.value)


# The end, and impatience


async def test_closing_commits_what_was_handed_over(opened: Opened) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(current: Translation, seen: Observation) -> Verdict:
        entered.set()
        assert go_on.wait(DEADLINE)
        return by_the_rules(current, seen)

    first = asyncio.create_task(apply(opened, webhook("first", body=b"1"), rule=slow))
    await asyncio.to_thread(entered.wait, DEADLINE)
    rest = [asyncio.create_task(apply(opened, webhook(name, body=name.encode()))) for name in "bcd"]
    await asyncio.gather(*(asyncio.sleep(0) for _ in rest))
    closing_it = asyncio.create_task(asyncio.to_thread(opened.store.close))
    go_on.set()
    await closing_it
    await asyncio.gather(first, *rest)

    assert statuses(opened) == dict.fromkeys(["first", "b", "c", "d"], "success")


async def test_a_closed_store_refuses_and_says_so(opened: Opened) -> None:
    assert is_alive(opened)
    opened.store.close()

    with pytest.raises(StoreError, match="closed"):
        await apply(opened, webhook("a"))
    with pytest.raises(StoreError, match="closed"):
        await opened.store.counts()
    opened.store.close()  # once more does no harm
    assert not is_alive(opened)


def is_alive(opened: Opened) -> bool:
    return opened.store.is_alive


async def test_waiters_who_give_up_leave_the_database_free(opened: Opened) -> None:
    """The lock of a cancelled write would otherwise be held for ever."""
    for round_ in range(30):
        waiting = [
            asyncio.create_task(
                opened.store.apply([webhook(f"{round_}-{n}", body=f"{round_}-{n}".encode())], by_the_rules)
            )
            for n in range(5)
        ]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    [after] = await apply(opened, webhook("after", body=b"after"))  # all that was queued before is done now

    assert after.outcome is Outcome.APPLIED
    opened.sql("INSERT INTO translations (video_translate_id) VALUES ('another-program')")
    assert count(opened, "translations") == count(opened, "deliveries") + 1
    assert count(opened, "changes") == count(opened, "deliveries")
