"""Creating translations so that no crash, time-out or lost answer loses or doubles one."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from tracker.domain.limits import LEASE_SPARE
from tracker.domain.observation import Details, Observation
from tracker.domain.ports import Clock
from tracker.domain.record import Record
from tracker.domain.schedule import back_off
from tracker.domain.status import Source, Status
from tracker.domain.submissions import (
    LONGEST_BACK_OFF,
    LOOK_AGAIN,
    SHORTEST_BACK_OFF,
    Created,
    Order,
    Step,
    Submission,
    SubmissionState,
    next_step,
)
from tracker.errors import (
    AccountError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.submission")

KEY_REJECTED_REST = timedelta(minutes=5)
RATE_LIMITED_REST = timedelta(minutes=1)
UNKNOWN = "no answer came, and HeyGen might create it twice, so that it is not sent again"


class SubmissionStore(Protocol):
    """Where submissions are kept. Every method raises StoreError."""

    async def plan(self, order: Order, key: str, until: datetime) -> Submission: ...

    async def get(self, number: int) -> Submission | None: ...

    async def due(self, now: datetime) -> list[Submission]: ...

    async def send(self, known: Submission, api_version: str, until: datetime) -> Submission | None: ...

    async def put_off(
        self, known: Submission, error: str, until: datetime, *, unsent: bool = False, uncounted: bool = False
    ) -> bool: ...

    async def settle(
        self, known: Submission, state: SubmissionState, error: str | None, until: datetime | None = None
    ) -> bool: ...

    async def bind(self, number: int, created: Created) -> None: ...

    async def waiting(self, number: int) -> list[int]: ...


class Creator(Protocol):
    """HeyGen, as far as it creates translations."""

    def check(self, order: Order) -> None:
        """Raise InputError for what the account's API cannot do."""
        ...

    async def create(
        self,
        order: Order,
        idempotency_key: str,
        at: datetime,
        sending: Callable[[str], Awaitable[None]],
        api_version: str | None = None,
    ) -> Created:
        """Ask for it once; `sending` is awaited before each request goes out. Raises HeyGenError."""
        ...


class _TakenError(Exception):
    """Somebody else has taken the submission up meanwhile."""


class _Attempt:
    """One attempt at a submission; `known` is what is stored of it now."""

    def __init__(self, known: Submission, store: SubmissionStore, until: datetime) -> None:
        self.known = known
        self.was_planned = known.state is SubmissionState.PLANNED
        self._store = store
        self._until = until

    async def sending(self, api_version: str) -> None:
        """Commit that the request goes out, before it does; raises _TakenError instead of sending twice."""
        sent = await self._store.send(self.known, api_version, self._until)
        if sent is None:
            raise _TakenError
        self.known = sent


