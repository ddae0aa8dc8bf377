"""The outcome of one observation for one translation: status, columns, attention and next poll."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from tracker.domain.links import LinkKind, Move, expires_at, moved, renewal
from tracker.domain.observation import Details, Observation, ProblemKind
from tracker.domain.schedule import Schedule, Tempo, next_poll
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change, contradicts, determine_change, settles_conflict
from tracker.domain.translation import Translation

NOT_FOUND_POLLS = 3
NOT_FOUND_FOR = timedelta(minutes=2)
EVENT_TIME_TRUSTED_FOR = timedelta(days=30)
LINKS = {kind.column: kind for kind in LinkKind}
FINAL_COLUMNS = frozenset({"message", *LINKS})


class DeliveryOutcome(StrEnum):
    """What an observation, or its delivery, led to."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    HINT = "hint"
    IGNORED = "ignored"  # authentic, but about another product
    UNKNOWN = "unknown"  # about a translation that cannot be identified
    ERROR = "error"  # authentic, but unusable


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status change, if any, the values to write by column, and the links to a new location."""

    change: Change | None
    updates: dict[str, object] = field(repr=False)  # may hold a signed url
    outcome: DeliveryOutcome
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class _Failures:
    """How many polls in a row returned no status, since when, and the error of the latest."""

    count: int = 0
    since: datetime | None = None
    error: str | None = None


def determine_outcome(
    current: Translation, observation: Observation, schedule: Schedule, tempo: Tempo | None = None
) -> Outcome:
    """Everything that `observation` does to `current`. Pure: depends on the arguments alone."""
    change = determine_change(current, observation)
    updates = _cleared(change) | _believed(current, observation, change) | _finish_time(observation, change)
    failures = _count_failures(current, observation, change)
    attention = _attention(
        current, observation, change, updates.get("url", current.details.url), failures, schedule
    )
    due = next_poll(
        schedule, current, observation, change, attention, failures=failures.count, tempo=tempo or Tempo()
    )
    updates |= _changed_values(
        current,
        attention=attention,
        poll_failures=failures.count,
        failing_since=failures.since,
        last_error=failures.error,
        next_poll_at=due,
    )
    if "attention" in updates:
        updates["attention_since"] = attention and observation.observed_at
    outcome = _delivery_outcome(observation, change, updates)
    updates |= _renewal(current, observation, change, updates)
    if observation.source is Source.POLL:
        updates |= {"last_polled_at": observation.observed_at, "poll_count": current.poll_count + 1}
    return Outcome(change, updates, outcome, _moves(current, change, updates))


def _believed(current: Translation, observation: Observation, change: Change | None) -> dict[str, object]:
    """The details to store: a webhook only fills gaps; a response of HeyGen or a status change overwrites."""
    names_callback = observation.callback_id is not None and current.callback_id is None
    if observation.hint and observation.authentic and names_callback:
        return {"callback_id": observation.callback_id}
    if observation.hint or observation.problem or (contradicts(current, observation) and not change):
        return {}
    is_late = change is None and observation.status is not None and observation.status is not current.status
    values: dict[str, object] = {}
    for name in (column.name for column in fields(Details)):
        if not (is_late and name in FINAL_COLUMNS):
            values |= _believed_detail(current, observation, change, name)
    if not is_late and observation.provider_status not in (None, current.provider_status):
        values["provider_status"] = observation.provider_status
    if names_callback:
        values["callback_id"] = observation.callback_id
    return values


def _believed_detail(
    current: Translation, observation: Observation, change: Change | None, name: str
) -> dict[str, object]:
    """A field and, for a link, its expiry, which starts anew when HeyGen returns the same link again."""
    value, known = getattr(observation.details, name), getattr(current.details, name)
    if change is not None and change.old.is_final and name in FINAL_COLUMNS:
        known = None
    if value is None or not (known is None or change is not None or observation.source.asks_heygen):
        return {}
    expiry = _link_expiry(observation, LINKS[name], value) if name in LINKS else {}
    if value != known:
        return {name: value} | expiry
    return _changed_values(current, **expiry) if observation.source.asks_heygen else {}


def _link_expiry(observation: Observation, kind: LinkKind, url: str) -> dict[str, object]:
    """When the link expires: as the url says, else a fixed time after it was received."""
    fetched_at = _event_time(observation)  # an entry of the event log has an old link
    expiry: dict[str, object] = {kind.expiry_column: expires_at(url, fetched_at)}
    if kind is LinkKind.VIDEO:
        expiry["url_fetched_at"] = fetched_at
    return expiry


def _moves(current: Translation, change: Change | None, updates: dict[str, object]) -> tuple[Move, ...]:
    """The links that point to a new location. If a final status is left its links are cleared, not moved."""
    if change is not None and change.old.is_final:
        return ()
    urls = {kind: cast("str | None", updates.get(column)) for column, kind in LINKS.items()}
    moves = (moved(kind, getattr(current.details, kind.column), url) for kind, url in urls.items())
    return tuple(move for move in moves if move is not None)


def _renewal(
    current: Translation, observation: Observation, change: Change | None, updates: dict[str, object]
) -> dict[str, object]:
    """When to renew the links: recalculated with each new link and each poll."""
    status = change.new if change else current.status
    columns = [kind.expiry_column for kind in LinkKind]
    is_polled = observation.source is Source.POLL and not observation.partial
    if status is not Status.SUCCESS or not (is_polled or updates.keys() & set(columns)):
        return {}
    expiries = [cast("datetime | None", updates.get(name, getattr(current, name))) for name in columns]
    return _changed_values(current, renew_links_at=renewal(expiries, observation.observed_at))


def _cleared(change: Change | None) -> dict[str, object]:
    """The columns to clear if a final status is left: its links, message and times."""
    if change is None or not change.old.is_final:
        return {}
    expiries = (kind.expiry_column for kind in LinkKind)
    return dict.fromkeys((*FINAL_COLUMNS, *expiries, "url_fetched_at", "renew_links_at", "finished_at"))


def _finish_time(observation: Observation, change: Change | None) -> dict[str, object]:
    if change is None or not change.new.is_final:
        return {}
    return {"finished_at": _event_time(observation)}


def _event_time(observation: Observation) -> datetime:
    """HeyGen's own time if it is credible, else the time of the observation."""
    reported = observation.occurred_at
    is_credible = (
        reported is not None and timedelta(0) <= observation.observed_at - reported < EVENT_TIME_TRUSTED_FOR
    )
    return reported if reported is not None and is_credible else observation.observed_at


