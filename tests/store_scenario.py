"""Everything that the store is ever asked to do, once; whoever listens hears all of its SQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from tests.builders import delivery, observation
from tracker.domain.claims import Claim, Due
from tracker.domain.files.records import Archived
from tracker.domain.links import LinkKind
from tracker.domain.observation import Problem, ProblemKind
from tracker.domain.outcome import DeliveryOutcome, determine_outcome
from tracker.domain.ports import Clock, OutcomeRule
from tracker.domain.record import Record
from tracker.domain.retention import Kind
from tracker.domain.schedule import Schedule
from tracker.domain.status import Source, Status
from tracker.domain.submissions import Created, Order, Submission, SubmissionState
from tracker.store.repository import Repository

# Long before any clock that this runs by: what the database's own defaults make is not due yet.
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MILLISECOND = timedelta(milliseconds=1)
RULES: OutcomeRule = partial(determine_outcome, schedule=Schedule())
INSERTS = (  # what docs/database.md promises to any program
    "INSERT INTO translations (video_translate_id) VALUES ('by-id')",
    "INSERT INTO translations (callback_id) VALUES ('by-callback')",
    "INSERT INTO translations (video_translate_id, callback_id, title) VALUES ('by-both', 'shared', 'Hi')",
)


def ticking() -> Clock:
    """A clock from NOON on that never says the same twice: who is due first is the same on every schema."""
    ticks = count()
    return lambda: NOON + next(ticks) * MILLISECOND


async def play(store: Repository) -> None:
    """Ask the store, which has a `ticking` clock, for everything."""
    await store.check()
    await _register(store)
    await _receive(store)
    await _receive_many(store)
    await _bind_late(store)
    await _poll(store)
    await _renew(store)
    await _reopen(store)
    await _remember(store)
    await _submit(store)
    await _share(store)
    await _meet(store)
    await _archive(store)
    await _read(store)
    await _prune(store)
    await store.free_claims()


def manual(name: str | None, *, after: float = 0.0, **told: Any) -> Record:
    """Added by a person, so many seconds after noon; then it is due, too."""
    at = NOON + timedelta(seconds=after)
    return Record(observation=observation(Source.MANUAL, video_translate_id=name, observed_at=at, **told))


def webhook(name: str | None, status: Status | None, *, body: str = "", **told: Any) -> Record:
    """A signed one; each `body` is another webhook."""
    callback_id = told.get("callback_id")
    kept = delivery(
        (body or str(name)).encode(),
        received_at=NOON,
        video_translate_id=name,
        callback_id=callback_id,
        headers=(("Signature", "a1"),),
    )
    seen = observation(Source.WEBHOOK, status, video_translate_id=name, observed_at=NOON, **told)
    return Record(delivery=kept, observation=seen)


def hint(name: str | None, *, body: str, callback_id: str | None = None) -> Record:
    kept = delivery(
        body.encode(), received_at=NOON, video_translate_id=name, callback_id=callback_id, signed_by=None
    )
    seen = observation(
        Source.WEBHOOK, video_translate_id=name, callback_id=callback_id, observed_at=NOON,
        hint=True, authentic=False,
    )  # fmt: skip
    return Record(delivery=kept, observation=seen)


def answer(claim: Claim, status: Status | None, **told: Any) -> Record:
    seen = observation(
        Source.POLL, status, video_translate_id=claim.video_translate_id, observed_at=NOON, **told
    )
    return Record(observation=seen, claim=claim)


async def _register(store: Repository) -> None:
    await store.apply([manual("alone")], RULES)
    await store.apply([manual("alone", title="Once more")], RULES)
    await store.apply([manual(None, callback_id="waits"), manual(None, callback_id="waits")], RULES)
    await store.apply([manual("both", after=1), manual("at once", after=2)], RULES)
    for number in range(12):
        await store.apply([manual(f"many-{number}", after=10 + number)], RULES)


async def _receive(store: Repository) -> None:
    """One by one."""
    one = webhook("alone", Status.SUCCESS, url="https://files.example/a.mp4", title="A")
    await store.apply([one], RULES)
    await store.apply([one], RULES)
    await store.apply([_moved("alone")], RULES)
    await store.apply([webhook("new", Status.FAILED, message="No speech")], RULES)
    await store.apply([Record(delivery=delivery(b"another product", received_at=NOON))], RULES)
    await store.apply([hint("many-1", body="hint")], RULES)
    await store.apply([webhook("many-1", Status.RUNNING, body="hint")], RULES)  # now it is signed
    await store.apply([hint(None, body="hint at all", callback_id="waits")], RULES)
    await store.apply([hint(None, body="hint at nothing", callback_id="nobody")], RULES)
    unknown = webhook("untracked", Status.SUCCESS)
    await store.apply(
        [Record(delivery=unknown.delivery, observation=unknown.observation, adopt=False)], RULES
    )


def _moved(name: str) -> Record:
    """HeyGen's list names another place of its video."""
    url = "https://files.example/moved.mp4?Signature=s"
    seen = observation(Source.LIST, Status.SUCCESS, video_translate_id=name, observed_at=NOON, url=url)
    return Record(observation=seen)


