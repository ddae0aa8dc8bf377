"""Stores what a poll returned, and pauses or resumes the account accordingly."""

from collections import Counter
from collections.abc import Sequence

import structlog

from tracker.domain.claims import Claim
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import Clock, Figures, Store
from tracker.domain.record import Record
from tracker.errors import AccountError, RateLimitedError
from tracker.polling.account import Account
from tracker.polling.doubt import Doubt
from tracker.polling.gate import ADVICE, Reason
from tracker.tracking.recorder import Recorder

log = structlog.get_logger("tracker.polling")


class PollResults:
    """Handles the result of each request; `outcomes` counts them by kind."""

    def __init__(
        self,
        store: Store,
        tracker: Recorder,
        facts: PollingFacts,
        account: Account,
        figures: Figures,
        clock: Clock,
    ) -> None:
        self._store, self._tracker, self._facts, self._account = store, tracker, facts, account
        self._figures, self._clock = figures, clock
        self._doubt = Doubt()
        self.outcomes: Counter[str] = Counter()

    async def record(self, claims: Sequence[Claim], observations: Sequence[Observation]) -> None:
        """Store one observation for each claim. Raises StoreError."""
        await self._resume(observations)
        self._check_account(observations)
        await self._tracker.record(
            [
                Record(observation=observation, claim=claim)
                for observation, claim in zip(observations, claims, strict=True)
            ]
        )
        for observation in observations:
            problem = observation.problem
            self._count(problem.kind if problem else (observation.status or "unknown_word"))
        _log_problems(observations)

    async def pause(self, claims: Sequence[Claim], error: AccountError) -> None:
        """Pause the whole account and release the claims until the pause ends. Raises StoreError."""
        reason, retry_after = Reason.KEY_REJECTED, None
        if isinstance(error, RateLimitedError):
            reason = Reason.QUOTA_EXCEEDED if error.quota else Reason.RATE_LIMITED
            retry_after = error.retry_after
        gate = self._account.gate
        reason_before = gate.reason
        until = await self._account.shut(reason, self._clock(), retry_after)
        if gate.reason is not reason_before:
            log_event = log.warning if reason is Reason.RATE_LIMITED else log.error
            log_event(
                "polling paused",
                reason=reason,
                until=until.isoformat(),
                error=str(error),
                advice=ADVICE[reason],
            )
        self._count(reason)
        await self._store.release(claims, next_poll_at=until)

    async def postpone(self, claims: Sequence[Claim]) -> None:
        """Release claims whose result cannot be stored: a poison row must not be due again at once."""
        next_poll_at = self._clock() + self._account.gate.schedule.max_interval
        try:
            await self._store.release(claims, next_poll_at=next_poll_at)
        except Exception:
            log.exception("poll not stored", id=claims[0].video_translate_id, count=len(claims))

    async def _resume(self, observations: Sequence[Observation]) -> None:
        """A status, or a "not found", proves that HeyGen accepts the API key."""
        for observation in observations:
            problem = observation.problem
            if problem is not None and problem.kind is not ProblemKind.NOT_FOUND:
                continue
            if (reason := await self._account.open(observation.observed_at)) is not None:
                log.warning("polling resumed", after=reason)

    def _check_account(self, observations: Sequence[Observation]) -> None:
        """Log when HeyGen stops or starts to know this account's translations."""
        before = self._doubt.is_raised
        self._doubt.hear(observations)
        self._facts.is_doubted = self._doubt.is_raised
        if self._doubt.is_raised and not before:
            log.error(
                "HeyGen knows none of the translations",
                advice="check that TRACKER_HEYGEN_API_KEY is of the account that made them",
            )
        elif before and not self._doubt.is_raised:
            log.warning("HeyGen knows translations again")

    def _count(self, outcome: str) -> None:
        self.outcomes[str(outcome)] += 1
        self._figures.polled(outcome)


def _log_problems(observations: Sequence[Observation]) -> None:
    """Write one line for each kind of problem in the answer."""
    problems = [
        (str(observation.problem), observation.video_translate_id)
        for observation in observations
        if observation.problem
    ]
    first_ids = dict(reversed(problems))
    for problem, count in Counter(problem for problem, _ in problems).items():
        log.info("poll returned no status", id=first_ids[problem], count=count, problem=problem)