def _count_failures(current: Translation, observation: Observation, change: Change | None) -> _Failures:
    """Counts consecutive polls without a status; any report of HeyGen on this translation resets it."""
    if observation.source is Source.POLL and (observation.problem or _is_behind(current, observation)):
        error = str(observation.problem) if observation.problem and not current.status.is_final else None
        same_kind = _kind(error) == _kind(current.last_error)
        since = current.failing_since if same_kind else None
        return _Failures(
            (current.poll_failures if same_kind else 0) + 1, since or observation.observed_at, error
        )
    if observation.is_informed or change:
        return _Failures()
    return _Failures(current.poll_failures, current.failing_since, current.last_error)


def _is_behind(current: Translation, observation: Observation) -> bool:
    """True while the status endpoint has not caught up with a webhook's final status."""
    return current.status.is_final and (observation.status is None or not observation.status.is_final)


def _attention(
    current: Translation,
    observation: Observation,
    change: Change | None,
    url: object,
    failures: _Failures,
    schedule: Schedule,
) -> Attention | None:
    """The most pressing reason for a person to look, or None."""
    status = change.new if change else current.status
    if contradicts(current, observation) and not change:
        return Attention.CONFLICT
    if current.attention is Attention.CONFLICT and not change and not settles_conflict(current, observation):
        return Attention.CONFLICT
    if status.is_final:
        is_confirmed = current.attention is Attention.URL_MISSING or not observation.partial
        return Attention.URL_MISSING if status is Status.SUCCESS and not url and is_confirmed else None
    return _open_attention(current, observation, change, failures, schedule)


def _open_attention(
    current: Translation,
    observation: Observation,
    change: Change | None,
    failures: _Failures,
    schedule: Schedule,
) -> Attention | None:
    kind = observation.problem.kind if observation.problem else None
    is_lasting = failures.since is not None and observation.observed_at - failures.since >= NOT_FOUND_FOR
    if kind is ProblemKind.INVALID_ID:
        return Attention.INVALID_ID
    if kind is ProblemKind.NOT_FOUND and is_lasting and failures.count >= NOT_FOUND_POLLS:
        return Attention.NOT_FOUND
    is_flagged = current.attention in (Attention.NOT_FOUND, Attention.INVALID_ID)
    if is_flagged and not observation.is_informed and not change:
        return current.attention
    age = observation.observed_at - current.started_at
    return Attention.OVERDUE if age > schedule.overdue_after else None


def _delivery_outcome(
    observation: Observation, change: Change | None, updates: dict[str, object]
) -> DeliveryOutcome:
    if observation.hint:
        return DeliveryOutcome.HINT
    return DeliveryOutcome.APPLIED if change or updates else DeliveryOutcome.UNCHANGED


def _kind(error: str | None) -> str | None:
    return error.partition(":")[0] if error else None


def _changed_values(current: Translation, **values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if getattr(current, name) != value}
