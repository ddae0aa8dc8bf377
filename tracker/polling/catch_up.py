"""Catching up after a silence: HeyGen's event log, read back to what is known already."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from tracker.domain.observation import Observation
from tracker.domain.page import Page
from tracker.domain.ports import Clock, KeyValueStore, Listing, StatusSource, Store
from tracker.domain.record import Record
from tracker.domain.schedule import back_off
from tracker.errors import AccountError, HeyGenError, RateLimitedError, RefusedError
from tracker.polling.pagination import OVERLAP, Horizon, Walk, as_moment, key_of, record_page
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

MEMORY = "catch_up"
SHORTEST_GAP = timedelta(minutes=1)  # between runs, and after HeyGen did not answer one
LONGEST_GAP = timedelta(
    hours=1
)  # between runs that find nothing, and until a log that is not there is sought


class Cause(StrEnum):
    """Why the log is read."""

    START = "start"
    UNREPORTED_END = "unreported_end"  # polling found an end that no webhook had reported
    PERIODIC = "periodic"


@dataclass(frozen=True, slots=True)
class CatchUpReport:
    """What a run did: `events` are those of ours that were not known yet; `reached` False: it did not
    get back to what is known, `cut` says why."""

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
    """The newest event that is known, and which ones are known of the OVERLAP before it."""

    created_at: datetime | None = None
    known: frozenset[str] = frozenset()

    @classmethod
    def of(cls, remembered: Any) -> "_Bookmark":
        remembered = remembered if isinstance(remembered, dict) else {}
        known = remembered.get("known")
        return cls(
            as_moment(remembered.get("created_at")),
            frozenset(map(str, known)) if isinstance(known, list) else frozenset(),
        )

    def as_json(self) -> dict[str, Any]:
        return {"created_at": self.created_at and self.created_at.isoformat(), "known": sorted(self.known)}


class CatchUp:
    """Reads the event log whenever webhooks may have been missed. Somebody calls `tick` every second.

    `trusted` False: the API key seems to be another account's, whose log is none of ours.
    """

    def __init__(
        self,
        tracker: Recorder,
        store: Store,
        log: Listing,
        key_values: KeyValueStore,
        clock: Clock,
        statuses: StatusSource,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tracker, self._store, self._log, self._key_values = tracker, store, log, key_values
        self._clock, self._statuses = clock, statuses
        self._trusted = trusted
        self._started = self._hastened = False
        self._ends_known = 0
        self._in_vain = 0  # readings in a row that changed nothing
        self._next_at: datetime | None = None  # not before
        self._periodic_at: datetime | None = None
        self._trouble: str | None = None
        self.last: CatchUpReport | None = None

    async def tick(self) -> None:
        """Read the log when there is cause to; raises StoreError.

        It may be cancelled: after the next start the log is read again.
        """
        if self._trusted() and (cause := self._cause()) is not None:
            await self._run_for(cause)

    async def run(self) -> CatchUpReport:
        """Read the log back to the last known event, and record what is new.

        Raises HeyGenError and StoreError; the bookmark moves only where neither came, and the end was
        reached. What happened since the bookmark is tracked as a webhook would have it tracked;
        without a bookmark nobody knows what was missed, and only known translations are concerned.
        """
        bookmark, now = _Bookmark.of(await self._key_values.recall(MEMORY)), self._clock()
        if bookmark.created_at is not None and bookmark.created_at > now:
            bookmark = _Bookmark()  # the clock was ahead: it would hide what has come since
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
        if self._tracker.unreported_ends > self._ends_known:
            return Cause.UNREPORTED_END
        return Cause.PERIODIC if self._periodic_at is None or now >= self._periodic_at else None

    async def _run_for(self, cause: Cause) -> None:
        ends = self._tracker.unreported_ends
        self._next_at = self._clock() + SHORTEST_GAP  # also where the store cannot do it
        try:
            self._tell(cause, await self.run())
        except HeyGenError as error:
            self._rest(error)
            if not isinstance(error, RefusedError):  # else there is no log to wait for
                await self._poll_the_rest(needed=not self._hastened)
                return
        await self._poll_the_rest(needed=cause is Cause.UNREPORTED_END or not self._hastened)
        self._started, self._ends_known = True, ends

    def _tell(self, cause: Cause, report: CatchUpReport) -> None:
        now, self.last = self._clock(), report
        if report.changed:
            self._in_vain = 0
        elif cause is Cause.UNREPORTED_END:
            self._in_vain += 1
        self._next_at = now + back_off(self._in_vain + 1, SHORTEST_GAP, LONGEST_GAP)
        self._periodic_at = now + LONGEST_GAP
        if self._trouble is not None:
            log.warning("event log works again", after=self._trouble)
        self._trouble = None
        tell = log.info if report.reached else log.warning
        tell("caught up" if report.reached else "not caught up", cause=cause, **asdict(report))

    def _rest(self, error: HeyGenError) -> None:
        """Once per kind of trouble, for it may last."""
        wait = SHORTEST_GAP
        if isinstance(error, RefusedError):
            wait = LONGEST_GAP
        elif isinstance(error, RateLimitedError) and error.retry_after is not None:
            wait = timedelta(seconds=error.retry_after)
        self._next_at = self._clock() + wait
        kind = type(error).__name__
        if kind != self._trouble:
            tell = log.error if isinstance(error, AccountError) else log.warning
            tell("event log not read", error=str(error), again_in=wait.total_seconds())
        self._trouble = kind

    async def _poll_the_rest(self, *, needed: bool) -> None:
        """The log may be incomplete: whoever is still open is asked about, soon; at start once."""
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
    """One run through the log."""

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
        """Back to the boundary, or to the end of a log that is in no order; then the bookmark moves."""
        horizon = Horizon(self._boundary)
        reached = False
        async for page in self._walk:
            await self._record(page)
            if reached := horizon.is_passed(page):
                break
        cut = None if reached else self._walk.cut
        if cut is None:
            await self._key_values.remember(MEMORY, _Bookmark(self._mark, frozenset(self._read)).as_json())
        return replace(self._report, reached=cut is None, cut=cut)

    async def _record(self, page: Page) -> None:
        news = [seen for seen in page.observations if self._is_news(seen)]
        results = await record_page(self._tracker, self._as_records(news), self._check)
        stored = [one for one in results if one is not None]
        known = self._report
        self._report = replace(
            known,
            events=known.events + len(news),
            changed=known.changed + sum(one.change is not None for one in stored),
            ignored=known.ignored + page.ignored,
            unreadable=known.unreadable + page.unreadable,
            failed=known.failed + len(results) - len(stored),
            pages=known.pages + 1,
        )
        self._newest = max((*page.times, *filter(None, [self._newest])), default=None)
        since = self._mark - OVERLAP
        self._read = {name: time for name, time in self._read.items() if time >= since}

    def _is_news(self, seen: Observation) -> bool:
        """Neither from before the boundary, nor read by an earlier run; without a time nobody can tell."""
        if seen.occurred_at is None:
            return True
        name = _digest(seen)
        self._read[name] = seen.occurred_at
        return seen.occurred_at >= self._boundary and name not in self._bookmark.known

    def _as_records(self, news: Sequence[Observation]) -> list[Record]:
        missed = self._bookmark.created_at is not None
        return [Record(observation=seen, adopt=missed and seen.occurred_at is not None) for seen in news]

    async def _check(self) -> None:
        await self._key_values.remember(MEMORY, self._bookmark.as_json())

    @property
    def _mark(self) -> datetime:
        """A log without times is known up to now; a time that is yet to come marks nothing."""
        return min(self._newest or self._now, self._now)


def _digest(seen: Observation) -> str:
    return hashlib.sha256(repr(key_of(seen)).encode()).hexdigest()[:24]
