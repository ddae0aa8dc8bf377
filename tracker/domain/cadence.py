"""When a translation is asked about again: pure functions of its age and of what is known."""

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.domain.decide import Change
from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source
from tracker.domain.translation import Translation

AGE_SHARE = 1 / 30  # at 30 minutes of age: once a minute
JITTER = 0.1  # spreads what was created together
DAILY = timedelta(days=1)
CONFIRMATIONS = 8  # unanswered questions about an end that a webhook reported, before we let it be
TRUSTED_STRETCH = 4.0
TRUST_NEEDS_ENDS = 5
TRUST_SHARE = 0.9
PROBE_LAST = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Cadence:
    """Bounds of polling, as the settings give them."""

    min_interval: timedelta = timedelta(seconds=15)
    max_interval: timedelta = timedelta(seconds=600)
    overdue_after: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=7)


def webhook_stretch(end_sources: Collection[Source]) -> float:
    """How much slower we may poll, judged by who first reported the latest ends."""
    if len(end_sources) < TRUST_NEEDS_ENDS:
        return 1.0
    reported = sum(source is Source.WEBHOOK for source in end_sources)
    return TRUSTED_STRETCH if reported / len(end_sources) >= TRUST_SHARE else 1.0


def interval(cadence: Cadence, age: timedelta, *, failures: int = 0, stretch: float = 1.0) -> timedelta:
    """Eager while young, in proportion to age later, backing off while polls fail, daily at last."""
    if age > cadence.give_up_after:
        return DAILY
    wanted = max(age, timedelta(0)) * AGE_SHARE * stretch
    backed_off = cadence.min_interval * (1 << min(failures, 16)) if failures else timedelta(0)
    return _bounded(cadence, max(wanted, backed_off))


def next_poll(
    cadence: Cadence,
    current: Translation,
    seen: Observation,
    change: Change | None,
    attention: Attention | None,
    *,
    failures: int,
    stretch: float,
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
        return now + _jittered(cadence, interval(cadence, age, failures=failures, stretch=stretch), current)
    settled = seen.status is status and attention is None
    if settled or (attention is None and failures >= CONFIRMATIONS):
        return None
    since_end = now - (current.finished_at or now)
    if since_end > cadence.give_up_after:
        return now + DAILY
    return now + min(max(since_end, 2 * cadence.min_interval), cadence.max_interval)


def probe_after(cadence: Cadence, attempt: int) -> timedelta:
    """How long polling rests before it tries again whether the account works (0 is the first time)."""
    return min(cadence.min_interval * (1 << min(attempt, 16)), cadence.max_interval, PROBE_LAST)


def _after_telling(
    current: Translation, seen: Observation, change: Change | None, attention: Attention | None
) -> datetime | None:
    """After somebody told us something: ask at once where the status endpoint has more to say."""
    raised_conflict = attention is Attention.CONFLICT and current.attention is not Attention.CONFLICT
    hinted = seen.hint and (not current.status.is_final or seen.source is Source.MANUAL)
    if change is None and not raised_conflict and not hinted:
        return current.next_poll_at
    return min(seen.observed_at, current.next_poll_at or seen.observed_at)


def _jittered(cadence: Cadence, wanted: timedelta, current: Translation) -> timedelta:
    """Spread by up to JITTER either way, by a hash, so that the same input gives the same answer."""
    if wanted == DAILY:
        return wanted
    share = zlib.crc32(f"{current.id}:{current.poll_count}".encode()) / 2**32
    return _bounded(cadence, wanted * (1 - JITTER + 2 * JITTER * share))


def _bounded(cadence: Cadence, wanted: timedelta) -> timedelta:
    return min(max(wanted, cadence.min_interval), cadence.max_interval)
