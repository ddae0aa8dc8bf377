"""When a translation is asked about again: pure functions of its age and of what is known."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source
from tracker.domain.transitions import Change
from tracker.domain.translation import Translation

AGE_SHARE = 1 / 30  # at 30 minutes of age: once a minute
JITTER = 0.05  # spreads what was created together
DAILY = timedelta(days=1)
CONFIRMATIONS = 8  # unanswered questions about an end that a webhook reported, before we let it be
STRETCHES = ((10, 4.0), (5, 2.0))  # so many ends in a row by webhook stretch the intervals so much
PROBE_LAST = timedelta(minutes=5)
YOUNG = timedelta(minutes=30)  # for so long max_staleness is promised
MOST_DOUBLINGS = 16
MARGIN = 0.9  # of max_staleness is planned; the rest is for the tick, the turn and the jitter


@dataclass(frozen=True, slots=True)
class Schedule:
    """Bounds of polling, as the settings give them."""

    min_interval: timedelta = timedelta(seconds=15)
    max_interval: timedelta = timedelta(seconds=600)
    overdue_after: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=7)
    max_staleness: timedelta = timedelta(seconds=60)

    @property
    def longest_while_young(self) -> timedelta:
        """The longest interval that keeps the promise of max_staleness."""
        return max(self.max_staleness * MARGIN, self.min_interval)


@dataclass(frozen=True, slots=True)
class Tempo:
    """What lengthens the intervals: trust in webhooks, and the least the rate limit allows, by age."""

    stretch: float = 1.0
    young: timedelta = timedelta(0)
    old: timedelta = timedelta(0)


def webhook_stretch(end_sources: Sequence[Source]) -> float:
    """How much slower we may poll, judged by who first reported the latest ends, oldest first.

    Trust grows with every end in a row that a webhook reported first, and one that polling had to
    find takes it away.
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
    """Eager while young, in proportion to age later, backing off while polls fail, daily at last.

    A young one is asked often enough for max_staleness, whatever webhooks have proven and polls have
    failed; only the rate limit is stronger.
    """
    tempo = tempo or Tempo()
    if age > schedule.give_up_after:
        return DAILY
    wanted = _bounded(schedule, max(age, timedelta(0)) * AGE_SHARE * tempo.stretch)
    if failures:
        wanted = max(wanted, back_off(failures + 1, schedule.min_interval, schedule.max_interval))
    if age < YOUNG:
        wanted = min(wanted, schedule.longest_while_young)
    return max(wanted, tempo.young if age < YOUNG else tempo.old)


def next_poll(
    schedule: Schedule,
    current: Translation,
    seen: Observation,
    change: Change | None,
    attention: Attention | None,
    *,
    failures: int,
    tempo: Tempo,
) -> datetime | None:
    """When to ask again after `seen`; None where there is nothing left to learn."""
    now = seen.observed_at
    status = change.new if change else current.status
    if seen.source is not Source.POLL:
        return _after_telling(current, seen, change, attention)
    if current.next_poll_at is not None and current.next_poll_at > now:
        return current.next_poll_at  # whoever set it while we asked knows something newer
    if not status.is_final:
        age = now - current.started_at
        return now + _jittered(schedule, interval(schedule, age, failures=failures, tempo=tempo), current)
    if seen.partial and seen.status is status:
        return min(now, current.next_poll_at or now)  # still due: a question of its own has the urls
    settled = seen.status is status or current.next_poll_at is None  # the latter: asked for its links alone
    if attention is None and (settled or failures >= CONFIRMATIONS):
        return None
    since_end = now - (current.finished_at or now)
    if since_end > schedule.give_up_after:
        return now + DAILY
    return now + min(max(since_end, 2 * schedule.min_interval), schedule.max_interval)


def probe_after(schedule: Schedule, attempt: int) -> timedelta:
    """How long polling rests before it tries again whether the account works (0 is the first time)."""
    return back_off(attempt + 1, schedule.min_interval, min(schedule.max_interval, PROBE_LAST))


def back_off(failures: int, first: timedelta, longest: timedelta) -> timedelta:
    """How long to wait after `failures` in a row: `first`, then twice as long each time, up to `longest`."""
    return min(first * (1 << min(max(failures - 1, 0), MOST_DOUBLINGS)), longest)


def _after_telling(
    current: Translation, seen: Observation, change: Change | None, attention: Attention | None
) -> datetime | None:
    """After somebody told us something: ask at once where the status endpoint has more to say."""
    status = change.new if change else current.status
    if seen.source is Source.LIST and attention is None and status.is_final and status is seen.status:
        return None  # the list names everything that the status endpoint does
    raised_conflict = attention is Attention.CONFLICT and current.attention is not Attention.CONFLICT
    hinted = seen.hint and (not current.status.is_final or seen.source is Source.MANUAL)
    if change is None and not raised_conflict and not hinted:
        return current.next_poll_at
    return min(seen.observed_at, current.next_poll_at or seen.observed_at)


def _jittered(schedule: Schedule, wanted: timedelta, current: Translation) -> timedelta:
    """Spread by up to JITTER either way, by a hash, so that the same input gives the same answer."""
    if wanted == DAILY:
        return wanted
    share = zlib.crc32(f"{current.id}:{current.poll_count}".encode()) / 2**32
    longest = max(wanted, schedule.max_interval)
    return min(max(wanted * (1 - JITTER + 2 * JITTER * share), schedule.min_interval), longest)


def _bounded(schedule: Schedule, wanted: timedelta) -> timedelta:
    return min(max(wanted, schedule.min_interval), schedule.max_interval)
