"""The async face of `submissions`, beside that of the translations."""

from datetime import datetime
from functools import partial
from typing import Any

from tracker.domain.ports import Clock
from tracker.domain.submissions import Created, Order, Submission, SubmissionState
from tracker.store import binding, submissions
from tracker.store.transactions import Run


class SubmissionRepository:
    """The SubmissionStore of a repository, which hands it its ways to read and to write."""

    def __init__(self, read: Run, write: Run, clock: Clock) -> None:
        self._read, self._write, self._clock = read, write, clock

    async def plan(self, order: Order, key: str, until: datetime) -> Submission:
        """Store an order and a row for each of its translations; ours alone until `until`."""
        now = self._clock()
        return await self._write(partial(submissions.plan, order=order, key=key, now=now, until=until))

    async def get(self, number: int) -> Submission | None:
        """The submission of that number; None where there is none."""
        return await self._read(partial(submissions.load, number=number))

    async def due(self, now: datetime) -> list[Submission]:
        """The submissions that somebody has to see to."""
        return await self._read(partial(submissions.due, now=now))

    async def send(self, known: Submission, api_version: str, until: datetime) -> Submission | None:
        """Note that it goes out now; None where it is no longer what `known` says. Ours until `until`."""
        sent = partial(submissions.send, known=known, api_version=api_version, now=self._clock(), until=until)
        return await self._write(sent)

    async def put_off(
        self, known: Submission, error: str, until: datetime, *, unsent: bool = False, uncounted: bool = False
    ) -> bool:
        """Note why an attempt brought no ids; `unsent`: none can have reached HeyGen; False: outdated."""
        put_off = partial(
            submissions.put_off, known=known, error=error, until=until, unsent=unsent, uncounted=uncounted
        )
        return await self._write(put_off)

    async def settle(
        self, known: Submission, state: SubmissionState, error: str | None, until: datetime | None = None
    ) -> bool:
        """Give it its last state; `until`: when somebody sees to what is left. False: outdated."""
        return await self._write(
            partial(submissions.settle, known=known, state=state, error=error, until=until)
        )

    async def bind(self, number: int, created: Created) -> None:
        """Give HeyGen's ids to its rows, in one transaction; once more changes nothing."""
        await self._write(partial(binding.bind, number=number, created=created, now=self._clock()))

    async def waiting(self, number: int) -> list[int]:
        """The numbers of its open rows without an id."""
        return await self._read(partial(submissions.list_waiting, number=number))

    async def rows(self, number: int) -> list[dict[str, Any]]:
        """Its translations, ordered by id."""
        return await self._read(partial(submissions.list_rows, number=number))
