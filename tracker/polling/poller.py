"""Claims what is due, asks HeyGen, records the answers. Knows no scheduler: somebody calls `tick`."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from tracker.domain.cadence import Cadence
from tracker.domain.observation import Observation, Problem, ProblemKind
from tracker.domain.status import Attention, Source
from tracker.domain.translation import is_video_translate_id
from tracker.errors import AccountError, NotFoundError, RateLimitedError, StoreError, TransientError
from tracker.polling.gate import Gate, Reason
from tracker.ports import Claim, Clock, Figures, PollerState, Record, StatusSource, Store
from tracker.tracking import Tracker

log = structlog.get_logger("tracker.polling")

LEASE_SPARE = timedelta(seconds=60)  # a claim outlives its request by this much
TOP_UP_SECONDS = 1.0
TICK_SECONDS = 10.0
TOLD_ONE_BY_ONE = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How much may happen at once, and for how long."""

    concurrency: int
    request_timeout: float  # seconds
    rate_limit: float  # requests a second
    cadence: Cadence

    @property
    def lease(self) -> timedelta:
        """How long a claim is held: its wait for a turn, its request, and something to spare."""
        return timedelta(seconds=self.concurrency / self.rate_limit + self.request_timeout) + LEASE_SPARE


class Poller:
    """Polls due translations; `heygen` None means that there is no API key, and polling rests."""

    def __init__(
        self,
        store: Store,
        tracker: Tracker,
        heygen: StatusSource | None,
        figures: Figures,
        clock: Clock,
        *,
        owner: str,
        pace: Pace,
    ) -> None:
        self._store, self._tracker, self._heygen, self._figures = store, tracker, heygen, figures
        self._clock, self._owner, self._pace = clock, owner, pace
        self.gate = Gate(pace.cadence, reason=Reason.NO_API_KEY if heygen is None else None)
        self.last_tick: datetime | None = None  # the latest that went through
        self._polls: set[asyncio.Task[None]] = set()
        self._fetches: set[asyncio.Task[Observation]] = set()
        self.outcomes: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    async def tick(self, due_by: datetime | None = None) -> None:
        """Start polls until nothing more is due (by `due_by`) or allowed; those under way go on afterwards.

        A tick ends after TICK_SECONDS all the same, so that whoever watches sees it end.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + TICK_SECONDS
        while not self._stopping.is_set() and loop.time() < until:
            room = self._room()
            if room <= 0 and self.gate.reason is None and self._polls:
                await asyncio.wait(self._polls, timeout=TOP_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            claims = await self._claim(room, due_by) if room > 0 else []
            self.last_tick = self._clock()
            if self._stopping.is_set():  # since we asked for them: nobody would wait for these polls
                await self._store.release(claims)
                return
            for claim in claims:
                self._begin(claim)
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

    async def flag_overdue(self) -> None:
        """Raise the flag on open translations that have grown too old."""
        flagged = await self._store.flag_overdue(self._clock(), self._pace.cadence.overdue_after)
        for name in flagged[:TOLD_ONE_BY_ONE]:
            log.warning("translation needs attention", id=name, attention=Attention.OVERDUE)
        if len(flagged) > TOLD_ONE_BY_ONE:
            log.warning("more translations need attention", count=len(flagged), attention=Attention.OVERDUE)

    async def stop(self, patience: float) -> None:
        """Claim nothing more; give requests `patience` seconds, then give their claims back unpolled.

        What was answered is stored whatever the time: only requests are ever cancelled.
        """
        self._stopping.set()
        if self._polls:
            await asyncio.wait(self._polls, timeout=patience)
        for fetch in self._fetches:
            fetch.cancel()
        if self._polls:
            await asyncio.wait(self._polls)

    async def _claim(self, room: int, due_by: datetime | None) -> list[Claim]:
        now = self._clock()
        return await self._store.claim_due(now, room, self._owner, self._pace.lease, due_by or now)

    def _room(self) -> int:
        room = self.gate.room(self._clock(), self._pace.concurrency - len(self._polls))
        return 0 if self.gate.reason is not None and self._polls else room

    def _begin(self, claim: Claim) -> None:
        poll = asyncio.create_task(self._poll(claim), name=f"poll {claim.video_translate_id}")
        self._polls.add(poll)
        poll.add_done_callback(self._polls.discard)

    async def _poll(self, claim: Claim) -> None:
        """One translation: ask, then store the answer or give the claim back. Raises nothing."""
        fetch = asyncio.create_task(self._observe(claim.video_translate_id, self._clock()))
        self._fetches.add(fetch)
        fetch.add_done_callback(self._fetches.discard)
        await asyncio.wait([fetch])
        try:
            if fetch.cancelled():
                await self._store.release([claim])
            elif isinstance(error := fetch.exception(), AccountError):
                await self._rest(claim, error)
            else:
                await self._record(claim, fetch.result())
        except StoreError as error:
            # the claim lapses by itself, and somebody polls again
            log.error("poll not stored", id=claim.video_translate_id, error=str(error))
        except Exception:
            log.exception("poll not stored", id=claim.video_translate_id)
            await self._put_off(claim)

    async def _put_off(self, claim: Claim) -> None:
        """A poison row must not come due again at once."""
        try:
            await self._store.release([claim], next_poll_at=self._clock() + self._pace.cadence.max_interval)
        except Exception:
            log.exception("poll not stored", id=claim.video_translate_id)

    async def _observe(self, video_translate_id: str, now: datetime) -> Observation:
        """What HeyGen says, or the problem in its way. Raises AccountError alone."""
        try:
            if self._heygen is not None and is_video_translate_id(video_translate_id):
                return await self._heygen.fetch(video_translate_id, now)
            problem = Problem(ProblemKind.INVALID_ID, "HeyGen gives out no such id; it is never asked for")
        except NotFoundError as error:
            problem = Problem(ProblemKind.NOT_FOUND, str(error))
        except TransientError as error:
            problem = Problem(ProblemKind.UNREACHABLE, str(error))
        except AccountError:
            raise
        except Exception as error:  # a poison answer must not be asked for again at once
            log.exception("poll failed", id=video_translate_id)
            problem = Problem(ProblemKind.UNREACHABLE, f"unexpected: {type(error).__name__}")
        return Observation(
            source=Source.POLL, observed_at=now, video_translate_id=video_translate_id, problem=problem
        )

    async def _record(self, claim: Claim, observation: Observation) -> None:
        problem = observation.problem
        if problem is None or problem.kind is ProblemKind.NOT_FOUND:
            self._resume(observation.observed_at)
        await self._tracker.record([Record(observation=observation, claim=claim)])
        self._count(problem.kind if problem else (observation.status or "unknown_word"))
        if problem is not None:
            log.info("poll learnt nothing", id=claim.video_translate_id, problem=str(problem))

    async def _rest(self, claim: Claim, error: AccountError) -> None:
        """The whole account waits; the translation is only put off."""
        reason, retry_after = Reason.KEY_REJECTED, None
        if isinstance(error, RateLimitedError):
            reason = Reason.QUOTA_EXCEEDED if error.quota else Reason.RATE_LIMITED
            retry_after = error.retry_after
        known = self.gate.reason
        until = self.gate.shut(reason, self._clock(), retry_after)
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
        await self._store.release([claim], next_poll_at=until)

    def _count(self, outcome: str) -> None:
        self.outcomes[str(outcome)] += 1
        self._figures.polled(outcome)

    @property
    def state(self) -> PollerState:
        """For pages and probes: when it last ticked, and why it rests."""
        return PollerState(self.last_tick, self.gate.reason, self.gate.until)

    def _resume(self, asked_at: datetime) -> None:
        if (reason := self.gate.open(asked_at)) is not None:
            log.warning("polling resumed", after=reason)


ADVICE = {
    Reason.KEY_REJECTED: "check TRACKER_HEYGEN_API_KEY; a probe goes out from time to time",
    Reason.QUOTA_EXCEEDED: "HeyGen says that the quota is used up: waiting alone does not help",
    Reason.RATE_LIMITED: None,
}