async def _receive_many(store: Repository) -> None:
    """Those that arrive together, with a repetition and one that is known among them."""
    ends = [webhook(f"many-{number}", Status.SUCCESS, url="https://files.example/m") for number in (2, 3)]
    fails = [webhook(f"many-{number}", Status.FAILED, message="Too long") for number in (4, 5)]
    fresh = [webhook(f"fresh-{number}", Status.RUNNING, callback_id="shared") for number in (1, 2)]
    known = webhook("alone", Status.SUCCESS, url="https://files.example/a.mp4", title="A")
    nobodys = Record(
        delivery=delivery(b"yet another product", received_at=NOON), outcome=DeliveryOutcome.IGNORED
    )
    waiting = webhook("waited-for", Status.RUNNING, callback_id="waits")
    await store.apply([*ends, *fails, *fresh, known, nobodys, waiting, ends[0]], RULES)
    await store.apply([hint("stand-in", body="first"), manual("many-6", title="B")], RULES)


async def _bind_late(store: Repository) -> None:
    """By the first who knows both ids; the row that a hint had made gives way."""
    await store.apply([manual(None, callback_id="late")], RULES)
    await store.apply([webhook("stand-in", Status.SUCCESS, body="both", callback_id="late")], RULES)
    await store.apply([webhook("bound", Status.SUCCESS, callback_id="by-callback")], RULES)


async def _poll(store: Repository) -> None:
    soon, later = NOON + MINUTE, NOON + 2 * MINUTE
    first = await store.claim_due(soon, 3, "one", MINUTE)
    await store.apply([answer(first[0], Status.RUNNING, title="C")], RULES)
    lost = Problem(ProblemKind.NOT_FOUND, "left out")
    await store.apply([answer(claim, None, problem=lost) for claim in first[1:]], RULES)
    bulk = await store.claim_due(later, 4, "two", MINUTE, Due(later, later + MINUTE, batch=3))
    await store.apply([answer(claim, Status.RUNNING) for claim in bulk[:2]], RULES)
    await store.apply([answer(first[0], Status.SUCCESS)], RULES)  # its claim is gone
    await store.release(bulk[2:4])
    await store.release(bulk[4:], later + MINUTE)
    await store.hasten(soon, MINUTE)
    await store.flag_overdue(NOON + timedelta(days=1), timedelta(hours=1))


async def _renew(store: Repository) -> None:
    """Somebody asks for the links of what has ended, and somebody else comes second."""
    [ended] = await store.find(["many-2"])
    given = (ended["id"], ended["poll_count"], NOON)
    claim = await store.claim_links(*given, "one", MINUTE)
    assert claim is not None
    await store.claim_links(*given, "two", MINUTE)
    await store.release([claim], NOON)
    first = await store.claim_renewal(NOON + timedelta(days=6), "one", MINUTE)
    assert first is not None
    await store.apply([answer(first, None, problem=Problem(ProblemKind.UNREACHABLE, "HTTP 500"))], RULES)
    await store.claim_renewal(NOON, "one", MINUTE)
    [ended] = await store.find(["many-2"])
    given = (ended["id"], ended["poll_count"], NOON)
    claim = await store.claim_links(*given, "two", MINUTE)
    assert claim is not None
    await store.apply([answer(claim, Status.SUCCESS, url="https://files.example/other")], RULES)


async def _reopen(store: Repository) -> None:
    """And what the event log says of it meanwhile."""
    again = observation(Source.MANUAL, Status.PENDING, video_translate_id="alone", observed_at=NOON)
    await store.apply([Record(observation=again)], RULES)
    old = observation(Source.EVENT_LOG, Status.SUCCESS, video_translate_id="alone", observed_at=NOON)
    await store.apply([Record(observation=old)], RULES)
    listed = observation(Source.LIST, Status.RUNNING, video_translate_id="listed", observed_at=NOON)
    await store.apply([Record(observation=listed), Record(observation=old)], RULES)


async def _remember(store: Repository) -> None:
    for value in ("v2", {"token": None}):
        await store.remember("heygen_api", value)
        await store.recall("heygen_api")


async def _submit(store: Repository) -> None:
    languages = ("Spanish (Spain)", "German")
    order = Order(languages=languages, video_url="https://files.example/v.mp4", callback_id="order-1")
    number = (await _sent(store, order, "key-1")).id
    await store.submissions.waiting(number)
    await store.submissions.bind(number, Created("v3", ("made-es", None)))
    await store.submissions.bind(number, Created("v3", ("made-es", "made-de")))
    await store.submissions.rows(number)
    for key, state in (("key-2", SubmissionState.REFUSED), ("key-3", SubmissionState.UNANSWERED)):
        known = await _sent(store, order, key)
        await store.submissions.settle(known, state, "HeyGen said no", NOON + MINUTE)
        for row in await store.submissions.waiting(known.id):
            failed = observation(Source.MANUAL, Status.FAILED, video_translate_id=None, callback_id="order-1",
                                 observed_at=NOON)  # fmt: skip
            await store.apply([Record(observation=failed, translation_id=row)], RULES)


