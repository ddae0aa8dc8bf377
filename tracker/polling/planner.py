"""Plans how often to poll: max_staleness, the rate limit and the reliability of webhooks decide."""

from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from tracker.domain.capacity import CapacityPlan, plan_capacity
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import Clock, StatusSource, Store
from tracker.domain.schedule import YOUNG, Schedule
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

PLAN_SECONDS = 10.0
SHARE_SINGLE = 0.9  # of the rate limit, for requests of a single translation, which return everything
SHARE_BULK = 0.5  # a bulk answer has no links: each completion needs its own request


class Mode(StrEnum):
    """The mode of polling."""

    EAGER = "eager"  # webhooks have not proven reliable
    RELAXED = "relaxed"  # webhooks are reliable: older translations are polled less often
    SATURATED = "saturated"  # the rate limit is too low for max_staleness


class Planner:
    """Fits the polls of all open translations into the rate limit (requests per second).

    `hasten_at_start`: without a catch-up, the first tick brings all polls forward.
    """

    def __init__(
        self,
        store: Store,
        tracker: Recorder,
        facts: PollingFacts,
        statuses: StatusSource,
        clock: Clock,
        *,
        schedule: Schedule,
        rate_limit: float,
        hasten_at_start: bool = False,
    ) -> None:
        self._store, self._tracker, self._facts, self._statuses = store, tracker, facts, statuses
        self._clock, self._schedule, self._rate_limit = clock, schedule, rate_limit
        self._stretch = tracker.stretch
        self._planned_at: datetime | None = None
        self._must_hasten = hasten_at_start

    def set_limits(self, schedule: Schedule, rate_limit: float) -> None:
        """Apply a new schedule and rate limit; if polls may now be more frequent, bring them forward."""
        before = self._schedule
        self._must_hasten |= (
            schedule.min_interval < before.min_interval
            or schedule.max_interval < before.max_interval
            or schedule.max_staleness < before.max_staleness
        )
        self._schedule, self._rate_limit, self._planned_at = schedule, rate_limit, None

    @property
    def mode(self) -> Mode:
        plan = self._facts.plan
        if plan is not None and not plan.is_kept:
            return Mode.SATURATED
        return Mode.RELAXED if self._tracker.stretch > 1 else Mode.EAGER

    async def tick(self) -> None:
        """Bring polls forward as soon as webhooks prove unreliable; plan again every PLAN_SECONDS."""
        if self._must_hasten:
            await self._store.hasten(self._soon(), self._schedule.min_interval)
            self._must_hasten = False
        before, stretch = self._stretch, self._tracker.stretch
        if stretch < before:
            await self._store.hasten(self._soon(), self._schedule.min_interval)
            log.warning("webhooks no longer reliable", stretch_before=before, stretch=stretch)
        self._stretch = stretch
        now = self._clock()
        if self._planned_at is None or now - self._planned_at >= timedelta(seconds=PLAN_SECONDS):
            self._planned_at = now
            await self._plan()

    def _soon(self) -> datetime:
        """By when every open translation can be polled: in bulk, at once."""
        now = self._clock()
        return now if self._statuses.batch_size > 1 else now + self._schedule.longest_while_young

    async def _plan(self) -> None:
        batch = self._statuses.batch_size
        capacity = self._rate_limit * batch * (SHARE_BULK if batch > 1 else SHARE_SINGLE)
        young, old = await self._store.count_open(self._clock() - YOUNG)
        before, now = self._facts.plan, plan_capacity(self._schedule, young, old, capacity)
        self._facts.plan = now
        if (before is None or before.is_kept) and not now.is_kept:
            self._log_broken(now, young, old)
        elif before is not None and now.is_kept and not before.is_kept:
            log.warning("max_staleness can be kept", seconds=self._schedule.max_staleness.total_seconds())

    def _log_broken(self, now: CapacityPlan, young: int, old: int) -> None:
        promised = self._schedule.max_staleness
        log.error(
            "max_staleness cannot be kept",
            promised=promised.total_seconds(),
            possible=round(now.staleness.total_seconds(), 1),
            short_by=round((now.staleness - promised).total_seconds(), 1),
            young=young,
            older=old,
            rate_limit=self._rate_limit,
            advice="raise TRACKER_RATE_LIMIT or TRACKER_MAX_STALENESS",
        )
