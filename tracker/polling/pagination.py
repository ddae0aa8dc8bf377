"""Walking through HeyGen's listings, whose end and order nobody promises."""

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
STALE_PAGES = 3  # in a row that bring nothing new
OVERLAP = timedelta(minutes=10)  # how far HeyGen's order may be from that of its own times


class Walk:
    """The pages of a listing, from `token` on; it raises HeyGenError where HeyGen does not answer.

    A listing may say for ever that there is more. `cut` says why the walk stopped before HeyGen said
    that this is the end; `token` is that of the page to read next, None once there is none.
    """

    def __init__(self, listing: Listing, clock: Clock, token: str | None = None) -> None:
        self._listing, self._clock = listing, clock
        self.token = token
        self.pages = 0
        self.ended = False
        self.cut: str | None = None
        self._tokens: set[str | None] = {None}
        self._seen: set[int] = set()
        self._stale = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page:
        if self.ended:
            raise StopAsyncIteration
        page = await self._listing.page(self.token, self._clock())
        self.pages += 1
        self._tokens.add(self.token)
        self.cut = page.cut or self._doubt(page)
        self.token = None if self.cut else page.next_token
        self.ended = self.token is None
        return page

    def _doubt(self, page: Page) -> str | None:
        """Why it makes no sense to go on, although HeyGen names a next page."""
        self._stale = 0 if self._brings_news(page) else self._stale + 1
        if page.next_token is None:
            return None
        if page.next_token in self._tokens:
            return "HeyGen repeats the token of a page that was read"
        if self._stale >= STALE_PAGES:
            return f"HeyGen's last {STALE_PAGES} pages brought nothing new, and it promises more"
        if self.pages >= MOST_PAGES:
            return f"HeyGen promises more after {MOST_PAGES} pages"
        return None

    def _brings_news(self, page: Page) -> bool:
        """Of what is none of ours, only the times are known."""
        keys = {hash(key_of(one)) for one in page.observations}
        if page.ignored:
            keys.add(hash(tuple(page.times)))
        news = keys - self._seen
        self._seen |= news
        return bool(news)


def key_of(seen: Observation) -> tuple[object, ...]:
    """What makes it the same word as another one of the same listing, read at another time."""
    return seen.video_translate_id, seen.callback_id, seen.provider_status, seen.occurred_at


class Horizon:
    """Tells when a listing was read back to `boundary`, as far as its order can be trusted.

    Newest first is the rule. Times that jump forward by more than OVERLAP, or none at all, end the
    trust for good: then only the listing's own end counts.
    """

    def __init__(self, boundary: datetime) -> None:
        self.boundary = boundary
        self.in_order = True
        self._first: datetime | None = None
        self._earliest: datetime | None = None

    def is_passed(self, page: Page) -> bool:
        """True where this page lies wholly before the boundary, so that what follows does too.

        What follows may still be later by OVERLAP, so that `boundary` has to leave that much room.
        """
        if not page.times:
            self.in_order = self.in_order and not page.observations
            return False
        for time in page.times:
            self._follow(time)
        first, earliest = self._first or page.times[0], self._earliest or page.times[0]
        self.in_order = self.in_order and page.times[-1] <= first
        goes_back = earliest < first  # many of one moment tell nothing of the order
        return self.in_order and goes_back and max(page.times) < self.boundary

    def _follow(self, time: datetime) -> None:
        self._first = self._first or time
        self._earliest = min(self._earliest or time, time)
        self.in_order = self.in_order and time - self._earliest <= OVERLAP


async def record_page(
    tracker: Recorder, records: Sequence[Record], check: Callable[[], Awaitable[None]]
) -> list[RecordResult | None]:
    """All in one transaction; where the store refuses that, one each, so that one cannot sink the others.

    None stands for one that the store refused. `check` writes what may be written at any time: it raises
    StoreError where the database itself is the trouble.
    """
    if not records:
        return []
    try:
        return [*await tracker.record(records)]
    except Exception as error:
        await check()
        if len(records) == 1:
            seen = records[0].observation
            name, source = (seen.video_translate_id, seen.source) if seen else (None, None)
            log.error("not stored", id=name, source=source, error=str(error))
            return [None]
    return [one for record in records for one in await record_page(tracker, [record], check)]


def as_moment(text: object) -> datetime | None:
    """A time that was remembered as text, else None."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
