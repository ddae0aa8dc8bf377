"""Renews links before they end, with what polling leaves of the rate limit."""

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
    """One renewal after the other, each only while no poll waits for its turn.

    `renew` asks about the translation that is due first, and gives None where none is. `is_idle`: nobody
    waits for a turn to ask HeyGen. `renewed` and `failed` count.
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
        """Renew what is due, for ROUND_SECONDS at most. Raises StoreError."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ROUND_SECONDS
        while self.is_on and self._is_idle() and loop.time() < until:
            try:
                seen = await self._renew()
            except HeyGenError as error:  # the account rests now, or the daemon ends
                self._failed(CAUSE)
                log.info("link not renewed", cause=CAUSE, error=str(error))
                return
            if seen is None:
                return
            self._count(seen)

    def _count(self, seen: Observation) -> None:
        if any(getattr(seen.details, kind.column) is not None for kind in LinkKind):
            self._renewed(CAUSE)
            log.debug("link renewed", id=seen.video_translate_id, cause=CAUSE)
            return
        self._failed(CAUSE)
        error = str(seen.problem) if seen.problem else "HeyGen's answer has no link"
        log.info("link not renewed", id=seen.video_translate_id, cause=CAUSE, error=error)
