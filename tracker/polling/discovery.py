"""Discovery: the account's own list of translations, paged through, bound and adopted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from tracker.domain.adoption import Adoption
from tracker.domain.observation import Observation
from tracker.domain.page import Page
from tracker.domain.ports import Clock, KeyValueStore, Listing
from tracker.domain.record import Record
from tracker.domain.retention import Keep
from tracker.errors import HeyGenError, RefusedError
from tracker.polling.pagination import OVERLAP, Horizon, Walk, as_moment, record_page
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

MEMORY = "discovery"
SOON = timedelta(minutes=10)  # until a sweep that was interrupted goes on


@dataclass(frozen=True, slots=True)
class Report:
    """What a sweep did; `not_reached` says what it did not get to, and why. Every page may be counted
    twice where an earlier sweep was interrupted: what has come since stands in front."""

    listed: int = 0
    new: int = 0
    bound: int = 0
    changed: int = 0
    failed: int = 0
    pages: int = 0
    not_reached: str | None = None


@dataclass(frozen=True, slots=True)
class _Progress:
    """What is remembered: where an unfinished sweep goes on, since when all is known, how far it got.

    `adopt`: what it adopted; whoever adopts otherwise has to read again what it has read.
    """

    token: str | None = None
    adopt: str | None = None
    began_at: datetime | None = None
    oldest: datetime | None = None
    completed_at: datetime | None = None

    @classmethod
    def of(cls, known: Any) -> "_Progress":
        known = known if isinstance(known, dict) else {}
        token, adopt = (
            text if isinstance(text := known.get(name), str) else None for name in ("token", "adopt")
        )
        moments = (as_moment(known.get(name)) for name in ("began_at", "oldest", "completed_at"))
        return cls(token, adopt, *moments)

    def as_json(self) -> dict[str, str | None]:
        values = asdict(self)
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


class Discovery:
    """Sweeps through the list. An interrupted sweep is resumed where it stopped, also by another process,
    as long as that adopts the same.

    `told` hears of each page. What `keep` does not keep is not adopted: it would only be deleted again.
    """

    def __init__(
        self,
        tracker: Recorder,
        listing: Listing,
        key_values: KeyValueStore,
        clock: Clock,
        adopt: Adoption,
        told: Callable[[Report], None] = lambda _report: None,
        keep: Callable[[], Keep] = Keep,
    ) -> None:
        self._tracker, self._listing, self._key_values, self._clock = tracker, listing, key_values, clock
        self._adopt, self._told, self._keep = adopt, told, keep
        self._report = Report()
        self._progress = _Progress()

    async def sweep(self, *, restart: bool = False) -> Report:
        """Read the whole list, or what an interrupted sweep left of it; raises StoreError alone.

        New translations are listed first as a rule, but nobody promises that: a resumed sweep looks at
        the front until it meets what was there when it began, then goes on from where it stopped.
        """
        self._report, self._progress = Report(), _Progress.of(await self._key_values.recall(MEMORY))
        try:
            await self._resume_or_begin(restart=restart)
        except HeyGenError as error:
            self._leave(str(error))
        log.info("discovery ended", adopt=str(self._adopt), **asdict(self._report))
        return self._report

    async def completed_at(self) -> datetime | None:
        """When a sweep last reached the end of the list, by the clock of then; None for never."""
        return _Progress.of(await self._key_values.recall(MEMORY)).completed_at

    async def _resume_or_begin(self, *, restart: bool) -> None:
        token, began_at, adopt = self._progress.token, self._progress.began_at, str(self._adopt)
        restart = restart or self._progress.adopt != adopt
        if token is not None and began_at is not None and not restart:
            if await self._look_at_front(began_at):
                return
            try:
                await self._read(token)
            except RefusedError as error:
                if self._progress.token != token:  # it was taken, and a later one was not
                    raise
                log.warning("discovery begins again", because=str(error))
            else:
                return
        self._progress = replace(self._progress, token=None, adopt=adopt, began_at=self._clock(), oldest=None)
        await self._read(None)

    async def _look_at_front(self, since: datetime) -> bool:
        """Read what has come since then; True where that was the whole list."""
        now, horizon, walk = self._clock(), Horizon(since - OVERLAP), Walk(self._listing, self._clock)
        async for page in walk:
            await self._record(page)
            if horizon.is_passed(page):
                self._progress = replace(self._progress, began_at=now)
                return False
            if not horizon.in_order:  # then new ones may stand anywhere, also in what is left to read
                return False
        if walk.cut is None:
            await self._complete()
        return walk.cut is None

    async def _read(self, token: str | None) -> None:
        """Read from there to the end; after each page it is remembered where to go on."""
        walk = Walk(self._listing, self._clock, token)
        async for page in walk:
            await self._record(page)
            oldest = min((*page.times, *filter(None, [self._progress.oldest])), default=None)
            self._progress = replace(self._progress, token=walk.token, oldest=oldest)
            if not walk.ended:
                await self._remember()
        if walk.cut is None:
            await self._complete()
        else:
            await self._remember()
            self._leave(walk.cut)

    async def _record(self, page: Page) -> None:
        """One page in one transaction."""
        records = [Record(observation=seen, adopt=self._takes(seen)) for seen in page.observations]
        results = await record_page(self._tracker, records, self._remember)
        stored = [one for one in results if one is not None]
        known = self._report
        self._report = replace(
            known,
            listed=known.listed + len(records) + page.unreadable,
            new=known.new + sum(one.is_new for one in stored),
            bound=known.bound + sum(one.is_bound for one in stored),
            changed=known.changed + sum(one.change is not None for one in stored),
            failed=known.failed + page.unreadable + len(results) - len(stored),
            pages=known.pages + 1,
        )
        self._told(self._report)

    def _takes(self, seen: Observation) -> bool:
        return self._adopt.takes(seen) and not self._keep().is_past(seen, self._clock())

    async def _remember(self) -> None:
        await self._key_values.remember(MEMORY, self._progress.as_json())

    async def _complete(self) -> None:
        self._progress = replace(self._progress, token=None, completed_at=self._clock())
        await self._remember()

    def _leave(self, why: str) -> None:
        """Say what is missing, as far as that can be known."""
        pages, oldest = self._report.pages, self._progress.oldest
        reached = f", which reached back to {oldest:%Y-%m-%d %H:%M} UTC" if oldest else ""
        where = f"what is listed after page {pages}{reached}" if pages else "the list"
        self._report = replace(self._report, not_reached=f"{where}: {why}")


class Sweeps:
    """A sweep now and then: `interval` after the last that reached the end, soon after one that did not.

    An `interval` of None: none.
    """

    def __init__(self, discovery: Discovery, interval: timedelta | None, clock: Clock) -> None:
        self._discovery, self._interval, self._clock = discovery, interval, clock
        self._due: datetime | None = None
        self.last: Report | None = None

    async def tick(self) -> None:
        """Sweep when it is time; raises StoreError. It may be cancelled: the next one goes on from there."""
        if self._interval is None:
            return
        if self._due is None:
            completed_at = await self._discovery.completed_at()
            self._due = completed_at + self._interval if completed_at else self._clock()
        if self._clock() >= self._due:
            await self._sweep(self._interval)

    def set_interval(self, interval: timedelta | None) -> None:
        """Sweep at another interval from now on."""
        if interval != self._interval:
            self._interval, self._due = interval, None

    async def _sweep(self, interval: timedelta) -> None:
        soon = min(interval, SOON)
        self._due = self._clock() + soon
        report = await self._discovery.sweep()
        told_before = self.last is not None and self.last.not_reached is not None
        self.last = report
        if report.not_reached is None:
            self._due = None  # the next tick knows when it ended, and which interval holds then
        elif not told_before:
            log.warning(
                "discovery interrupted", not_reached=report.not_reached, again_in=soon.total_seconds()
            )
