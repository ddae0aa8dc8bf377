"""When to poll a translation next: pure functions of its age and state."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation

AGE_SHARE = 1 / 30  # at 30 minutes of age: once a minute
JITTER = 0.05  # spreads translations that were created together
DAILY = timedelta(days=1)
CONFIRMATIONS = 8  # polls that fail to confirm a completion reported by a webhook, before we accept it
STRETCHES = (
    (10, 4.0),
    (5, 2.0),
)  # completions in a row reported by webhook, and the factor for the intervals
PROBE_LAST = timedelta(minutes=5)
YOUNG = timedelta(minutes=30)  # the age up to which max_staleness holds
MOST_DOUBLINGS = 16
MARGIN = 0.9  # of max_staleness is planned; the rest covers tick, rate limiter and jitter


@dataclass(frozen=True, slots=True)
class Schedule:
    """The bounds of polling, from the settings."""

    min_interval: timedelta = timedelta(seconds=15)
    max_interval: timedelta = timedelta(seconds=600)
    overdue_after: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=7)
    max_staleness: timedelta = timedelta(seconds=60)

    @property
    def longest_while_young(self) -> timedelta:
        """The longest interval that keeps max_staleness."""
        return max(self.max_staleness * MARGIN, self.min_interval)


@dataclass(frozen=True, slots=True)
class Tempo:
    """What lengthens the intervals: reliable webhooks, and the shortest intervals the rate limit allows."""

    stretch: float = 1.0
    young: timedelta = timedelta(0)
    old: timedelta = timedelta(0)


def webhook_stretch(end_sources: Sequence[Source]) -> float:
    """The factor by which polling may be slower, from the sources of the latest completions, oldest first.

    It grows with the completions in a row that webhooks reported first; one found by a poll resets it.
    """
    in_a_row = 0
    for source in reversed(end_sources):
        if source is not Source.WEBHOOK:
            break
        in_a_row += 1
    return next((stretch for needed, stretch in STRETCHES if in_a_row >= needed), 1.0)


def interval(
    schedule: Schedule, age: timedelta, *, failures: int = 0, tempo: Tempo | None = None
) -> timedelta:
    """Short while young, later proportional to age, longer while polls fail, daily in the end.

    A young translation is polled often enough for max_staleness, even if webhooks are reliable or polls
    fail. Only the rate limit takes precedence.
    """
    tempo = tempo or Tempo()
    if age > schedule.give_up_after:
        return DAILY
    wanted = _clamp(schedule, max(age, timedelta(0)) * AGE_SHARE * tempo.stretch)
    if failures:
        wanted = max(wanted, back_off(failures + 1, schedule.min_interval, schedule.max_interval))
    if age < YOUNG:
        wanted = min(wanted, schedule.longest_while_young)
    return max(wanted, tempo.young if age < YOUNG else tempo.old)


def next_poll(
    schedule: Schedule,
    current: Translation,
    observation: Observation,
    change: Change | None,
    attention: Attention | None,
    *,
    failures: int,
    tempo: Tempo,
) -> datetime | None:
    """When to poll next after `observation`; None if nothing is left to find out."""
    now = observation.observed_at
    status = change.new if change else current.status
    if observation.source is not Source.POLL:
        return _after_report(current, observation, change, attention)
    if current.next_poll_at is not None and current.next_poll_at > now:
        return current.next_poll_at  # set during the poll, by a newer observation
    if not status.is_final:
        age = now - current.started_at
        return now + _jittered(schedule, interval(schedule, age, failures=failures, tempo=tempo), current)
    if observation.partial and observation.status is status:
        return min(now, current.next_poll_at or now)  # still due: a request for it alone returns the urls
    settled = observation.status is status or current.next_poll_at is None  # polled for links only
    if attention is None and (settled or failures >= CONFIRMATIONS):
        return None
    since_end = now - (current.finished_at or now)
    if since_end > schedule.give_up_after:
        return now + DAILY
    return now + min(max(since_end, 2 * schedule.min_interval), schedule.max_interval)


def probe_after(schedule: Schedule, attempt: int) -> timedelta:
    """How long the account stays paused before probe number `attempt`, counted from 0."""
    return back_off(attempt + 1, schedule.min_interval, min(schedule.max_interval, PROBE_LAST))


def back_off(failures: int, first: timedelta, longest: timedelta) -> timedelta:
    """The wait after `failures` in a row: `first`, then twice as long each time, at most `longest`."""
    return min(first * (1 << min(max(failures - 1, 0), MOST_DOUBLINGS)), longest)


def _after_report(
    current: Translation, observation: Observation, change: Change | None, attention: Attention | None
) -> datetime | None:
    """After a webhook, list entry or manual entry: poll at once if the status endpoint has more to say."""
    status = change.new if change else current.status
    if (
        observation.source is Source.LIST
        and attention is None
        and status.is_final
        and status is observation.status
    ):
        return None  # the list has everything that the status endpoint has
    raised_conflict = attention is Attention.CONFLICT and current.attention is not Attention.CONFLICT
    hinted = observation.hint and (not current.status.is_final or observation.source is Source.MANUAL)
    if change is None and not raised_conflict and not hinted:
        return current.next_poll_at
    return min(observation.observed_at, current.next_poll_at or observation.observed_at)


def _jittered(schedule: Schedule, wanted: timedelta, current: Translation) -> timedelta:
    """Vary by up to JITTER either way, deterministically: the jitter comes from a hash."""
    if wanted == DAILY:
        return wanted
    share = zlib.crc32(f"{current.id}:{current.poll_count}".encode()) / 2**32
    longest = max(wanted, schedule.max_interval)
    return min(max(wanted * (1 - JITTER + 2 * JITTER * share), schedule.min_interval), longest)


def _clamp(schedule: Schedule, wanted: timedelta) -> timedelta:
    return min(max(wanted, schedule.min_interval), schedule.max_interval)
