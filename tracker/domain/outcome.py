"""All that one observation does to one translation, put together from the rules."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from tracker.domain.links import LinkKind, Move, expires_at, moved, renewal
from tracker.domain.observation import Details, Observation, ProblemKind
from tracker.domain.schedule import Schedule, Tempo, next_poll
from tracker.domain.status import Attention, Source, Status
from tracker.domain.transitions import Change, contradicts, decide, settles_conflict
from tracker.domain.translation import Translation

NOT_FOUND_POLLS = 3
NOT_FOUND_FOR = timedelta(minutes=2)
EVENT_TIME_TRUSTED_FOR = timedelta(days=30)
LINKS = {kind.column: kind for kind in LinkKind}
OF_THE_END = frozenset({"message", *LINKS})


class DeliveryOutcome(StrEnum):
    """What became of an observation, or of the delivery that brought it."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    HINT = "hint"
    IGNORED = "ignored"  # authentic, but of another product
    UNKNOWN = "unknown"  # of our product, but it names no translation that can be found
    ERROR = "error"  # authentic, but unusable


@dataclass(frozen=True, slots=True)
class Outcome:
    """The change, if any, the columns to write, by name, and the links that lead elsewhere now."""

    change: Change | None
    updates: dict[str, object] = field(repr=False)  # may hold a signed url
    outcome: DeliveryOutcome
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class _Failing:
    """How many polls in a row learnt nothing, since when, and why the latest did not."""

    count: int = 0
    since: datetime | None = None
    error: str | None = None


def determine_outcome(
    current: Translation, seen: Observation, schedule: Schedule, tempo: Tempo | None = None
) -> Outcome:
    """Everything that `seen` does to `current`; nothing is read but the arguments."""
    change = decide(current, seen)
    updates = _forgotten(change) | _told(current, seen, change) | _ending(seen, change)
    failing = _failing(current, seen, change)
    attention = _attention(current, seen, change, updates.get("url", current.details.url), failing, schedule)
    due = next_poll(
        schedule, current, seen, change, attention, failures=failing.count, tempo=tempo or Tempo()
    )
    updates |= _differing(
        current,
        attention=attention,
        poll_failures=failing.count,
        failing_since=failing.since,
        last_error=failing.error,
        next_poll_at=due,
    )
    if "attention" in updates:
        updates["attention_since"] = attention and seen.observed_at
    outcome = _outcome(seen, change, updates)
    updates |= _renewal(current, seen, change, updates)
    if seen.source is Source.POLL:
        updates |= {"last_polled_at": seen.observed_at, "poll_count": current.poll_count + 1}
    return Outcome(change, updates, outcome, _moves(current, change, updates))


def _told(current: Translation, seen: Observation, change: Change | None) -> dict[str, object]:
    """The details that may be believed: a webhook fills blanks, HeyGen's own answer or a change replaces."""
    if seen.hint and seen.authentic and seen.callback_id is not None and current.callback_id is None:
        return {"callback_id": seen.callback_id}
    if seen.hint or seen.problem or (contradicts(current, seen) and not change):
        return {}
    backward = change is None and seen.status is not None and seen.status is not current.status
    told: dict[str, object] = {}
    for name in (column.name for column in fields(Details)):
        if not (backward and name in OF_THE_END):
            told |= _told_detail(current, seen, change, name)
    if not backward and seen.provider_status not in (None, current.provider_status):
        told["provider_status"] = seen.provider_status
    if seen.callback_id is not None and current.callback_id is None:
        told["callback_id"] = seen.callback_id
    return told


def _told_detail(
    current: Translation, seen: Observation, change: Change | None, name: str
) -> dict[str, object]:
    """One field, and for a link until when it works. One that is given again as it was lasts from now on."""
    value, known = getattr(seen.details, name), getattr(current.details, name)
    if change is not None and change.old.is_final and name in OF_THE_END:
        known = None
    if value is None or not (known is None or change is not None or seen.source.asks_heygen):
        return {}
    lasting = _lasting(seen, LINKS[name], value) if name in LINKS else {}
    if value != known:
        return {name: value} | lasting
    return _differing(current, **lasting) if seen.source.asks_heygen else {}


def _lasting(seen: Observation, kind: LinkKind, url: str) -> dict[str, object]:
    """Until when the link works, by its own word or from when it was told on."""
    fetched_at = _happened_at(seen)  # an event from the log has an old link
    lasting: dict[str, object] = {kind.expiry_column: expires_at(url, fetched_at)}
    if kind is LinkKind.VIDEO:
        lasting["url_fetched_at"] = fetched_at
    return lasting


