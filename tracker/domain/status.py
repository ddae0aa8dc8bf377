"""The statuses of a translation, the sources of observations and the attention flags."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a translation, in the words of HeyGen's v2 status endpoint."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Only a manual reopen or a settled conflict leaves a final status."""
        return self in (Status.SUCCESS, Status.FAILED)

    @property
    def rank(self) -> int:
        """Translations only move to a higher rank: pending, running, final."""
        return {Status.PENDING: 0, Status.RUNNING: 1}.get(self, 2)


OPEN_STATUSES = (Status.PENDING, Status.RUNNING)
FINAL_STATUSES = (Status.SUCCESS, Status.FAILED)


class Source(StrEnum):
    """Where an observation comes from."""

    WEBHOOK = "webhook"
    POLL = "poll"
    EVENT_LOG = "event_log"
    LIST = "list"
    MANUAL = "manual"

    @property
    def asks_heygen(self) -> bool:
        """True for responses to our own requests: they are at least as recent as the request."""
        return self in (Source.POLL, Source.LIST)


# The sources that compete to report each completion; which one is first shows whether webhooks arrive.
# The list, the event log and people may report old completions.
RACING = (Source.WEBHOOK, Source.POLL)


class Attention(StrEnum):
    """Why a person should look at a translation; independent of its status."""

    CONFLICT = "conflict"  # two sources report different final statuses
    INVALID_ID = "invalid_id"  # an id that HeyGen cannot have issued
    NOT_FOUND = "not_found"  # HeyGen reported it several times, over minutes
    URL_MISSING = "url_missing"  # success, but no url yet
    OVERDUE = "overdue"  # still open after overdue_after
