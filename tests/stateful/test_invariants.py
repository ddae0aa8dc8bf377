"""The six invariants of the design, checked by raw SQL after every step of any story.

A small model (a row is an id, a callback id, a status and perhaps a conflict) says what must have become
of it.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from structlog.testing import capture_logs

from tests.builders import SECRET, URL, signature
from tests.databases import write_migrated
from tests.fakes import FakeClock, FakeFigures
from tracker.domain.cadence import Cadence
from tracker.domain.observation import Details, Observation, Problem, ProblemKind
from tracker.domain.status import Source, Status
from tracker.domain.verdict import Outcome
from tracker.heygen.webhook import find_signer, parse_json_object, read_event, read_unusable
from tracker.ports import Claim, Due, Record, Recorded
from tracker.store.engine import open_engines
from tracker.store.repository import Repository
from tracker.tracking import Tracker, poll_request, registration

CADENCE = Cadence()
LEASE = timedelta(seconds=75)
REOPENED, SETTLED = "reopened by hand", "conflict settled by the status endpoint"
SECRETS = {"main": SECRET, "old": "whsec_before_the_rotation"}
SIGNED_URL = f"{URL}?Expires=1796040000&Signature=s1gned-away&Key-Pair-Id=K2"
NEVER_LOGGED = (*SECRETS.values(), "s1gned-away", "Key-Pair-Id")

ids = st.sampled_from(["a", "b", "c"])
callback_ids = st.sampled_from([None, "x", "y"])
ends = st.sampled_from([Status.SUCCESS, Status.FAILED])
urls = st.sampled_from([None, SIGNED_URL])
seconds = st.sampled_from([1, 15, 60, 74, 75, 600, 3700, 86_400])
said = st.sampled_from([*Status, "upscaling", *ProblemKind])
salts = st.integers(0, 2)  # the same event in other bytes
EVENTS = [
    "video_translate.preflight.download_failed",
    "video_translate.new",
    "batch.finished",
    "avatar_video.success",
    "",
]


@dataclass
class Row:
    """What the model knows of a translation."""

    video_translate_id: str | None
    callback_id: str | None
    created_at: datetime
    status: Status = Status.PENDING
    conflict_since: datetime | None = None
    holder: Claim | None = None
    ends: int = 0
    reopened: int = 0
    settled: int = 0

    def see(self, seen: Observation) -> None:
        """The state machine of the design, once more and in other words."""
        if seen.hint or seen.problem:
            if seen.hint and seen.authentic:
                self.callback_id = self.callback_id or seen.callback_id
            return
        contradicted = False
        fresh = self.conflict_since is not None and seen.observed_at > self.conflict_since
        if seen.source is Source.MANUAL:
            if seen.status and self.status.is_final:
                self._move(seen.status)
                self.reopened += 1
        elif self.status.is_final and seen.status and seen.status.is_final:
            if seen.source is Source.POLL and fresh:
                self.settled += seen.status is not self.status
                self._move(seen.status)
            elif seen.status is not self.status:
                self.conflict_since = self.conflict_since or seen.observed_at
                contradicted = True
        elif seen.status and not self.status.is_final and seen.status.rank > self.status.rank:
            self._move(seen.status)
        if not contradicted:
            self.callback_id = self.callback_id or seen.callback_id

    def _move(self, status: Status) -> None:
        self.ends += status.is_final and status is not self.status
        self.status, self.conflict_since = status, None


@dataclass
class Sent:
    """What the model knows of a delivery."""

    body: bytes
    signed: bool
    received_at: datetime | None
    outcome: Outcome | None = None
    video_translate_id: str | None = None
    times: int = 0


@dataclass
class Model:
    """What the database must hold."""

    rows: list[Row] = field(default_factory=list)
    sent: dict[bytes, Sent] = field(default_factory=dict)

    def find(self, video_translate_id: str | None) -> Row | None:
        return next((row for row in self.rows if row.video_translate_id == video_translate_id), None)

    def waiting(self, callback_id: str | None) -> Row | None:
        """The oldest row with this callback id that has no other id yet."""
        return next((row for row in self.named(callback_id) if row.video_translate_id is None), None)

    def named(self, callback_id: str | None) -> list[Row]:
        """The rows with this callback id, oldest first."""
        return [row for row in self.rows if row.callback_id == callback_id]

    def deliver(self, body: bytes, record: Record, *, signed: bool) -> None:
        """A delivery is taken up once, and once more where it can be used now."""
        received_at = record.delivery.received_at if record.delivery else None
        sent = self.sent.setdefault(body, Sent(body, signed, received_at))
        sent.times += 1
        first, upgraded = sent.times == 1, signed and not sent.signed
        if not first and not upgraded:
            return
        seen = record.observation
        sent.signed = signed
        if seen is None:
            sent.outcome = record.outcome
            return
        self.see(seen)
        sent.outcome = Outcome.HINT if seen.hint and self.knows(seen) else None
        sent.video_translate_id = seen.video_translate_id

    def knows(self, seen: Observation) -> bool:
        return bool(self.find(seen.video_translate_id)) if seen.video_translate_id else False

    def see(self, seen: Observation, row: Row | None = None, *, adopt: bool = True) -> None:
        """Find, bind or (to `adopt` it) begin the row, and let it see."""
        if seen.video_translate_id is None:
            if seen.hint:
                return
            row = self.waiting(seen.callback_id) or next(iter(self.named(seen.callback_id)), None)
        else:
            row = self._bound(seen, row or self.find(seen.video_translate_id))
        if row is None:
            if not adopt:
                return
            callback_id = seen.callback_id if seen.authentic else None
            row = Row(seen.video_translate_id, callback_id, seen.observed_at)
            self.rows.append(row)
        row.see(seen)

    def _bound(self, seen: Observation, row: Row | None) -> Row | None:
        """The row that waited for this id, if nobody but a hint has named the id before."""
        if (
            not seen.authentic
            or seen.callback_id is None
            or (row is not None and not self._is_from_a_hint(row))
        ):
            return row
        if (waiting := self.waiting(seen.callback_id)) is None:
            return row
        if row is not None:
            self.rows.remove(row)
        waiting.video_translate_id = seen.video_translate_id
        return waiting

    def _is_from_a_hint(self, row: Row) -> bool:
        """Nobody asked for it: it began with a delivery that was not believed, and is untouched since."""
        began = any(
            sent.outcome is Outcome.HINT
            and (sent.video_translate_id, sent.received_at) == (row.video_translate_id, row.created_at)
            for sent in self.sent.values()
        )
        return began and row.callback_id is None and row.status is Status.PENDING


class Story(RuleBasedStateMachine):
    """Everything that can happen to a tracker, in any order."""

    events = Bundle("events")
    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.model = Model()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "tracker.db"
        write_migrated(self.path)
        self.captured = ExitStack()
        self.logs = self.captured.enter_context(capture_logs())
        self.starts = 0

    @initialize()
    def begin(self) -> None:
        self.start()

    def start(self) -> None:
        self.starts += 1
        engines = open_engines(f"sqlite:///{self.path}", synchronous="off")
        self.store = Repository(engines, self.clock)
        self.store.open()
        self.tracker = Tracker(self.store, CADENCE, FakeFigures())
        self.run(self.tracker.remember_evidence())

    def teardown(self) -> None:
        if self.starts:
            self.store.close()
        self.captured.close()
        self.loop.close()
        shutil.rmtree(self.folder)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def moment(self) -> datetime:
        """Now; no two things happen at the same time."""
        self.clock.advance(0.001)
        return self.clock()

    def record(self, *records: Record) -> list[Recorded]:
        """Through the one door."""
        recorded: list[Recorded] = self.run(self.tracker.record(records))
        return recorded

    def sql(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """As any other program would."""
        with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(statement, values).fetchall()

    # What people and other programs do

    @rule(name=st.none() | ids, callback_id=callback_ids)
    def add(self, name: str | None, callback_id: str | None) -> None:
        if name is None and callback_id is None:
            return
        observation = registration(self.moment(), video_translate_id=name, callback_id=callback_id)
        self.run(self.tracker.register([observation]))
        self.model.see(observation)

    @rule(name=st.none() | ids, callback_id=callback_ids)
    def insert(self, name: str | None, callback_id: str | None) -> None:
        if (name is None and callback_id is None) or (name and self.model.find(name)):
            return
        now = self.clock().strftime("%Y-%m-%d %H:%M:%S")  # the database's own clock would not stand still
        self.sql(
            "INSERT INTO translations (video_translate_id, callback_id, created_at, next_poll_at)"
            " VALUES (?, ?, ?, ?)",
            name,
            callback_id,
            now,
            now,
        )
        self.model.rows.append(Row(name, callback_id, self.clock()))

    @rule(name=ids)
    def reopen(self, name: str) -> None:
        if self.model.find(name) is None:
            return
        again = Observation(
            source=Source.MANUAL, observed_at=self.moment(), video_translate_id=name, status=Status.PENDING
        )
        self.record(Record(observation=again))
        self.model.see(again)

    @rule(name=ids)
    def ask_for_a_poll(self, name: str) -> None:
        if self.model.find(name) is not None:
            self.record(Record(observation=poll_request(self.moment(), name)))
            [row] = self.sql("SELECT next_poll_at FROM translations WHERE video_translate_id = ?", name)
            assert row["next_poll_at"] <= self.text(self.clock())

    # What HeyGen sends

    @rule(target=events, name=ids, callback_id=callback_ids, end=ends, url=urls, salt=salts)
    def finish(self, name: str, callback_id: str | None, end: Status, url: str | None, salt: int) -> bytes:
        kind = "success" if end is Status.SUCCESS else "fail"
        data = {"video_translate_id": name, "callback_id": callback_id, "url": url, "salt": salt}
        return json.dumps({"event_type": f"video_translate.{kind}", "event_data": data}).encode()

    @rule(target=events, kind=st.sampled_from(EVENTS), name=st.none() | ids, callback_id=callback_ids)
    def happen(self, kind: str, name: str | None, callback_id: str | None) -> bytes:
        data = {"video_translate_id": name, "callback_id": callback_id}
        return json.dumps({"event_type": kind, "event_data": data}).encode()

    @rule(
        target=events,
        end=st.sampled_from(["video_translate.success", "video_translate.fail"]),
        data=st.sampled_from([None, "text", {}, {"callback_id": "x"}, {"video_translate_id": "../a"}]),
    )
    def send_nonsense(self, end: str, data: object) -> bytes:
        return json.dumps({"event_type": end, "event_data": data}).encode()

    @rule(bodies=st.lists(events, min_size=1, max_size=3), signed_by=st.sampled_from([None, *SECRETS]))
    def deliver(self, bodies: list[bytes], signed_by: str | None) -> None:
        """New or again, early or late, signed or not, one by one or several in one transaction."""
        records = [self.receive(body, signed_by) for body in bodies]
        recorded = self.record(*records)
        for body, record, one in zip(bodies, records, recorded, strict=True):
            was_known = body in self.model.sent
            self.model.deliver(body, record, signed=signed_by is not None)
            assert was_known or not one.is_duplicate
            if one.outcome is Outcome.HINT and not one.is_duplicate:
                self.expect_an_early_poll(record.observation)

    def expect_an_early_poll(self, hint: Observation | None) -> None:
        """A hint brings forward the next poll of the open rows it may be about."""
        assert hint is not None
        column = "callback_id" if hint.video_translate_id is None else "video_translate_id"
        open_rows = self.sql(
            f"SELECT next_poll_at FROM translations WHERE status IN ('pending', 'running') AND {column} = ?",
            hint.video_translate_id or hint.callback_id,
        )
        assert [row for row in open_rows if row["next_poll_at"] > self.text(hint.observed_at)] == []

    @rule(body=events)
    def deliver_without_and_then_with_a_signature(self, body: bytes) -> None:
        self.deliver([body], None)
        self.deliver([body], "main")

    @rule(body=st.sampled_from([b"", b"[]", b"{", b"\xff"]))
    def deliver_what_is_no_object(self, body: bytes) -> None:
        record = read_unusable(body, [signature(body)], self.moment(), "main", "the body is not JSON")
        self.record(record)
        self.model.deliver(body, record, signed=True)

    def receive(self, body: bytes, signed_by: str | None) -> Record:
        """What the web listener does with a request."""
        headers = [signature(body, SECRETS[signed_by])] if signed_by else []
        signer = find_signer(body, headers, SECRETS)
        assert signer == signed_by
        return read_event(parse_json_object(body), body, headers, self.moment(), signer)

    @rule(
        source=st.sampled_from([Source.EVENT_LOG, Source.LIST]),
        name=ids,
        callback_id=callback_ids,
        status=st.sampled_from(Status),
        url=urls,
        adopt=st.booleans(),
    )
    def catch_up(
        self,
        source: Source,
        name: str,
        callback_id: str | None,
        status: Status,
        url: str | None,
        adopt: bool,
    ) -> None:
        """What the list and the event log say; what nobody tracks is adopted, or left alone."""
        now = self.moment()
        found = Observation(
            source=source,
            observed_at=now,
            occurred_at=now if source is Source.EVENT_LOG else None,  # after whatever was reopened
            video_translate_id=name,
            callback_id=callback_id,
            status=status,
            details=Details(url=url if status is Status.SUCCESS else None),
        )
        known = self.model.find(name)
        [recorded] = self.record(Record(observation=found, adopt=adopt))
        self.model.see(found, adopt=adopt)
        is_tracked = self.model.find(name) is not None
        assert (recorded.outcome is Outcome.UNKNOWN) == (not is_tracked)
        assert not (recorded.is_new and recorded.is_bound)
        assert (recorded.is_new or recorded.is_bound) >= (known is None and is_tracked)
        assert adopt or not recorded.is_new

    # What the poller does

    @rule(target=asked, limit=st.integers(1, 4), owner=st.sampled_from(["one", "two"]))
    def claim(self, limit: int, owner: str) -> Any:
        now = self.moment()
        claims: list[Claim] = self.run(self.store.claim_due(now, limit, owner, LEASE))
        for claim in claims:
            self.take(claim, now)
        return multiple(*((claim, now) for claim in claims))

    @rule(asked=asked, answer=said, callback_id=callback_ids, url=urls)
    def answer(
        self, asked: tuple[Claim, datetime], answer: object, callback_id: str | None, url: str | None
    ) -> None:
        """At once, much later, or again: only who still holds the translation may speak for it."""
        self.hear(*asked, answer, callback_id, url)

    def hear(
        self, claim: Claim, at: datetime, answer: object, callback_id: str | None, url: str | None
    ) -> None:
        seen = self.heard(claim.video_translate_id, at, answer, callback_id, url)
        row = next((row for row in self.model.rows if row.holder == claim), None)
        [recorded] = self.record(Record(observation=seen, claim=claim))
        if row is None:
            assert recorded.outcome is Outcome.UNCHANGED
            return
        row.holder = None
        self.model.see(seen, row)

    @rule(callback_id=callback_ids, url=urls, answers=st.lists(said, min_size=1, max_size=4))
    def poll_what_is_due(self, callback_id: str | None, url: str | None, answers: Sequence[object]) -> None:
        now = self.moment()
        claims = self.run(self.store.claim_due(now, len(answers), "one", LEASE))
        for claim, said in zip(claims, answers, strict=False):
            row = self.model.find(claim.video_translate_id)
            assert row is not None
            row.holder = claim
            self.hear(claim, now, said, callback_id, url)

    @rule(
        answers=st.lists(said, min_size=3, max_size=3),
        requests=st.integers(1, 3),
        batch=st.integers(2, 3),
        soon=st.sampled_from([0, 8, 700]),
    )
    def poll_in_bulk(self, answers: Sequence[object], requests: int, batch: int, soon: int) -> None:
        """One question about many, whose answer is one record: statuses alone, and what was not found."""
        now = self.moment()
        due = Due(now, now + timedelta(seconds=soon), batch)
        claims: list[Claim] = self.run(self.store.claim_due(now, requests, "one", LEASE, due))
        for claim in claims:
            self.take(claim, now)
        together = [claim for claim in claims if not claim.alone]
        assert len(together) <= requests * batch
        told = [
            replace(self.heard(claim.video_translate_id, now, answer, None, None), partial=True)
            for claim, answer in zip(together, answers, strict=False)
        ]
        records = [Record(observation=one, claim=claim) for one, claim in zip(told, together, strict=False)]
        self.record(*records)
        for one, claim in zip(told, together, strict=False):
            self.hear_in_bulk(one, claim, now)
        left = [claim for claim in claims if claim.alone] + together[len(told) :]
        self.run(self.store.release(left))
        for row in self.model.rows:
            row.holder = None if row.holder in left else row.holder

    def take(self, claim: Claim, now: datetime) -> None:
        row = self.model.find(claim.video_translate_id)
        assert row is not None
        assert row.holder is None or row.holder.until <= now, "two polls of one translation"
        assert claim.alone or not row.status.is_final, "a bulk answer has nothing to say of an end"
        row.holder = claim

    def hear_in_bulk(self, seen: Observation, claim: Claim, now: datetime) -> None:
        row = self.model.find(claim.video_translate_id)
        assert row is not None
        row.holder = None
        self.model.see(seen, row)
        [found] = self.sql("SELECT * FROM translations WHERE id = ?", claim.translation_id)
        assert found["next_poll_at"] is not None
        if row.status.is_final:  # a question of its own follows at once
            assert found["attention"] is None
            assert found["next_poll_at"] <= self.text(now)
        elif seen.problem is None:
            assert found["next_poll_at"] > self.text(now)

    @rule(later=seconds)
    def hasten(self, later: int) -> None:
        by = self.clock() + timedelta(seconds=later)
        self.run(self.store.hasten(by, timedelta(0)))
        late = self.sql(
            "SELECT * FROM translations WHERE status IN ('pending', 'running')"
            " AND video_translate_id IS NOT NULL AND next_poll_at > ?",
            self.text(by),
        )
        assert late == []

    @rule(asked=asked, later=st.none() | seconds)
    def give_back(self, asked: tuple[Claim, datetime], later: int | None) -> None:
        claim, _ = asked
        due = None if later is None else self.clock() + timedelta(seconds=later)
        self.run(self.store.release([claim], due))
        row = next((row for row in self.model.rows if row.holder == claim), None)
        if row is not None:
            row.holder = None
            if due is not None:
                [found] = self.sql("SELECT * FROM translations WHERE id = ?", claim.translation_id)
                assert found["next_poll_at"] == self.text(due)

    def heard(
        self, name: str, at: datetime, answer: object, callback_id: str | None, url: str | None
    ) -> Observation:
        """What the status endpoint says, or what kept it from saying anything."""
        if isinstance(answer, ProblemKind):
            problem = Problem(answer, "HTTP 500")
            return Observation(source=Source.POLL, observed_at=at, video_translate_id=name, problem=problem)
        return Observation(
            source=Source.POLL,
            observed_at=at,
            video_translate_id=name,
            callback_id=callback_id,
            status=answer if isinstance(answer, Status) else None,
            provider_status=str(answer),
            details=Details(url=url if answer is Status.SUCCESS else None),
        )

    @rule()
    def flag_what_is_overdue(self) -> None:
        self.run(self.store.flag_overdue(self.clock(), CADENCE.overdue_after))

    @rule()
    def let_the_status_endpoint_tell_every_end(self) -> None:
        """However it came here: once HeyGen answers, everything ends and nothing is asked about any more."""
        for _ in range(4):
            self.clock.advance(2 * 86_400)
            now = self.clock()
            for claim in self.run(self.store.claim_due(now, 100, "one", LEASE)):
                row = self.model.find(claim.video_translate_id)
                assert row is not None
                end = Status.FAILED if claim.video_translate_id == "a" else Status.SUCCESS
                seen = self.heard(claim.video_translate_id, now, end, None, SIGNED_URL)
                self.record(Record(observation=seen, claim=claim))
                row.holder = None
                self.model.see(seen, row)
        left = self.sql(
            "SELECT * FROM translations WHERE video_translate_id IS NOT NULL"
            " AND (status NOT IN ('success', 'failed') OR attention IS NOT NULL OR next_poll_at IS NOT NULL)"
        )
        assert [dict(row) for row in left] == []

    # What time and accidents do

    @rule(passed=seconds)
    def time_passes(self, passed: int) -> None:
        self.clock.advance(passed)

    @precondition(lambda self: self.starts < 4)
    @rule()
    def restart(self) -> None:
        self.store.close()
        self.start()

    # The invariants

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        found = Counter(
            (row["video_translate_id"], row["callback_id"], row["status"], row["attention"] == "conflict")
            for row in self.sql("SELECT * FROM translations")
        )
        wanted = Counter(
            (row.video_translate_id, row.callback_id, str(row.status), row.conflict_since is not None)
            for row in self.model.rows
        )
        assert found == wanted

    @invariant()
    def one_every_delivery_that_was_answered_is_stored(self) -> None:
        stored = self.sql("SELECT * FROM deliveries JOIN delivery_bodies ON delivery_id = deliveries.id")
        assert {row["body"]: (row["times_received"], row["signed_by"] is not None) for row in stored} == {
            sent.body: (sent.times, sent.signed) for sent in self.model.sent.values()
        }
        [[count]] = self.sql("SELECT COUNT(*) FROM deliveries")
        assert count == len(stored)

    @invariant()
    def two_delivery_status_and_change_agree(self) -> None:
        changes = self.sql(
            "SELECT c.source, c.delivery_id, c.new_status, d.outcome, d.signed_by, d.event_type,"
            " d.video_translate_id = t.video_translate_id AS is_its_own"
            " FROM changes c JOIN translations t ON t.id = c.translation_id"
            " LEFT JOIN deliveries d ON d.id = c.delivery_id"
        )
        for change in changes:
            assert (change["source"] == "webhook") == (change["delivery_id"] is not None)
            if change["delivery_id"] is not None:
                end = "success" if change["event_type"] == "video_translate.success" else "failed"
                assert change["signed_by"] in SECRETS
                assert (change["outcome"], change["new_status"], change["is_its_own"]) == ("applied", end, 1)
        for sent in self.model.sent.values():
            if sent.outcome is not None:
                [[outcome]] = self.sql(
                    "SELECT outcome FROM deliveries JOIN delivery_bodies ON delivery_id = id WHERE body = ?",
                    sent.body,
                )
                assert outcome == sent.outcome
        orphans = self.sql(
            "SELECT * FROM deliveries WHERE outcome = 'applied' AND (signed_by IS NULL OR"
            " video_translate_id NOT IN (SELECT video_translate_id FROM translations"
            " WHERE video_translate_id IS NOT NULL))"
        )
        assert orphans == []

    @invariant()
    def three_and_four_the_changes_tell_the_status_and_final_is_sticky(self) -> None:
        for row in self.model.rows:
            if row.video_translate_id is None:
                continue
            changes = self.sql(
                "SELECT c.* FROM changes c JOIN translations t ON t.id = c.translation_id"
                " WHERE t.video_translate_id = ? ORDER BY c.id",
                row.video_translate_id,
            )
            status, notes, ends = Status.PENDING, Counter[str](), 0
            for change in changes:
                old, new = Status(change["old_status"]), Status(change["new_status"])
                assert old is status
                assert (change["note"] is not None) == old.is_final
                if change["note"] == REOPENED:
                    assert (change["source"], new) == ("manual", Status.PENDING)
                elif change["note"] == SETTLED:
                    assert (change["source"], new.is_final) == ("poll", True)
                else:
                    assert change["note"] is None
                    assert new.rank > old.rank
                notes[change["note"]] += 1
                ends += new.is_final
                status = new
            assert status is row.status
            assert (ends, notes[REOPENED], notes[SETTLED]) == (row.ends, row.reopened, row.settled)
            assert ends <= 1 + notes[REOPENED] + notes[SETTLED]

    @invariant()
    def five_what_is_open_is_due_some_day_and_nobody_holds_it_for_ever(self) -> None:
        in_a_day, soon = self.text(self.clock() + timedelta(days=1)), self.text(self.clock() + LEASE)
        for row in self.sql("SELECT * FROM translations WHERE video_translate_id IS NOT NULL"):
            if not Status(row["status"]).is_final or row["attention"] == "conflict":
                assert row["next_poll_at"] is not None
                assert row["next_poll_at"] <= in_a_day
            assert row["claimed_until"] is None or row["claimed_until"] <= soon
            known = self.model.find(row["video_translate_id"])
            holder = known.holder if known else None
            held = (holder.owner, self.text(holder.until)) if holder else (None, None)
            assert (row["claimed_by"], row["claimed_until"]) == held

    @invariant()
    def six_no_secret_and_no_signed_query_is_logged(self) -> None:
        told = repr(self.logs)
        assert [secret for secret in NEVER_LOGGED if secret in told] == []
        assert "poll not stored" not in told

    @staticmethod
    def text(time: datetime) -> str:
        """The time as SQLite keeps it."""
        return time.replace(tzinfo=None).isoformat(" ", "microseconds")


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=80, stateful_step_count=40)