def _moves(current: Translation, change: Change | None, updates: dict[str, object]) -> tuple[Move, ...]:
    """The links that lead elsewhere now. Those of an end that is left are forgotten, and moved nowhere."""
    if change is not None and change.old.is_final:
        return ()
    told = {kind: cast("str | None", updates.get(column)) for column, kind in LINKS.items()}
    found = (moved(kind, getattr(current.details, kind.column), url) for kind, url in told.items())
    return tuple(move for move in found if move is not None)


def _renewal(
    current: Translation, seen: Observation, change: Change | None, updates: dict[str, object]
) -> dict[str, object]:
    """When the links are to be renewed: known anew with each link, and with each question."""
    status = change.new if change else current.status
    columns = [kind.expiry_column for kind in LinkKind]
    asked = seen.source is Source.POLL and not seen.partial
    if status is not Status.SUCCESS or not (asked or updates.keys() & set(columns)):
        return {}
    ends = [cast("datetime | None", updates.get(name, getattr(current, name))) for name in columns]
    return _differing(current, renew_links_at=renewal(ends, seen.observed_at))


def _forgotten(change: Change | None) -> dict[str, object]:
    """Where an end is left, what belonged to it goes: the loser of a conflict keeps no url and no reason."""
    if change is None or not change.old.is_final:
        return {}
    ends = (kind.expiry_column for kind in LinkKind)
    return dict.fromkeys((*OF_THE_END, *ends, "url_fetched_at", "renew_links_at", "finished_at"))


def _ending(seen: Observation, change: Change | None) -> dict[str, object]:
    """When it ended: HeyGen's own time where it gives a credible one, else when we saw the end."""
    if change is None or not change.new.is_final:
        return {}
    return {"finished_at": _happened_at(seen)}


def _happened_at(seen: Observation) -> datetime:
    """HeyGen's own time where it gives a credible one, else when we saw it."""
    said = seen.occurred_at
    credible = said is not None and timedelta(0) <= seen.observed_at - said < EVENT_TIME_TRUSTED_FOR
    return said if said is not None and credible else seen.observed_at


def _failing(current: Translation, seen: Observation, change: Change | None) -> _Failing:
    """Counts polls in a row that learnt nothing; any word of HeyGen about this translation ends the row."""
    if seen.source is Source.POLL and (seen.problem or _is_stale_about_end(current, seen)):
        error = str(seen.problem) if seen.problem and not current.status.is_final else None
        same_kind = _kind(error) == _kind(current.last_error)
        since = current.failing_since if same_kind else None
        return _Failing((current.poll_failures if same_kind else 0) + 1, since or seen.observed_at, error)
    if seen.is_informed or change:
        return _Failing()
    return _Failing(current.poll_failures, current.failing_since, current.last_error)


def _is_stale_about_end(current: Translation, seen: Observation) -> bool:
    """The status endpoint has not caught up yet with an end that a webhook reported."""
    return current.status.is_final and (seen.status is None or not seen.status.is_final)


def _attention(
    current: Translation,
    seen: Observation,
    change: Change | None,
    url: object,
    failing: _Failing,
    schedule: Schedule,
) -> Attention | None:
    """The most pressing reason for a person to look, or None."""
    status = change.new if change else current.status
    if contradicts(current, seen) and not change:
        return Attention.CONFLICT
    if current.attention is Attention.CONFLICT and not change and not settles_conflict(current, seen):
        return Attention.CONFLICT
    if status.is_final:
        known = current.attention is Attention.URL_MISSING or not seen.partial
        return Attention.URL_MISSING if status is Status.SUCCESS and not url and known else None
    return _attention_while_open(current, seen, change, failing, schedule)


def _attention_while_open(
    current: Translation, seen: Observation, change: Change | None, failing: _Failing, schedule: Schedule
) -> Attention | None:
    kind = seen.problem.kind if seen.problem else None
    lost = failing.since is not None and seen.observed_at - failing.since >= NOT_FOUND_FOR
    if kind is ProblemKind.INVALID_ID:
        return Attention.INVALID_ID
    if kind is ProblemKind.NOT_FOUND and lost and failing.count >= NOT_FOUND_POLLS:
        return Attention.NOT_FOUND
    sticky = current.attention in (Attention.NOT_FOUND, Attention.INVALID_ID)
    if sticky and not seen.is_informed and not change:
        return current.attention
    return Attention.OVERDUE if seen.observed_at - current.started_at > schedule.overdue_after else None


def _outcome(seen: Observation, change: Change | None, updates: dict[str, object]) -> DeliveryOutcome:
    if seen.hint:
        return DeliveryOutcome.HINT
    return DeliveryOutcome.APPLIED if change or updates else DeliveryOutcome.UNCHANGED


def _kind(error: str | None) -> str | None:
    return error.partition(":")[0] if error else None


def _differing(current: Translation, **wanted: object) -> dict[str, object]:
    return {name: value for name, value in wanted.items() if getattr(current, name) != value}
