"""A file that is under way, and the claim on it, which is renewed all the while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tracker.domain.files.ports import ArchiveStore
from tracker.domain.files.records import Archived, FileClaim
from tracker.domain.limits import FILE_LEASE, FILE_LEASE_RENEWED
from tracker.domain.ports import Clock
from tracker.errors import StoreError


@dataclass(slots=True)
class ActiveDownload:
    """A file that is being brought: its claim as it is now, and how far it is, in bytes.

    `is_coming` until it is complete; then it is put into its place, unless it `is_stopped`. `archived`:
    where it is, once it is there.
    """

    claim: FileClaim
    done: int = 0
    size: int | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # a claim is renewed, or ended
    is_coming: bool = True
    is_stopped: bool = False
    archived: Archived | None = None

    def told(self, done: int, size: int | None) -> None:
        self.done, self.size = done, size


@asynccontextmanager
async def held(store: ArchiveStore, one: ActiveDownload, clock: Clock) -> AsyncIterator[None]:
    """Renew the claim all the while; whoever has lost it is cancelled, for somebody else may be at it."""
    task = asyncio.current_task()
    assert task is not None

    async def renew() -> None:
        while True:
            await asyncio.sleep(FILE_LEASE_RENEWED.total_seconds())
            with suppress(StoreError):  # until it lapses there is time to try again
                async with one.writing:
                    renewed = await store.renew(one.claim, clock() + FILE_LEASE)
                    if renewed is None:
                        one.is_stopped = True
                        task.cancel()
                        return
                    one.claim = renewed

    renewing = asyncio.create_task(renew(), name="archive claim")
    try:
        yield
    finally:
        renewing.cancel()