class Submissions:
    """Submits orders, and sees to those whose answer never came. `request_timeout` is in seconds."""

    def __init__(
        self,
        store: SubmissionStore,
        creator: Creator,
        tracker: Recorder,
        clock: Clock,
        *,
        request_timeout: float,
    ) -> None:
        self._store, self._creator, self._tracker, self._clock = store, creator, tracker, clock
        self._lease = timedelta(seconds=request_timeout) + LEASE_SPARE
        self._attempts: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[Created]] = set()

    async def submit(self, order: Order) -> Submission:
        """Store the order and its translations, then ask HeyGen once; answers how far that came.

        Raises InputError before anything is stored, and StoreError.
        """
        self._creator.check(order)
        order = replace(order, callback_id=order.callback_id or f"tracker-{uuid.uuid4()}")
        until = self._clock() + self._lease
        known = await self._store.plan(order, str(uuid.uuid4()), until)
        await self._send(known)
        return await self._store.get(known.id) or known

    async def resume(self) -> None:
        """See to each submission whose time has come. Raises StoreError where the database is away."""
        for known in await self._store.due(self._clock()):
            try:
                await self._take_up(known)
            except StoreError:
                raise
            except Exception as error:
                log.exception("submission not taken up", id=known.id)
                until = self._clock() + LONGEST_BACK_OFF
                await self._store.put_off(known, f"unexpected: {type(error).__name__}", until)

    async def stop(self, patience: float) -> None:
        """Wait up to `patience` seconds for the answers that are under way; whoever asks must have ended.

        What was answered is stored whatever the time: only requests are ever cancelled.
        """
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=patience)
        for request in self._requests:
            request.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)

    async def _take_up(self, known: Submission) -> None:
        match next_step(known, self._clock()):
            case Step.SEND:
                await self._send(known)
            case Step.WAIT:
                until = self._clock() + LOOK_AGAIN
                await self._store.put_off(known, known.error or UNKNOWN, until)
            case Step.FINISH:
                await self._store.settle(known, SubmissionState.DONE, None)
                log.info("submission done", id=known.id, api=known.api_version, told_by="webhooks or list")
            case Step.GIVE_UP:
                await self._give_up(known)
            case Step.REFUSE:
                await self._fail_rows(known)

    async def _send(self, known: Submission) -> None:
        """One attempt, which outlives our being cancelled: v2 would never repeat its answer.

        Only what may be sent comes here (`next_step`).
        """
        attempt = asyncio.create_task(self._attempt(known), name=f"submission {known.id}")
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        await asyncio.shield(attempt)

    async def _attempt(self, known: Submission) -> None:
        now = self._clock()
        attempt = _Attempt(known, self._store, now + self._lease)
        bound_to = None if attempt.was_planned else known.api_version
        request = asyncio.create_task(
            self._creator.create(known.order, known.idempotency_key, now, attempt.sending, bound_to)
        )
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        try:
            created = await request
        except _TakenError:
            return
        except RefusedError as error:
            await self._refuse(attempt.known, str(error))
        except AccountError as error:
            await self._put_off(attempt, error, _rest(error), unsent=True, uncounted=True)
        except TransientError as error:
            await self._put_off(attempt, error, _pause(attempt.known, error), unsent=_is_unsent(error))
        else:
            await self._bind(known.id, created)

    async def _bind(self, number: int, created: Created) -> None:
        ids = [one for one in created.video_translate_ids if one]
        try:
            await self._store.bind(number, created)
        except StoreError as error:
            log.error("submission not stored", id=number, ids=ids, error=str(error))
            raise StoreError(
                f"HeyGen created {', '.join(ids)}, which could not be stored: {error}"
            ) from error
        log.info("submission done", id=number, api=created.api_version, ids=ids)

    async def _put_off(
        self,
        attempt: _Attempt,
        error: Exception,
        pause: timedelta,
        *,
        unsent: bool,
        uncounted: bool = False,
    ) -> None:
        """Only a first attempt can prove that HeyGen has nothing: an earlier one may have arrived."""
        known, until = attempt.known, self._clock() + pause
        unsent = unsent and attempt.was_planned
        if await self._store.put_off(known, str(error), until, unsent=unsent, uncounted=uncounted):
            tell = log.debug if str(error) == known.error else log.warning
            tell(
                "submission not answered",
                id=known.id,
                error=str(error),
                sent=not unsent,
                until=until.isoformat(),
            )

    async def _give_up(self, known: Submission) -> None:
        error = f"not known whether HeyGen created it: {known.error or UNKNOWN}"
        if await self._store.settle(known, SubmissionState.UNANSWERED, error):
            log.error("submission given up", id=known.id, error=error, key=known.idempotency_key)

    async def _refuse(self, known: Submission, error: str) -> None:
        """It stays due until its rows have failed too, so that a crash in between is made good."""
        if await self._store.settle(known, SubmissionState.REFUSED, error, until=self._clock()):
            log.error("submission refused", id=known.id, error=error)
            await self._fail_rows(replace(known, state=SubmissionState.REFUSED, error=error))

    async def _fail_rows(self, known: Submission) -> None:
        """What HeyGen will not create has failed: told through the one door, as any other change."""
        seen = Observation(
            source=Source.MANUAL,
            observed_at=self._clock(),
            status=Status.FAILED,
            details=Details(message=known.error),
        )
        waiting = await self._store.waiting(known.id)
        await self._tracker.record([Record(observation=seen, translation_id=number) for number in waiting])
        await self._store.settle(known, SubmissionState.REFUSED, known.error)


def _is_unsent(error: TransientError) -> bool:
    return isinstance(error, NotSentError)


def _pause(known: Submission, error: TransientError) -> timedelta:
    """v2 is not asked again, only looked at."""
    may_be_sent = _is_unsent(error) or known.api_version == "v3"
    return back_off(known.attempts, SHORTEST_BACK_OFF, LONGEST_BACK_OFF) if may_be_sent else LOOK_AGAIN


def _rest(error: AccountError) -> timedelta:
    """How long the account gets to recover."""
    if not isinstance(error, RateLimitedError):
        return KEY_REJECTED_REST
    asked = timedelta(seconds=error.retry_after or 0)
    return max(asked, LONGEST_BACK_OFF if error.quota else RATE_LIMITED_REST)
