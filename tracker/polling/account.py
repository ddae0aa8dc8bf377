"""What all trackers of one account share through the database: the rate limit, and when to be silent."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tracker.domain.ports import AccountStore
from tracker.polling.gate import Gate, Pause, Reason

HEARTBEAT = timedelta(seconds=5)
SILENT = timedelta(seconds=30)  # whoever was not heard of for so long is gone
HOLD = HEARTBEAT + timedelta(seconds=2)  # a newcomer waits until the others have made room
PROBE = timedelta(seconds=30)  # within this time a probe is answered, or lost
ATTEMPTS = 5
MEMORY = "pause"


class Account:
    """One tracker's part in it. `tick` comes before every look for work.

    `share` is told how many trackers there are, and how long to wait until they all know;
    `silence` for how many seconds HeyGen wants to hear nothing.
    """

    def __init__(self, store: AccountStore, gate: Gate, name: str) -> None:
        self._store, self.gate, self._name = store, gate, name
        self.share: Callable[[int, timedelta], None] = lambda _count, _hold: None
        self.silence: Callable[[timedelta], None] = lambda _time: None
        self.instances = 0  # 0: nobody has been met yet
        self._met_at: datetime | None = None
        self._known: Any = None  # the pause as it is stored
        self._has_new_key = True  # what was rejected may have been another one
        self._owed: timedelta | None = None

    async def tick(self, now: datetime) -> None:
        """Meet the others, and hear whether the account rests. Raises StoreError."""
        if self._met_at is None or now - self._met_at >= HEARTBEAT:
            await self._meet(now)
        await self._hear(now)
        if self._has_new_key:
            self._has_new_key = False
            if self.gate.reason is Reason.KEY_REJECTED:
                self.gate.try_now(now)
                await self._tell(now)
        if self._owed is not None:
            owed, self._owed = self._owed, None
            await self.shut(Reason.RATE_LIMITED, now, owed.total_seconds())

    async def leave(self) -> None:
        """The others need not wait until they miss us. Raises StoreError."""
        if self.instances:
            await self._store.leave(self._name)

    def take_new_key(self) -> None:
        """Where the last one was rejected, ask at once."""
        self._has_new_key = True

    def owe_silence(self, seconds: float) -> None:
        """HeyGen asked another part of this tracker to be silent; the others hear of it at the next tick."""
        self._owed = timedelta(seconds=seconds)

    async def room(self, now: datetime, wanted: int) -> int:
        """How many polls may start. A probe is one for the whole account. Raises StoreError."""
        room = self.gate.room(now, wanted)
        if room == 0 or self.gate.reason is None:
            return room
        return room if await self._swap(self.gate.pause(now + PROBE)) else 0

    async def shut(self, reason: Reason, now: datetime, retry_after: float | None) -> datetime:
        """Rest, and let the others rest, too; returns until when. Raises StoreError."""
        self.gate.shut(reason, now, retry_after)
        await self._tell(now)
        return self.gate.until or now

    async def open(self, asked_at: datetime) -> Reason | None:
        """What was asked at `asked_at` worked; why polling rested. Raises StoreError."""
        reason = self.gate.open(asked_at)
        if reason is not None and not await self._swap(None):
            await self._hear(asked_at)  # somebody else knows better
        return reason

    async def _meet(self, now: datetime) -> None:
        count = await self._store.meet(self._name, now, now - SILENT)
        if count != self.instances:
            is_newcomer = self.instances == 0 and count > 1
            self.share(count, HOLD if is_newcomer else timedelta(0))
        self.instances, self._met_at = count, now

    async def _hear(self, now: datetime) -> None:
        self._known = await self._store.recall(MEMORY)
        told = Pause.of(self._known)
        self.gate.adopt(told)
        if told is not None and told.until > now and told.reason is not Reason.KEY_REJECTED:
            self.silence(told.until - now)

    async def _tell(self, now: datetime) -> None:
        """Store our pause; where somebody else was quicker, the longer one."""
        for _ in range(ATTEMPTS):
            if (mine := self.gate.pause()) is None or await self._swap(mine):
                return
            await self._hear(now)
            theirs = self.gate.pause()
            self.gate.adopt(mine if theirs is None or theirs.until < mine.until else theirs)

    async def _swap(self, pause: Pause | None) -> bool:
        """Compare and set; False where what is stored is not what we know."""
        told = pause and pause.as_json()
        if not await self._store.swap(MEMORY, self._known, told):
            return False
        self._known = told
        return True
