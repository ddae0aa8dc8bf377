"""Decides by proof which dialect of HeyGen's API the account uses. Sends no request."""

from datetime import datetime, timedelta
from typing import NamedTuple

from tracker.heygen import v2, v3

OTHER = {v2.API_VERSION: v3.API_VERSION, v3.API_VERSION: v2.API_VERSION}
PROOFS = 2  # different translations that only the other dialect knows
HOUR = timedelta(hours=1)
REMEMBERED = 10_000  # translations, and so the most extra requests an hour


class _Extra(NamedTuple):
    """A request in the other dialect: when it was sent, and which dialect knows the translation."""

    at: datetime
    known_in: str | None


class Dialect:
    """The account's dialect, and the translations that the other one knows.

    - If one dialect does not find a translation, the other is asked too, once an hour.
    - If the other knows it, that dialect is asked first, until it has not known it for an hour.
    - Two different translations that only the other dialect knows are proof, and move the account. Any
      translation that the account's own dialect knows shows that this dialect still works, and deletes the
      proofs. "Not found" and failures delete none.
    - Two moves are at least an hour apart.

    So if each dialect knows some of the translations, each translation costs one extra request, the account
    moves once an hour at most, and every translation gets an answer.
    """

    def __init__(self, api: str) -> None:
        self.api = api
        self._extras: dict[str, _Extra] = {}  # oldest first
        self._proofs: set[str] = set()
        self._moved_at: datetime | None = None
        self._rejected_at: datetime | None = None

    def api_for(self, video_translate_id: str, at: datetime) -> str:
        """The dialect to ask first about this translation."""
        extra = self._extras.get(video_translate_id)
        return (extra.known_in if extra and _is_recent(extra.at, at) else None) or self.api

    def take_extra(self, video_translate_id: str, at: datetime) -> bool:
        """Whether to ask the other dialect too. True counts as a request, whatever the answer."""
        extra = self._extras.get(video_translate_id)
        if _is_recent(self._rejected_at, at) or (extra and _is_recent(extra.at, at)):
            return False
        if extra is None and len(self._extras) >= REMEMBERED:
            oldest = next(iter(self._extras))
            if _is_recent(self._extras[oldest].at, at):
                return False
            del self._extras[oldest]
        self._remember(video_translate_id, _Extra(at, None))
        return True

    def record_known(self, video_translate_id: str, api: str, at: datetime) -> None:
        """`api` has returned a status."""
        if api == self.api:
            self._proofs.clear()
        extra = self._extras.get(video_translate_id)
        if extra is not None:
            self._remember(video_translate_id, _Extra(extra.at if api == self.api else at, api))

    def record_proof(self, video_translate_id: str, api: str, at: datetime) -> bool:
        """Only `api` knows this translation; True if that moves the account to it."""
        if api == self.api:
            return False
        if len(self._proofs) < PROOFS:
            self._proofs.add(video_translate_id)
        if len(self._proofs) < PROOFS or _is_recent(self._moved_at, at):
            return False
        self.api, self._moved_at = api, at
        self._proofs.clear()
        return True

    def record_rejected(self, at: datetime) -> None:
        """The other dialect rejects the API key: send it no extra request for an hour."""
        self._rejected_at = at

    def _remember(self, video_translate_id: str, extra: _Extra) -> None:
        self._extras.pop(video_translate_id, None)
        self._extras[video_translate_id] = extra


def _is_recent(then: datetime | None, now: datetime) -> bool:
    """Within an hour before or after `now`: a clock that was set back must not block requests for long."""
    return then is not None and abs(now - then) < HOUR
