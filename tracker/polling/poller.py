"""Polls HeyGen: claims due translations, requests their status, records the results.

The scheduler calls `tick`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from tracker.domain.claims import Claim, Due
from tracker.domain.limits import PollLimits
from tracker.domain.observation import Observation
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import AccountStore, Clock, Figures, StatusSource, Store
from tracker.domain.status import Attention
from tracker.errors import (
    AccountError,
    RefusedError,
    StoreError,
    TrackerError,
    TransientError,
)
from tracker.polling.account import Account
from tracker.polling.gate import Gate, Reason
from tracker.polling.poll_results import PollResults
from tracker.polling.question import group_by_request, observe
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

TOP_UP_SECONDS = 1.0
TICK_SECONDS = 10.0
LOGGED_SINGLY = 20
ANOTHER = "another tracker, or an earlier run"
SPARE_FOR_RENEWAL = 2  # free slots: the renewal takes one and leaves one to the polls
SOON = 0.5  # of the shortest interval: what is due this soon fills up a bulk request


PollOutcome = Sequence[Observation] | BaseException | None


class PollingStore(Store, AccountStore, Protocol):
    """What polling needs of the database."""

    async def claim_links(
        self, translation_id: int, poll_count: int, now: datetime, owner: str, lease: timedelta
    ) -> Claim | None:
        """Claim one ended translation to request its links; None if it is claimed or polled already."""
        ...

    async def claim_renewal(self, now: datetime, owner: str, lease: timedelta) -> Claim | None:
        """Claim the ended translation whose links are the first due for renewal; None if none is due."""
        ...


class Poller:
    """Polls due translations. Without an API key `heygen` is None, and polling stays paused."""

    def __init__(
        self,
        store: "PollingStore",
        tracker: Recorder,
        facts: PollingFacts,
        heygen: StatusSource | None,
        figures: Figures,
        clock: Clock,
        *,
        owner: str,
        limits: PollLimits,
    ) -> None:
        self._store, self._heygen, self._clock = store, heygen, clock
        self._owner, self._limits = owner, limits
        self.gate = Gate(limits.schedule, reason=Reason.NO_API_KEY if heygen is None else None)
        self.account = Account(store, self.gate, owner)
        self.last_tick: datetime | None = None  # the latest that reached the store
        self._results = PollResults(store, tracker, facts, self.account, figures, clock)
        self._alone_first = False
        self._polls: set[asyncio.Task[PollOutcome]] = set()
        self._asks: set[asyncio.Task[PollOutcome]] = set()  # on demand; these take no slot of a poll
        self._next_ask = asyncio.Lock()
        self._fetches: set[asyncio.Task[list[Observation]]] = set()
        self._stopping = asyncio.Event()
        self.began = asyncio.Event()  # the first tick has ended, or has claimed

    async def tick(self, due_by: datetime | None = None) -> None:
        """Start polls until nothing more is due (by `due_by`) or allowed. They may outlive the tick.

        A tick lasts TICK_SECONDS at most, so that the health check sees it end.
        """
        try:
            await self._sync_account()
            await self._start_polls(due_by)
        finally:
            self.began.set()

    async def _start_polls(self, due_by: datetime | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + TICK_SECONDS
        while not self._stopping.is_set() and loop.time() < until:
            slots = await self._free_slots()
            if slots <= 0 and self.gate.reason is None and self._polls:
                await asyncio.wait(self._polls, timeout=TOP_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            batch = self._batch_size  # it may change during the claim
            claims = await self._claim(slots, batch, due_by) if slots > 0 else []
            self.began.set()
            self.last_tick = self._clock()
            if self._stopping.is_set():  # meanwhile: `stop` would not wait for these polls
                await self._store.release(claims)
                return
            for group in group_by_request(claims, batch):
                self._begin(group, self._polls)
            if not claims or self.gate.reason is not None:
                return

    async def run_once(self) -> Counter[str]:
        """Poll everything that is due now, wait for the results and count them by kind."""
        before, due_by = self._results.outcomes.copy(), self._clock()  # not what becomes due meanwhile
        await self.tick(due_by)
        while self._polls:
            await asyncio.wait(self._polls)
            if self.gate.reason is None:
                await self.tick(due_by)
        return self._results.outcomes - before

    async def ask(self, translation_id: int, poll_count: int) -> Observation | None:
        """Poll one ended translation now, due or not, and store the result before returning it.

        Returns None if another tracker polls it, or has polled it since `poll_count`. Callers queue here:
        polls keep their share of the rate limit, and no claim lapses in a queue. Raises AccountError,
        without a request, while the account is paused; StoreError; TransientError if the request was
        cancelled.
        """
        async with self._next_ask:
            while len(self._asks) >= self._limits.on_demand:
                await asyncio.wait(self._asks, return_when=asyncio.FIRST_COMPLETED)
            claim = await self._claim_links(translation_id, poll_count)
            if claim is None:
                return None
            poll = self._begin([claim], self._asks)
        return await _result_of(poll)

    async def _claim_links(self, translation_id: int, poll_count: int) -> Claim | None:
        await self._sync_account()
        if self._stopping.is_set():
            raise TransientError("this tracker is stopping; try again")
        now, lease = self._clock(), self._limits.lease
        if await self.account.room(now, 1) <= 0:
            raise AccountError(self._pause_message())
        return await self._store.claim_links(translation_id, poll_count, now, self._owner, lease)

    async def renew(self) -> Observation | None:
        """Poll the ended translation whose links are the first due for renewal, if that delays no poll.

        Returns None if nothing is due, the account is paused, or the polls need the slots. Raises as `ask`
        does.
        """
        slots = self._limits.concurrency - len(self._polls)
        if (
            self.gate.reason is not None
            or self._stopping.is_set()
            or (self._polls and slots < SPARE_FOR_RENEWAL)
        ):
            return None
        claim = await self._store.claim_renewal(self._clock(), self._owner, self._limits.lease)
        return await _result_of(self._begin([claim], self._polls)) if claim is not None else None

    def _pause_message(self) -> str:
        """Why HeyGen cannot be polled now, for an error message."""
        if self.gate.reason is Reason.NO_API_KEY:
            return "polling HeyGen needs TRACKER_HEYGEN_API_KEY"
        until = f" until {self.gate.until:%H:%M:%S} UTC" if self.gate.until else ""
        return f"polling is paused{until}: {self.gate.reason}"

    def set_limits(self, limits: PollLimits) -> None:
        """Apply new limits; requests under way keep the old ones."""
        self._limits = limits
        self.gate.schedule = limits.schedule

    def try_account(self) -> None:
        """The API key has changed: if the last one was rejected, probe at once."""
        self.account.take_new_key()

    async def flag_overdue(self) -> None:
        """Flag open translations that are overdue."""
        flagged = await self._store.flag_overdue(self._clock(), self._limits.schedule.overdue_after)
        for name in flagged[:LOGGED_SINGLY]:
            log.warning("translation needs attention", id=name, attention=Attention.OVERDUE)
        if len(flagged) > LOGGED_SINGLY:
            log.warning("more translations need attention", count=len(flagged), attention=Attention.OVERDUE)

    async def stop(self, patience: float) -> None:
        """Claim nothing more; wait `patience` seconds for requests, then cancel them.

        Results that have arrived are always stored; claims of cancelled requests are released.
        """
        self._stopping.set()
        if under_way := self._polls | self._asks:
            await asyncio.wait(under_way, timeout=patience)
        for fetch in self._fetches:
            fetch.cancel()
        if under_way := self._polls | self._asks:
            await asyncio.wait(under_way)

    async def _claim(self, slots: int, batch: int, due_by: datetime | None) -> list[Claim]:
        now = self._clock()
        soon = now + self._limits.schedule.min_interval * SOON if due_by is None else due_by
        self._alone_first = not self._alone_first  # under load only one slot is free at a time
        due = Due(due_by or now, soon, batch, self._alone_first)
        return await self._store.claim_due(now, slots, self._owner, self._limits.lease, due)

    @property
    def _batch_size(self) -> int:
        return self._heygen.batch_size if self._heygen is not None else 1

    async def _sync_account(self) -> None:
        """Adopt a pause or its end that another tracker has stored."""
        before = self.gate.reason
        await self.account.tick(self._clock())
        if self.gate.reason is not None and self.gate.reason is not before:
            log.warning(
                "polling paused", reason=self.gate.reason, until=str(self.gate.until), told_by=ANOTHER
            )
        elif self.gate.reason is None and before is not None:
            log.warning("polling resumed", after=before, told_by=ANOTHER)

    async def _free_slots(self) -> int:
        if self.gate.reason is not None and self._polls:
            return 0
        return await self.account.room(self._clock(), self._limits.concurrency - len(self._polls))

    def _begin(
        self, claims: list[Claim], tasks: "set[asyncio.Task[PollOutcome]]"
    ) -> "asyncio.Task[PollOutcome]":
        poll = asyncio.create_task(self._poll(claims), name=f"poll {claims[0].video_translate_id}")
        tasks.add(poll)
        poll.add_done_callback(tasks.discard)
        return poll

    async def _poll(self, claims: list[Claim]) -> PollOutcome:
        """Send one request, then store its result or release the claims.

        Raises nothing; returns what was stored, or the error that prevented it.
        """
        fetch = asyncio.create_task(observe(self._heygen, claims, self._clock()))
        self._fetches.add(fetch)
        fetch.add_done_callback(self._fetches.discard)
        await asyncio.wait([fetch])
        try:
            error = None if fetch.cancelled() else fetch.exception()
            if fetch.cancelled() or isinstance(error, RefusedError):  # if refused, smaller requests follow
                await self._store.release(claims)
            elif isinstance(error, AccountError):
                await self._results.pause(claims, error)
            else:
                await self._results.record(claims, fetch.result())
                return fetch.result()
        except StoreError as store_error:
            # the claims lapse, and a later poll retries
            log.error(
                "poll not stored", id=claims[0].video_translate_id, count=len(claims), error=str(store_error)
            )
            return store_error
        except Exception as unexpected:
            log.exception("poll not stored", id=claims[0].video_translate_id, count=len(claims))
            await self._results.postpone(claims)
            return unexpected
        return error


async def _result_of(poll: "asyncio.Task[PollOutcome]") -> Observation:
    """Wait for the poll of one translation; return its observation or raise its error."""
    await asyncio.wait([poll])  # a caller that is cancelled must not cancel the poll
    outcome = poll.result()
    if isinstance(outcome, TrackerError):
        raise outcome
    if outcome is None or isinstance(outcome, BaseException):
        raise TransientError("the request to HeyGen was cancelled; try again")
    return outcome[0]
