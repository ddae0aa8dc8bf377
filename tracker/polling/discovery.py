"""Discovery: reads the account's list of translations, binds and adopts them."""

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

KEY = "discovery"
SOON = timedelta(minutes=10)  # until an interrupted sweep resumes


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a sweep. `not_reached` says what it did not read, and why. A resumed sweep may count
    pages twice, because newer translations have moved them back."""

    listed: int = 0
    new: int = 0
    bound: int = 0
    changed: int = 0
    failed: int = 0
    pages: int = 0
    not_reached: str | None = None


@dataclass(frozen=True, slots=True)
class _Progress:
    """The stored progress: where an unfinished sweep resumes, when it began, and how far back it got.

    `adopt`: what it adopted; a sweep that adopts otherwise starts from the beginning.
    """

    token: str | None = None
    adopt: str | None = None
    began_at: datetime | None = None
    oldest: datetime | None = None
    completed_at: datetime | None = None

    @classmethod
    def of(cls, stored: Any) -> "_Progress":
        stored = stored if isinstance(stored, dict) else {}
        token, adopt = (
            text if isinstance(text := stored.get(name), str) else None for name in ("token", "adopt")
        )
        moments = (as_moment(stored.get(name)) for name in ("began_at", "oldest", "completed_at"))
        return cls(token, adopt, *moments)

    def as_json(self) -> dict[str, str | None]:
        values = asdict(self)
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


class Discovery:
    """Sweeps through the list. An interrupted sweep resumes where it stopped, also in another process that
    adopts the same.

    `on_page` gets the report after each page. Translations that `keep` would delete are not adopted.
    """

    def __init__(
        self,
        tracker: Recorder,
        listing: Listing,
        key_values: KeyValueStore,
        clock: Clock,
        adopt: Adoption,
        on_page: Callable[[Report], None] = lambda _report: None,
        keep: Callable[[], Keep] = Keep,
    ) -> None:
        self._tracker, self._listing, self._key_values, self._clock = tracker, listing, key_values, clock
        self._adopt, self._on_page, self._keep = adopt, on_page, keep
        self._report = Report()
        self._progress = _Progress()

    async def sweep(self, *, restart: bool = False) -> Report:
        """Read the whole list, or the rest of it after an interruption. Raises only StoreError.

        New translations are usually first, but HeyGen does not promise it. A resumed sweep reads the first
        pages back to the time when it began, then resumes where it stopped.
        """
        self._report, self._progress = Report(), _Progress.of(await self._key_values.recall(KEY))
        try:
            await self._resume_or_begin(restart=restart)
        except HeyGenError as error:
            self._report_unread(str(error))
        log.info("discovery ended", adopt=str(self._adopt), **asdict(self._report))
        return self._report

    async def completed_at(self) -> datetime | None:
        """When a sweep last reached the end of the list; None for never."""
        return _Progress.of(await self._key_values.recall(KEY)).completed_at

    async def _resume_or_begin(self, *, restart: bool) -> None:
        token, began_at, adopt = self._progress.token, self._progress.began_at, str(self._adopt)
        restart = restart or self._progress.adopt != adopt
        if token is not None and began_at is not None and not restart:
            if await self._look_at_front(began_at):
                return
            try:
                await self._read(token)
            except RefusedError as error:
                if self._progress.token != token:  # HeyGen accepted it and rejected a later token
                    raise
                log.warning("discovery restarted", because=str(error))
            else:
                return
        self._progress = replace(self._progress, token=None, adopt=adopt, began_at=self._clock(), oldest=None)
        await self._read(None)

    async def _look_at_front(self, since: datetime) -> bool:
        """Read the translations listed since then; True if that was the whole list."""
        now, horizon, walk = self._clock(), Horizon(since - OVERLAP), Walk(self._listing, self._clock)
        async for page in walk:
            await self._record(page)
            if horizon.is_passed(page):
                self._progress = replace(self._progress, began_at=now)
                return False
            if not horizon.in_order:  # new translations may be anywhere, also in the rest of the list
                return False
        if walk.cut is None:
            await self._complete()
        return walk.cut is None

    async def _read(self, token: str | None) -> None:
        """Read from `token` to the end, and store the progress after each page."""
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
            self._report_unread(walk.cut)

    async def _record(self, page: Page) -> None:
        """Record one page in one transaction."""
        records = [
            Record(observation=observation, adopt=self._adopts(observation))
            for observation in page.observations
        ]
        results = await record_page(self._tracker, records, self._remember)
        stored = [result for result in results if result is not None]
        known = self._report
        self._report = replace(
            known,
            listed=known.listed + len(records) + page.unreadable,
            new=known.new + sum(result.is_new for result in stored),
            bound=known.bound + sum(result.is_bound for result in stored),
            changed=known.changed + sum(result.change is not None for result in stored),
            failed=known.failed + page.unreadable + len(results) - len(stored),
            pages=known.pages + 1,
        )
        self._on_page(self._report)

    def _adopts(self, observation: Observation) -> bool:
        return self._adopt.takes(observation) and not self._keep().is_past(observation, self._clock())

    async def _remember(self) -> None:
        await self._key_values.remember(KEY, self._progress.as_json())

    async def _complete(self) -> None:
        self._progress = replace(self._progress, token=None, completed_at=self._clock())
        await self._remember()

    def _report_unread(self, reason: str) -> None:
        """Report which part of the list was not read, as far as it is known."""
        pages, oldest = self._report.pages, self._progress.oldest
        reached = f", which reached back to {oldest:%Y-%m-%d %H:%M} UTC" if oldest else ""
        where = f"what is listed after page {pages}{reached}" if pages else "the list"
        self._report = replace(self._report, not_reached=f"{where}: {reason}")


class Sweeps:
    """Sweeps regularly: `interval` after a sweep that reached the end, SOON after one that did not.

    An `interval` of None means no sweeps.
    """

    def __init__(self, discovery: Discovery, interval: timedelta | None, clock: Clock) -> None:
        self._discovery, self._interval, self._clock = discovery, interval, clock
        self._due: datetime | None = None
        self.last: Report | None = None

    async def tick(self) -> None:
        """Sweep if one is due; raises StoreError. May be cancelled: the next sweep resumes there."""
        if self._interval is None:
            return
        if self._due is None:
            completed_at = await self._discovery.completed_at()
            self._due = completed_at + self._interval if completed_at else self._clock()
        if self._clock() >= self._due:
            await self._sweep(self._interval)

    def set_interval(self, interval: timedelta | None) -> None:
        """Set the interval between sweeps."""
        if interval != self._interval:
            self._interval, self._due = interval, None

    async def _sweep(self, interval: timedelta) -> None:
        soon = min(interval, SOON)
        self._due = self._clock() + soon
        report = await self._discovery.sweep()
        was_interrupted = self.last is not None and self.last.not_reached is not None
        self.last = report
        if report.not_reached is None:
            self._due = None  # the next tick computes it, with the interval of that time
        elif not was_interrupted:
            log.warning(
                "discovery interrupted", not_reached=report.not_reached, again_in=soon.total_seconds()
            )
