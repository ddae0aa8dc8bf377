"""HeyGen's list of translations and its log of events, page by page (heygen-api section 2)."""

from datetime import datetime

from tracker.domain.observation import Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.page import Page
from tracker.errors import NotFoundError, RefusedError, TransientError
from tracker.heygen import v3
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.payloads import as_object, as_time
from tracker.heygen.webhook_events import read_logged

EVENTS_PATH = "/v3/webhooks/events"
ROWS = 100  # the most that a page can have


class TranslationList:
    """The account's translations, whoever made them; v3 alone has such a list."""

    def __init__(self, client: HeyGenClient) -> None:
        self._client = client

    async def page(self, token: str | None, at: datetime) -> Page:
        """The page behind `token` (None: the first).

        Raises RefusedError where HeyGen does not take the token, or has no such list; other HeyGenErrors.
        """
        return v3.read_page(await _ask(self._client, "list", v3.TRANSLATIONS_PATH, token, at))


class EventLog:
    """The events that HeyGen delivered, or tried to; how far back it goes is not known.

    It is read whole, not by event_type: so one question covers both ends, however they are spelled, and
    the hints. What other products report is counted, and serves to see how far back a page reaches.
    """

    def __init__(self, client: HeyGenClient) -> None:
        self._client = client

    async def page(self, token: str | None, at: datetime) -> Page:
        """The page behind `token` (None: the first).

        Raises RefusedError where HeyGen does not take the token, or has no such log; other HeyGenErrors.
        """
        answer = await _ask(self._client, "events", EVENTS_PATH, token, at)
        entries = [as_object(row) for row in answer.rows()]
        read = [read_logged(entry, answer.at) for entry in entries]
        following, cut = v3.next_token(answer)
        return Page(
            [one for one in read if isinstance(one, Observation)],
            following,
            ignored=sum(one in (DeliveryOutcome.IGNORED, DeliveryOutcome.UNKNOWN) for one in read),
            unreadable=read.count(DeliveryOutcome.ERROR),
            cut=cut,
            times=[time for entry in entries if (time := as_time(entry.get("created_at"))) is not None],
        )


async def _ask(client: HeyGenClient, kind: str, path: str, token: str | None, at: datetime) -> Answer:
    answer = await client.ask(kind, path, at, params={"limit": str(ROWS), "token": token})
    try:
        answer.rows()
    except (NotFoundError, TransientError) as error:
        if answer.looks_retired:
            raise RefusedError(f"HeyGen has no {path} for this account: {error}") from error
        if answer.is_refusal:
            raise RefusedError(f"HeyGen does not take the question for {path}: {error}") from error
        raise
    return answer