async def _share(store: Repository) -> None:
    """Ids that were learnt by callback_id before HeyGen's answer, and are on the wrong rows."""
    languages = ("Spanish (Spain)", "German")
    order = Order(languages=languages, proofread_id="p", title="T", callback_id="order-2")
    first, second = [await _sent(store, order, f"key-{number}") for number in (4, 5)]
    for name in ("x-de", "x-es"):
        await store.apply([webhook(name, Status.RUNNING, callback_id="order-2")], RULES)
    await store.submissions.bind(second.id, Created("v3", ("y-es", "x-de", "z-fr")))
    await store.apply([manual("y-de")], RULES)
    await store.submissions.bind(first.id, Created("v3", ("x-es", "y-de")))
    third = await _sent(store, Order(languages=languages, callback_id="order-3"), "key-6")
    await store.apply([webhook("w-de", Status.RUNNING, callback_id="order-3")], RULES)
    await store.apply([webhook("w-it", Status.RUNNING, callback_id="order-3")], RULES)
    await store.submissions.bind(third.id, Created("v2", ("w-es", "w-de")))


async def _sent(store: Repository, order: Order, key: str) -> Submission:
    """A submission that went out, after an attempt that did not."""
    planned = await store.submissions.plan(order, key, NOON)
    await store.submissions.due(NOON + MINUTE)
    await store.submissions.put_off(planned, "no connection", NOON, unsent=True)
    known = _there(await store.submissions.send(_there(await store.submissions.get(planned.id)), "v3", NOON))
    await store.submissions.put_off(known, "HTTP 502", NOON, uncounted=True)
    return _there(await store.submissions.get(planned.id))


def _there(found: Submission | None) -> Submission:
    assert found is not None
    return found


async def _meet(store: Repository) -> None:
    """Two trackers, of which one pauses the account, and one goes."""
    for name in ("host:1", "host:2", "host:1"):
        await store.meet(name, NOON, NOON - MINUTE)
    for old, new in ((None, {"until": "a"}), ({"until": "a"}, {"until": "b"}), ({"until": "b"}, None)):
        await store.swap("pause", old, new)
    await store.leave("host:2")


async def _prune(store: Repository) -> None:
    for kind in Kind:
        await store.count_old(kind, NOON - MINUTE, 10)
        await store.prune(kind, NOON - MINUTE, 10)
    await store.give_back(10)


async def _read(store: Repository) -> None:
    rows: Sequence[dict[str, object]] = await store.list_translations()
    await store.list_translations(status="success", newest_first=True, limit=2)
    await store.list_translations(callback_id="shared", after=3)
    await store.list_translations(attention="overdue")
    await store.list_translations(flagged=True)
    await store.get([1, 2])
    await store.find([str(row["video_translate_id"]) for row in rows[:3]])
    await store.list_changes(1)
    await store.counts()
    await store.oldest_due(NOON)
    await store.oldest_open()
    await store.count_open(NOON)
    await store.recent_end_sources(20)
    await store.heard_since_ends(20)
    await store.secret_use()
    await store.health()


async def _archive(store: Repository) -> None:
    """With the archive on: ends, downloads, and what became of them."""
    store.archive = frozenset(LinkKind)
    for number in range(4):  # each at a time of its own, and nothing left to poll
        seen = observation(
            Source.POLL, Status.SUCCESS, video_translate_id=f"kept-{number}", observed_at=NOON,
            url="https://files.example/v.mp4",
        )  # fmt: skip
        await store.apply([Record(observation=seen)], RULES)
    soon = NOON + MINUTE
    first, second, third, *others = await store.files.claim(soon, 6, "one", MINUTE)
    renewed = await store.files.renew(first, soon + MINUTE)
    assert renewed is not None
    await store.files.keep(renewed, Archived("/archive/v.srt", 7, "0" * 64, "text/plain"))
    await store.files.fail(second, "the connection broke", 1, soon)
    await store.files.fail(third, "leads elsewhere", 1, None)
    for one in others:
        await store.files.give_back(one, soon)
    ids = [first.translation_id, third.translation_id]
    await store.files.claim(soon, 1, "two", MINUTE, of=ids)
    await store.files.counts(10)
    await store.files.unsettled(5)
    await store.files.missing(5, 10)
    await store.files.oldest_missing()
    await store.files.rows(ids)
    await store.files.want(ids, store.archive, again=True)
    await store.files.free_claims()
    assert (await store.files.want_all(store.archive, 0)).after is None
    store.archive = frozenset()
