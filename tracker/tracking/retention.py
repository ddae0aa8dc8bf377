"""Retention: what is too old is deleted, a small batch at a time."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

import structlog

from tracker.domain.ports import Clock, Pruner
from tracker.domain.retention import Keep, Kind

log = structlog.get_logger("tracker.retention")

BATCH = 200  # rows in one transaction: whoever wants to write meanwhile waits for one of these at most
PAGES = 200  # of a SQLite file that are given back in one
MOST_COUNTED = 10_000  # of a backlog


class Retention:
    """Deletes what `keep` does not keep. Each batch is a piece of work for the one writer, and whatever
    has come meanwhile is stored before the next.

    `pruned` hears of each batch.
    """

    def __init__(self, store: Pruner, keep: Keep, clock: Clock, pruned: Callable[[str, int], None]) -> None:
        self._store, self._clock, self._pruned = store, clock, pruned
        self.keep = keep

    async def tick(self) -> None:
        """Go on until nothing is left of what is too old now; raises StoreError.

        It may be cancelled: the next one goes on from there.
        """
        now, counts = self._clock(), Counter[Kind]()
        try:
            for kind in Kind:
                while count := await self._prune(kind, now):
                    counts[kind] += count
                    self._pruned(kind, count)
        finally:
            if counts:
                tell = log.info if counts[Kind.TRANSLATIONS] else log.debug  # those are somebody's
                tell("pruned", **{str(kind): counts[kind] for kind in Kind})
        while await self._store.give_back(PAGES):
            pass

    async def _prune(self, kind: Kind, now: datetime) -> int:
        """One batch, by the settings of this moment: they may change on the way."""
        before = self.keep.limits(now).get(kind)
        return 0 if before is None else await self._store.prune(kind, before, BATCH)

    async def backlog(self) -> dict[str, int]:
        """How many rows of each kind are too old and still there, MOST_COUNTED at most; raises StoreError."""
        limits = self.keep.limits(self._clock())
        return {
            str(kind): await self._store.count_old(kind, before, MOST_COUNTED)
            for kind, before in limits.items()
        }
