"""The state machine: whether an observation changes a translation's status."""

from dataclasses import dataclass

from tracker.domain.observation import Observation
from tracker.domain.status import Attention, Source, Status
from tracker.domain.translation import Translation


@dataclass(frozen=True, slots=True)
class Change:
    """A status change; `note` says why a final status was left."""

    old: Status
    new: Status
    note: str | None = None


def determine_change(current: Translation, observation: Observation) -> Change | None:
    """The change that `observation` causes, or None: late and repeated observations change nothing."""
    if observation.hint or observation.status is None or observation.status is current.status:
        return None
    if observation.source is Source.MANUAL:
        return _manual_change(current, observation.status)
    if current.status.is_final:
        if not settles_conflict(current, observation):
            return None
        return Change(current.status, observation.status, "conflict settled by the status endpoint")
    is_forward = observation.status.rank > current.status.rank
    return Change(current.status, observation.status) if is_forward else None


def _manual_change(current: Translation, wanted: Status) -> Change | None:
    """A person reopens a finished translation; a submission that HeyGen refused fails."""
    if current.status.is_final:
        return Change(current.status, wanted, "reopened by hand")
    return (
        Change(current.status, wanted, "HeyGen refused the submission") if wanted is Status.FAILED else None
    )


def contradicts(current: Translation, observation: Observation) -> bool:
    """True if both statuses are final and they differ."""
    reported = None if observation.hint or observation.source is Source.MANUAL else observation.status
    return (
        reported is not None
        and reported.is_final
        and current.status.is_final
        and reported is not current.status
    )


def settles_conflict(current: Translation, observation: Observation) -> bool:
    """True for a final status from a poll that was sent after the conflict was detected."""
    return (
        current.attention is Attention.CONFLICT
        and current.attention_since is not None
        and observation.source is Source.POLL
        and observation.status is not None
        and observation.status.is_final
        and observation.observed_at > current.attention_since
    )
