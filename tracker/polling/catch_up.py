"""Catches up on missed webhooks: reads HeyGen's event log back to the last known event."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from tracker.domain.observation import Observation
from tracker.domain.page import Page
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import Clock, KeyValueStore, Listing, StatusSource, Store
from tracker.domain.record import Record
from tracker.domain.schedule import back_off
from tracker.errors import AccountError, HeyGenError, RateLimitedError, RefusedError
from tracker.polling.pagination import OVERLAP, Horizon, Walk, as_moment, key_of, record_page
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

KEY = "catch_up"
SHORTEST_GAP = timedelta(minutes=1)  # between runs, also after one that failed
LONGEST_GAP = timedelta(hours=1)  # between runs that find nothing, and after HeyGen rejects the request


class Cause(StrEnum):
    """Why the event log is read."""

    START = "start"
    UNREPORTED_END = "unreported_end"  # a poll found a completion that no webhook had reported
    PERIODIC = "periodic"


@dataclass(frozen=True, slots=True)
class CatchUpReport:
    """The result of a run. `events` counts new events of tracked translations; `reached` is False if the
    run did not get back to the last known event, and `cut` says why."""

    events: int = 0
    changed: int = 0
    ignored: int = 0
    unreadable: int = 0
    failed: int = 0
    pages: int = 0
    reached: bool = False
    cut: str | None = None


@dataclass(frozen=True, slots=True)
class _Bookmark:
    """The time of the newest known event, and the known events of the OVERLAP before it."""

    created_at: datetime | None = None
    known: frozenset[str] = frozenset()

    @classmethod
    def of(cls, stored: Any) -> "_Bookmark":
        stored = stored if isinstance(stored, dict) else {}
        known = stored.get("known")
        return cls(
            as_moment(stored.get("created_at")),
            frozenset(map(str, known)) if isinstance(known, list) else frozenset(),
        )

    def as_json(self) -> dict[str, Any]:
        return {"created_at": self.created_at and self.created_at.isoformat(), "known": sorted(self.known)}


class CatchUp:
    """Reads the event log whenever webhooks may have been missed. The scheduler calls `tick`.

    `trusted` returns False while the API key seems to be another account's, whose log does not concern us.
    """

    def __init__(
        self,
        tracker: Recorder,
        facts: PollingFacts,
        store: Store,
        log: Listing,
        key_values: KeyValueStore,
        clock: Clock,
        statuses: StatusSource,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tracker, self._facts, self._store = tracker, facts, store
        self._log, self._key_values = log, key_values
        self._clock, self._statuses = clock, statuses
        self._trusted = trusted
        self._started = self._hastened = False
        self._ends_known = 0
        self._fruitless_runs = 0  # in a row
        self._next_at: datetime | None = None  # earliest next run
        self._periodic_at: datetime | None = None
        self._problem: str | None = None
        self.last: CatchUpReport | None = None

    async def tick(self) -> None:
        """Read the log if there is a cause; raises StoreError.

        May be cancelled: the log is read again after the next start.
        """
        if self._trusted() and (cause := self._cause()) is not None:
            await self._run_for(cause)

    async def run(self) -> CatchUpReport:
        """Read the log back to the last known event, and record the new events.

        Raises HeyGenError and StoreError. The bookmark moves only if the run succeeds and gets back to
        the last known event. Events since the bookmark start tracking as webhooks do; without a bookmark,
        only translations that are already tracked are updated.
        """
        bookmark, now = _Bookmark.of(await self._key_values.recall(KEY)), self._clock()
        if bookmark.created_at is not None and bookmark.created_at > now:
            bookmark = _Bookmark()  # the clock was ahead: this bookmark would hide newer events
        since = bookmark.created_at or await self._store.oldest_open() or now
        walk = Walk(self._log, self._clock)
        return await _Reading(self._tracker, self._key_values, walk, bookmark, since - OVERLAP, now).read()

    # When

    def _cause(self) -> Cause | None:
        now = self._clock()
        if self._next_at is not None and now < self._next_at:
            return None
        if not self._started:
            return Cause.START
        if self._facts.unreported_ends > self._ends_known:
            return Cause.UNREPORTED_END
        return Cause.PERIODIC if self._periodic_at is None or now >= self._periodic_at else None

    async def _run_for(self, cause: Cause) -> None:
        ends = self._facts.unreported_ends
        self._next_at = self._clock() + SHORTEST_GAP  # also if the database fails
        try:
            self._report(cause, await self.run())
        except HeyGenError as error:
            self._delay(error)
            if not isinstance(error, RefusedError):  # which means that there is no log
                await self._hasten_polls(needed=not self._hastened)
                return
        await self._hasten_polls(needed=cause is Cause.UNREPORTED_END or not self._hastened)
        self._started, self._ends_known = True, ends

    def _report(self, cause: Cause, report: CatchUpReport) -> None:
        now, self.last = self._clock(), report
        if report.changed:
            self._fruitless_runs = 0
        elif cause is Cause.UNREPORTED_END:
            self._fruitless_runs += 1
        self._next_at = now + back_off(self._fruitless_runs + 1, SHORTEST_GAP, LONGEST_GAP)
        self._periodic_at = now + LONGEST_GAP
        if self._problem is not None:
            log.warning("event log readable again", after=self._problem)
        self._problem = None
        log_event = log.info if report.reached else log.warning
        log_event("caught up" if report.reached else "not caught up", cause=cause, **asdict(report))

    def _delay(self, error: HeyGenError) -> None:
        """Wait before the next run; log each kind of error once, because it may last."""
        wait = SHORTEST_GAP
        if isinstance(error, RefusedError):
            wait = LONGEST_GAP
        elif isinstance(error, RateLimitedError) and error.retry_after is not None:
            wait = timedelta(seconds=error.retry_after)
        self._next_at = self._clock() + wait
        kind = type(error).__name__
        if kind != self._problem:
            log_event = log.error if isinstance(error, AccountError) else log.warning
            log_event("event log not read", error=str(error), again_in=wait.total_seconds())
        self._problem = kind

    async def _hasten_polls(self, *, needed: bool) -> None:
        """Poll all open translations soon, because the log may be incomplete; once at start."""
        if not needed:
            return
        now = self._clock()
        schedule = self._tracker.schedule
        by = now if self._statuses.batch_size > 1 else now + schedule.max_staleness
        count = await self._store.hasten(by, schedule.min_interval)
        self._hastened = True
        if count:
            log.info("polls brought forward", count=count, by=by.isoformat())


class _Reading:
    """One run through the event log."""

    def __init__(
        self,
        tracker: Recorder,
        key_values: KeyValueStore,
        walk: Walk,
        bookmark: _Bookmark,
        boundary: datetime,
        now: datetime,
    ) -> None:
        self._tracker, self._key_values, self._walk = tracker, key_values, walk
        self._bookmark, self._boundary, self._now = bookmark, boundary, now
        self._report = CatchUpReport()
        self._newest = bookmark.created_at
        self._read: dict[str, datetime] = {}  # of the OVERLAP before the newest

    async def read(self) -> CatchUpReport:
        """Read back to the boundary, or to the end if the log is unordered; then move the bookmark."""
        horizon = Horizon(self._boundary)
        reached = False
        async for page in self._walk:
            await self._record(page)
            if reached := horizon.is_passed(page):
                break
        cut = None if reached else self._walk.cut
        if cut is None:
            await self._key_values.remember(KEY, _Bookmark(self._mark, frozenset(self._read)).as_json())
        return replace(self._report, reached=cut is None, cut=cut)

    async def _record(self, page: Page) -> None:
        news = [observation for observation in page.observations if self._is_new(observation)]
        results = await record_page(self._tracker, self._as_records(news), self._check)
        stored = [result for result in results if result is not None]
        known = self._report
        self._report = replace(
            known,
            events=known.events + len(news),
            changed=known.changed + sum(result.change is not None for result in stored),
            ignored=known.ignored + page.ignored,
            unreadable=known.unreadable + page.unreadable,
            failed=known.failed + len(results) - len(stored),
            pages=known.pages + 1,
        )
        self._newest = max((*page.times, *filter(None, [self._newest])), default=None)
        since = self._mark - OVERLAP
        self._read = {digest: time for digest, time in self._read.items() if time >= since}

    def _is_new(self, observation: Observation) -> bool:
        """Whether no earlier run has read this event. Without a time it counts as new."""
        if observation.occurred_at is None:
            return True
        digest = _digest(observation)
        self._read[digest] = observation.occurred_at
        return observation.occurred_at >= self._boundary and digest not in self._bookmark.known

    def _as_records(self, news: Sequence[Observation]) -> list[Record]:
        has_bookmark = self._bookmark.created_at is not None
        return [
            Record(observation=observation, adopt=has_bookmark and observation.occurred_at is not None)
            for observation in news
        ]

    async def _check(self) -> None:
        await self._key_values.remember(KEY, self._bookmark.as_json())

    @property
    def _mark(self) -> datetime:
        """The time of the newest event read. A log without times counts as read up to now."""
        return min(self._newest or self._now, self._now)


def _digest(observation: Observation) -> str:
    return hashlib.sha256(repr(key_of(observation)).encode()).hexdigest()[:24]
