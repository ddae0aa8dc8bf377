"""Pagination of HeyGen's listings, whose end and order HeyGen does not guarantee."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

import structlog

from tracker.domain.observation import Observation
from tracker.domain.page import Page
from tracker.domain.ports import Clock, Listing
from tracker.domain.record import Record, RecordResult
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")

MOST_PAGES = 10_000  # a million rows
STALE_PAGES = 3  # in a row, without a new entry
OVERLAP = timedelta(minutes=10)  # how far the listing's order may deviate from the order of its times


class Walk:
    """Iterates over the pages of a listing, from `token` on. Raises HeyGenError if HeyGen does not answer.

    A broken listing may promise further pages for ever. `cut` says why the walk stopped before the end;
    `token` is that of the next page, None after the last.
    """

    def __init__(self, listing: Listing, clock: Clock, token: str | None = None) -> None:
        self._listing, self._clock = listing, clock
        self.token = token
        self.pages = 0
        self.ended = False
        self.cut: str | None = None
        self._tokens: set[str | None] = {None}
        self._keys: set[int] = set()
        self._stale = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page:
        if self.ended:
            raise StopAsyncIteration
        page = await self._listing.page(self.token, self._clock())
        self.pages += 1
        self._tokens.add(self.token)
        self.cut = page.cut or self._stop_reason(page)
        self.token = None if self.cut else page.next_token
        self.ended = self.token is None
        return page

    def _stop_reason(self, page: Page) -> str | None:
        """Why to stop although HeyGen names a next page; None to continue."""
        self._stale = 0 if self._has_news(page) else self._stale + 1
        if page.next_token is None:
            return None
        if page.next_token in self._tokens:
            return "HeyGen repeats the token of an earlier page"
        if self._stale >= STALE_PAGES:
            return f"HeyGen's last {STALE_PAGES} pages had nothing new, and it promises more"
        if self.pages >= MOST_PAGES:
            return f"HeyGen promises more after {MOST_PAGES} pages"
        return None

    def _has_news(self, page: Page) -> bool:
        """Whether the page has an entry that no earlier page had. Ignored entries count by their times."""
        keys = {hash(key_of(observation)) for observation in page.observations}
        if page.ignored:
            keys.add(hash(tuple(page.times)))
        news = keys - self._keys
        self._keys |= news
        return bool(news)


def key_of(observation: Observation) -> tuple[object, ...]:
    """The identity of an entry in its listing, whenever it is read."""
    return (
        observation.video_translate_id,
        observation.callback_id,
        observation.provider_status,
        observation.occurred_at,
    )


class Horizon:
    """Detects when a listing has been read back to `boundary`, as long as its order is reliable.

    Listings are usually newest first. If times are missing, or jump forward by more than OVERLAP, the
    order is unreliable from then on, and only the end of the listing counts.
    """

    def __init__(self, boundary: datetime) -> None:
        self.boundary = boundary
        self.in_order = True
        self._first: datetime | None = None
        self._earliest: datetime | None = None

    def is_passed(self, page: Page) -> bool:
        """True if this whole page, and so every later page, is older than the boundary.

        Later pages may be newer by OVERLAP, so callers subtract OVERLAP from the boundary.
        """
        if not page.times:
            self.in_order = self.in_order and not page.observations
            return False
        for time in page.times:
            self._follow(time)
        first, earliest = self._first or page.times[0], self._earliest or page.times[0]
        self.in_order = self.in_order and page.times[-1] <= first
        goes_back = earliest < first  # equal times prove no order
        return self.in_order and goes_back and max(page.times) < self.boundary

    def _follow(self, time: datetime) -> None:
        self._first = self._first or time
        self._earliest = min(self._earliest or time, time)
        self.in_order = self.in_order and time - self._earliest <= OVERLAP


async def record_page(
    tracker: Recorder, records: Sequence[Record], check: Callable[[], Awaitable[None]]
) -> list[RecordResult | None]:
    """Store all records in one transaction; if that fails, store each in its own.

    Returns None for a record that could not be stored. `check` writes something harmless: it raises
    StoreError if the database itself has failed.
    """
    if not records:
        return []
    try:
        return [*await tracker.record(records)]
    except Exception as error:
        await check()
        if len(records) == 1:
            observation = records[0].observation
            log.error(
                "not stored",
                id=observation.video_translate_id if observation else None,
                source=observation.source if observation else None,
                error=str(error),
            )
            return [None]
    return [result for record in records for result in await record_page(tracker, [record], check)]


def as_moment(text: object) -> datetime | None:
    """Parse a stored time; None if it is not a time with a zone."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
