"""Renews links before they expire, with the requests that polling leaves unused."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from tracker.domain.links import LinkKind
from tracker.domain.observation import Observation
from tracker.errors import HeyGenError

log = structlog.get_logger("tracker.polling")

ROUND_SECONDS = 10.0
CAUSE = "always"


class Renewals:
    """Renews links one after another, each only while no poll waits for the rate limiter.

    `renew` polls the translation that is due first; it returns None if none is due. `is_idle`: no request
    waits for the rate limiter. `renewed` and `failed` count renewals by cause.
    """

    def __init__(
        self,
        renew: Callable[[], Awaitable[Observation | None]],
        is_idle: Callable[[], bool],
        renewed: Callable[[str], None],
        failed: Callable[[str], None],
        *,
        is_on: bool,
    ) -> None:
        self._renew, self._is_idle, self._renewed, self._failed = renew, is_idle, renewed, failed
        self.is_on = is_on

    async def tick(self) -> None:
        """Renew the links that are due, for ROUND_SECONDS at most. Raises StoreError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ROUND_SECONDS
        while self.is_on and self._is_idle() and loop.time() < until:
            try:
                observation = await self._renew()
            except HeyGenError as error:  # the account is paused now, or the daemon is stopping
                self._failed(CAUSE)
                log.info("link not renewed", cause=CAUSE, error=str(error))
                return
            if observation is None:
                return
            self._count(observation)

    def _count(self, observation: Observation) -> None:
        if any(getattr(observation.details, kind.column) is not None for kind in LinkKind):
            self._renewed(CAUSE)
            log.debug("link renewed", id=observation.video_translate_id, cause=CAUSE)
            return
        self._failed(CAUSE)
        error = str(observation.problem) if observation.problem else "HeyGen's answer has no link"
        log.info("link not renewed", id=observation.video_translate_id, cause=CAUSE, error=error)
