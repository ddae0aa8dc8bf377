"""The four status words, and which of them may follow which."""

from enum import StrEnum


class Status(StrEnum):
    """Where a translation stands; the words are those of HeyGen's v2 status endpoint."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Final statuses are left only by a manual reopen or a settled conflict."""
        return self in (Status.SUCCESS, Status.FAILED)

    @property
    def rank(self) -> int:
        """Translations only move to a higher rank: pending, running, an end."""
        return {Status.PENDING: 0, Status.RUNNING: 1}.get(self, 2)


OPEN_STATUSES = (Status.PENDING, Status.RUNNING)
FINAL_STATUSES = (Status.SUCCESS, Status.FAILED)


class Source(StrEnum):
    """Who made an observation."""

    WEBHOOK = "webhook"
    POLL = "poll"
    EVENT_LOG = "event_log"
    LIST = "list"
    MANUAL = "manual"

    @property
    def asks_heygen(self) -> bool:
        """True where we asked and HeyGen answered, so that the answer is no older than our question."""
        return self in (Source.POLL, Source.LIST)


# Who is in a race for each end, so that who was first tells whether webhooks arrive. The list, the event
# log and people tell of ends that may be old.
RACING = (Source.WEBHOOK, Source.POLL)


class Attention(StrEnum):
    """Why a person should look at a translation; never a status."""

    CONFLICT = "conflict"  # two sources claim different ends
    INVALID_ID = "invalid_id"  # an id that HeyGen cannot have given out
    NOT_FOUND = "not_found"  # HeyGen said so several times, over minutes
    URL_MISSING = "url_missing"  # success, but no url yet
    OVERDUE = "overdue"  # still open after overdue_after
