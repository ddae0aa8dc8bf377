"""Claims what is due, asks HeyGen, records the answers. Knows no scheduler: somebody calls `tick`."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from tracker.domain.claims import Claim, Due
from tracker.domain.limits import PollLimits
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.poller_state import PollerState
from tracker.domain.ports import AccountStore, Clock, Figures, StatusSource, Store
from tracker.domain.record import Record
from tracker.domain.status import Attention
from tracker.errors import (
    AccountError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TrackerError,
    TransientError,
)
from tracker.polling.account import Account
from tracker.polling.doubt import Doubt
from tracker.polling.gate import ADVICE, Gate, Reason
from tracker.polling.question import observe, questions
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

TOP_UP_SECONDS = 1.0
TICK_SECONDS = 10.0
TOLD_ONE_BY_ONE = 20
ANOTHER = "another tracker, or an earlier run"
LEFT_TO_POLLS = 2  # places, of which a renewal takes one
SOON = 0.5  # of the shortest interval: what is due so soon fills a bulk question that is asked anyway


PollOutcome = Sequence[Observation] | BaseException | None


class PollingStore(Store, AccountStore, Protocol):
    """What polling needs of the database."""

    async def claim_links(
        self, translation_id: int, poll_count: int, now: datetime, owner: str, lease: timedelta
    ) -> Claim | None:
        """Take one ended translation to ask for its links; None where somebody else does, or has done so."""
        ...

    async def claim_renewal(self, now: datetime, owner: str, lease: timedelta) -> Claim | None:
        """Take the ended translation whose links are due for renewal first; None where there is none."""
        ...


class Poller:
    """Polls due translations; `heygen` None means that there is no API key, and polling rests."""

    def __init__(
        self,
        store: "PollingStore",
        tracker: Recorder,
        heygen: StatusSource | None,
        figures: Figures,
        clock: Clock,
        *,
        owner: str,
        limits: PollLimits,
    ) -> None:
        self._store, self._tracker, self._heygen, self._figures = store, tracker, heygen, figures
        self._clock, self._owner, self._limits = clock, owner, limits
        self.gate = Gate(limits.schedule, reason=Reason.NO_API_KEY if heygen is None else None)
        self.account = Account(store, self.gate, owner)
        self.last_tick: datetime | None = None  # the latest that went through
        self._doubt = Doubt()
        self._alone_first = False
        self._polls: set[asyncio.Task[PollOutcome]] = set()
        self._asks: set[asyncio.Task[PollOutcome]] = set()  # what people wait for takes no place of a poll
        self._next_ask = asyncio.Lock()
        self._fetches: set[asyncio.Task[list[Observation]]] = set()
        self.outcomes: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self.began = asyncio.Event()  # the store was asked for work, whatever came of it

    async def tick(self, due_by: datetime | None = None) -> None:
        """Start polls until nothing more is due (by `due_by`) or allowed; those under way go on afterwards.

        A tick ends after TICK_SECONDS all the same, so that whoever watches sees it end.
        """
        try:
            await self._hear()
            await self._start_polls(due_by)
        finally:
            self.began.set()

    async def _start_polls(self, due_by: datetime | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + TICK_SECONDS
        while not self._stopping.is_set() and loop.time() < until:
            room = await self._room()
            if room <= 0 and self.gate.reason is None and self._polls:
                await asyncio.wait(self._polls, timeout=TOP_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            batch = self._batch_size  # it may change while we claim
            claims = await self._claim(room, batch, due_by) if room > 0 else []
            self.began.set()
            self.last_tick = self._clock()
            if self._stopping.is_set():  # since we asked for them: nobody would wait for these polls
                await self._store.release(claims)
                return
            for question in questions(claims, batch):
                self._begin(question, self._polls)
            if not claims or self.gate.reason is not None:
                return

    async def run_once(self) -> Counter[str]:
        """Poll all that is due now and wait for the answers; counts what they were."""
        before, due_by = self.outcomes.copy(), self._clock()  # what comes due meanwhile is not ours
        await self.tick(due_by)
        while self._polls:
            await asyncio.wait(self._polls)
            if self.gate.reason is None:
                await self.tick(due_by)
        return self.outcomes - before

    async def ask(self, translation_id: int, poll_count: int) -> Observation | None:
        """Poll one ended translation now, due or not; what HeyGen says is stored when this comes back.

        None where somebody else asks about it, or has asked since `poll_count`. A crowd waits here, so that
        polls get their turns and no claim lapses while it waits for one. Raises AccountError, without asking,
        while the account rests; StoreError; TransientError where the question was cut short.
        """
        async with self._next_ask:
            while len(self._asks) >= self._limits.on_demand:
                await asyncio.wait(self._asks, return_when=asyncio.FIRST_COMPLETED)
            claim = await self._claim_links(translation_id, poll_count)
            if claim is None:
                return None
            poll = self._begin([claim], self._asks)
        return await _told(poll)

    async def _claim_links(self, translation_id: int, poll_count: int) -> Claim | None:
        await self._hear()
        if self._stopping.is_set():
            raise TransientError("this tracker is being stopped; ask again")
        now, lease = self._clock(), self._limits.lease
        if await self.account.room(now, 1) <= 0:
            raise AccountError(self._why_not())
        return await self._store.claim_links(translation_id, poll_count, now, self._owner, lease)

    async def renew(self) -> Observation | None:
        """Poll the ended translation whose links are due for renewal first, where that holds up no poll.

        None where nothing is due, the account rests, or polls need the room: one place is always left to
        them. Raises as `ask` does.
        """
        spare = self._limits.concurrency - len(self._polls)
        if self.gate.reason is not None or self._stopping.is_set() or (self._polls and spare < LEFT_TO_POLLS):
            return None
        claim = await self._store.claim_renewal(self._clock(), self._owner, self._limits.lease)
        return await _told(self._begin([claim], self._polls)) if claim is not None else None

    def _why_not(self) -> str:
        """Why HeyGen is not asked, for people."""
        if self.gate.reason is Reason.NO_API_KEY:
            return "HeyGen cannot be asked without TRACKER_HEYGEN_API_KEY"
        until = f" until {self.gate.until:%H:%M:%S} UTC" if self.gate.until else ""
        return f"HeyGen is not asked{until}, for this account rests: {self.gate.reason}"

    def set_limits(self, limits: PollLimits) -> None:
        """Go on at another pace; what is under way keeps the old one."""
        self._limits = limits
        self.gate.schedule = limits.schedule

    def try_account(self) -> None:
        """The API key is another one: where the last was rejected, ask at once."""
        self.account.take_new_key()

    async def flag_overdue(self) -> None:
        """Raise the flag on open translations that have grown too old."""
        flagged = await self._store.flag_overdue(self._clock(), self._limits.schedule.overdue_after)
        for name in flagged[:TOLD_ONE_BY_ONE]:
            log.warning("translation needs attention", id=name, attention=Attention.OVERDUE)
        if len(flagged) > TOLD_ONE_BY_ONE:
            log.warning("more translations need attention", count=len(flagged), attention=Attention.OVERDUE)

    async def stop(self, patience: float) -> None:
        """Claim nothing more; give requests `patience` seconds, then give their claims back unpolled.

        What was answered is stored whatever the time: only requests are ever cancelled.
        """
        self._stopping.set()
        if under_way := self._polls | self._asks:
            await asyncio.wait(under_way, timeout=patience)
        for fetch in self._fetches:
            fetch.cancel()
        if under_way := self._polls | self._asks:
            await asyncio.wait(under_way)

    async def _claim(self, room: int, batch: int, due_by: datetime | None) -> list[Claim]:
        now = self._clock()
        soon = now + self._limits.schedule.min_interval * SOON if due_by is None else due_by
        self._alone_first = not self._alone_first  # under load there is room for one question at a time
        due = Due(due_by or now, soon, batch, self._alone_first)
        return await self._store.claim_due(now, room, self._owner, self._limits.lease, due)

    @property
    def _batch_size(self) -> int:
        return self._heygen.batch_size if self._heygen is not None else 1

    async def _hear(self) -> None:
        """Whether the account rests, or goes on, because another tracker has found so."""
        before = self.gate.reason
        await self.account.tick(self._clock())
        if self.gate.reason is not None and self.gate.reason is not before:
            log.warning(
                "polling paused", reason=self.gate.reason, until=str(self.gate.until), told_by=ANOTHER
            )
        elif self.gate.reason is None and before is not None:
            log.warning("polling resumed", after=before, told_by=ANOTHER)

    async def _room(self) -> int:
        if self.gate.reason is not None and self._polls:
            return 0
        return await self.account.room(self._clock(), self._limits.concurrency - len(self._polls))

    def _begin(
        self, claims: list[Claim], among: "set[asyncio.Task[PollOutcome]]"
    ) -> "asyncio.Task[PollOutcome]":
        poll = asyncio.create_task(self._poll(claims), name=f"poll {claims[0].video_translate_id}")
        among.add(poll)
        poll.add_done_callback(among.discard)
        return poll

    async def _poll(self, claims: list[Claim]) -> PollOutcome:
        """One question: ask, then store the answer or give the claims back.

        Raises nothing; returns what was stored, or why nothing was.
        """
        fetch = asyncio.create_task(observe(self._heygen, claims, self._clock()))
        self._fetches.add(fetch)
        fetch.add_done_callback(self._fetches.discard)
        await asyncio.wait([fetch])
        try:
            error = None if fetch.cancelled() else fetch.exception()
            if fetch.cancelled() or isinstance(error, RefusedError):  # refused: now they are asked one by one
                await self._store.release(claims)
            elif isinstance(error, AccountError):
                await self._rest(claims, error)
            else:
                await self._record(claims, fetch.result())
                return fetch.result()
        except StoreError as unstored:
            # the claims lapse by themselves, and somebody polls again
            log.error(
                "poll not stored", id=claims[0].video_translate_id, count=len(claims), error=str(unstored)
            )
            return unstored
        except Exception as unexpected:
            log.exception("poll not stored", id=claims[0].video_translate_id, count=len(claims))
            await self._put_off(claims)
            return unexpected
        return error

    async def _put_off(self, claims: list[Claim]) -> None:
        """A poison row must not come due again at once."""
        try:
            await self._store.release(claims, next_poll_at=self._clock() + self._limits.schedule.max_interval)
        except Exception:
            log.exception("poll not stored", id=claims[0].video_translate_id, count=len(claims))

    async def _record(self, claims: Sequence[Claim], seen: Sequence[Observation]) -> None:
        await self._listen(seen)
        await self._tracker.record(
            [Record(observation=one, claim=claim) for one, claim in zip(seen, claims, strict=True)]
        )
        for one in seen:
            self._count(one.problem.kind if one.problem else (one.status or "unknown_word"))
        nothing = Counter(str(one.problem) for one in seen if one.problem is not None)
        for problem, count in nothing.items():
            first = next(one.video_translate_id for one in seen if str(one.problem) == problem)
            log.info("poll learnt nothing", id=first, count=count, problem=problem)

    async def _listen(self, seen: Sequence[Observation]) -> None:
        """Whether HeyGen speaks to this account, and knows its translations."""
        for one in seen:
            if one.problem is None or one.problem.kind is ProblemKind.NOT_FOUND:
                await self._resume(one.observed_at)
        before = self._doubt.is_raised
        self._doubt.hear(seen)
        self._tracker.is_doubted = self._doubt.is_raised
        if self._doubt.is_raised and not before:
            log.error(
                "HeyGen knows none of the translations",
                advice="check that TRACKER_HEYGEN_API_KEY is of the account that made them",
            )
        elif before and not self._doubt.is_raised:
            log.warning("HeyGen knows translations again")

    async def _rest(self, claims: Sequence[Claim], error: AccountError) -> None:
        """The whole account waits; the translations are only put off."""
        reason, retry_after = Reason.KEY_REJECTED, None
        if isinstance(error, RateLimitedError):
            reason = Reason.QUOTA_EXCEEDED if error.quota else Reason.RATE_LIMITED
            retry_after = error.retry_after
        known = self.gate.reason
        until = await self.account.shut(reason, self._clock(), retry_after)
        if self.gate.reason is not known:
            tell = log.warning if reason is Reason.RATE_LIMITED else log.error
            tell(
                "polling paused",
                reason=reason,
                until=until.isoformat(),
                error=str(error),
                advice=ADVICE[reason],
            )
        self._count(reason)
        await self._store.release(claims, next_poll_at=until)

    def _count(self, outcome: str) -> None:
        self.outcomes[str(outcome)] += 1
        self._figures.polled(outcome)

    @property
    def state(self) -> PollerState:
        """For pages and probes: when it last ticked, and why it rests."""
        return PollerState(
            self.last_tick,
            self.gate.reason,
            self.gate.until,
            knows_translations=not self._doubt.is_raised,
            instances=max(1, self.account.instances),
        )

    async def _resume(self, asked_at: datetime) -> None:
        if (reason := await self.account.open(asked_at)) is not None:
            log.warning("polling resumed", after=reason)


async def _told(poll: "asyncio.Task[PollOutcome]") -> Observation:
    """What came of one question about one translation, or why nothing did."""
    await asyncio.wait([poll])  # whoever goes away cancels nothing
    outcome = poll.result()
    if isinstance(outcome, TrackerError):
        raise outcome
    if outcome is None or isinstance(outcome, BaseException):
        raise TransientError("the question to HeyGen was cut short; ask again")
    return outcome[0]
