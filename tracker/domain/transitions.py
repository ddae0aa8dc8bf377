"""The state machine: whether an observation changes a translation's status."""

from dataclasses import dataclass

from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source, Status
from tracker.domain.translation import Translation


@dataclass(frozen=True, slots=True)
class Change:
    """A status change; `note` says why where a final status is left."""

    old: Status
    new: Status
    note: str | None = None


def decide(current: Translation, seen: Observation) -> Change | None:
    """The change that `seen` makes, or None: backward and repeated observations change nothing."""
    if seen.hint or seen.status is None or seen.status is current.status:
        return None
    if seen.source is Source.MANUAL:
        return _by_hand(current, seen.status)
    if current.status.is_final:
        if not settles_conflict(current, seen):
            return None
        return Change(current.status, seen.status, "conflict settled by the status endpoint")
    return Change(current.status, seen.status) if seen.status.rank > current.status.rank else None


def _by_hand(current: Translation, wanted: Status) -> Change | None:
    """A person reopens what has ended. What HeyGen refused to create has failed: nobody else will tell."""
    if current.status.is_final:
        return Change(current.status, wanted, "reopened by hand")
    return (
        Change(current.status, wanted, "HeyGen refused the submission") if wanted is Status.FAILED else None
    )


def contradicts(current: Translation, seen: Observation) -> bool:
    """True where both name an end, and not the same one."""
    claim = None if seen.hint or seen.source is Source.MANUAL else seen.status
    return claim is not None and claim.is_final and current.status.is_final and claim is not current.status


def settles_conflict(current: Translation, seen: Observation) -> bool:
    """True for the status endpoint's word on an end, asked after the conflict was seen."""
    return (
        current.attention is Attention.CONFLICT
        and current.attention_since is not None
        and seen.source is Source.POLL
        and seen.status is not None
        and seen.status.is_final
        and seen.observed_at > current.attention_since
    )
