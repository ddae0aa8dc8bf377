"""The status endpoint in the dialect that the account speaks; `auto` follows HeyGen from one to the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from tracker.domain.observation import Observation
from tracker.errors import (
    HeyGenError,
    KeyRejectedError,
    NotFoundError,
    RefusedError,
    StoreError,
    TransientError,
)
from tracker.heygen import v2, v3
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.dialect import OTHER, Dialect

log = structlog.get_logger("tracker.heygen")

PATHS = {v2.API_VERSION: v2.status_path, v3.API_VERSION: v3.status_path}
SHRINK = 10  # a bulk question that fails makes the next ones so much smaller, and a good one doubles them
SINGLY_SECONDS = 60.0  # until bulk questions are tried again, once they have shrunk to one translation


class StatusEndpoint:
    """HeyGen's status endpoint.

    `setting` is auto, v2 or v3; `known` is what an earlier run found out, `switched` is awaited
    when the account moves to the other dialect.
    """

    def __init__(
        self,
        client: HeyGenClient,
        setting: str,
        *,
        known: str | None,
        switched: Callable[[str], Awaitable[None]],
    ) -> None:
        self._client = client
        self._follows = setting == "auto"
        self._switched = switched
        self._dialect = Dialect((known or v2.API_VERSION) if self._follows else setting)
        self._told = self._told_of_bulk = False
        self._batch = v3.BATCH
        self._singly_until = 0.0
        self._failed_in_a_row = 0

    @property
    def api(self) -> str:
        """The dialect that the account speaks: v2 or v3."""
        return self._dialect.api

    @property
    def batch_size(self) -> int:
        """How many translations one question can ask about at present.

        One id that HeyGen chokes on must not take others with it, so that failing questions shrink.
        """
        if self.api == v2.API_VERSION:
            return 1
        if self._batch == 1 and asyncio.get_running_loop().time() >= self._singly_until:
            self._batch = 2
        return self._batch

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        """Ask about one translation; raises HeyGenError where no status was learnt.

        A v2 that looks retired is no answer: v3 is asked the same, at once. Under `auto` a translation
        that one dialect does not find is asked about in the other, too, as often as `Dialect` allows.
        """
        api = self._dialect.api_for(video_translate_id, at)
        answer = await self._ask(api, video_translate_id, at)
        if api == v2.API_VERSION and answer.looks_retired:
            return await self._follow(video_translate_id, answer, at)
        try:
            seen = _read(api, video_translate_id, answer)
        except NotFoundError as error:
            other = OTHER[api]
            found = await self._ask_other(other, video_translate_id, at)
            if found is None:
                raise
            self._dialect.record_known(video_translate_id, other, at)
            await self._count_proof(video_translate_id, other, at, because=str(error))
            return found
        self._dialect.record_known(video_translate_id, api, at)
        return seen

    async def fetch_many(self, video_translate_ids: Sequence[str], at: datetime) -> list[Observation]:
        """Ask v3 about up to `batch_size` at once; one observation each, in order.

        Under `auto` one that is not found is marked as partial: asked alone, it is asked about in v2, too.
        Raises RefusedError where HeyGen does not take the question: then fewer are asked about together.
        """
        asked = len(video_translate_ids)
        try:
            told = await self._tell_many(video_translate_ids, at)
        except RefusedError as error:
            self._shrink(asked, error)
            raise
        except TransientError as error:
            self._failed_in_a_row += 1
            if self._failed_in_a_row > 1:  # once is nothing
                self._shrink(asked, error)
            raise
        self._failed_in_a_row = 0
        if asked >= self._batch:
            self._batch = min(2 * self._batch, v3.BATCH)
        left_out = "HeyGen's bulk answer leaves it out"
        seen = [told.get(one) or v3.without_status(one, at, left_out) for one in video_translate_ids]
        for name, one in zip(video_translate_ids, seen, strict=True):
            if one.problem is None:
                self._dialect.record_known(name, v3.API_VERSION, at)
        return [replace(one, partial=True) if one.problem and self._follows else one for one in seen]

    async def _tell_many(self, video_translate_ids: Sequence[str], at: datetime) -> dict[str, Observation]:
        """The pages of one bulk answer, until nothing new is told."""
        rows: list[object] = []
        told: dict[str, Observation] = {}
        token: str | None = None
        tokens: set[str | None] = {None}
        while True:
            answer = await self._ask_many(video_translate_ids, token, at)
            rows += answer.rows()
            known, told = len(told), v3.read_statuses(rows, video_translate_ids, at)
            token, _cut = v3.next_token(answer)
            if token in tokens or len(told) in (known, len(video_translate_ids)):  # or nothing new: no end
                return told
            tokens.add(token)

    async def _ask_many(self, video_translate_ids: Sequence[str], token: str | None, at: datetime) -> Answer:
        params = {"video_translation_ids": ",".join(video_translate_ids), "token": token}
        answer = await self._client.ask("statuses", v3.STATUSES_PATH, at, params=params)
        try:
            answer.rows()
        except NotFoundError as error:  # of the question; it says nothing about any translation
            raise RefusedError(str(error)) from error
        except TransientError as error:
            if answer.is_refusal:
                raise RefusedError(str(error)) from error
            raise
        return answer

    def _shrink(self, asked: int, error: HeyGenError) -> None:
        """Several may be under way: each counts by its own size."""
        self._batch = min(self._batch, max(1, asked // SHRINK))
        self._singly_until = asyncio.get_running_loop().time() + SINGLY_SECONDS
        if not self._told_of_bulk:
            log.warning("bulk question failed", asked=asked, error=str(error), next=self._batch)
        self._told_of_bulk = True

    async def _ask(self, api: str, video_translate_id: str, at: datetime) -> Answer:
        return await self._client.ask("status", PATHS[api](video_translate_id), at)

    async def _ask_other(self, api: str, video_translate_id: str, at: datetime) -> Observation | None:
        """What this dialect says of what the first does not find; None: it has no status, or is not asked.

        Its failures change nothing, except those that concern the whole account: AccountError.
        """
        if not (self._follows and self._dialect.take_extra(video_translate_id, at)):
            return None
        try:
            answer = await self._ask(api, video_translate_id, at)
            return _read(api, video_translate_id, answer) if answer.status_code != 403 else None
        except KeyRejectedError:
            self._dialect.record_rejected(at)
            raise
        except (NotFoundError, TransientError):
            return None

    async def _follow(self, video_translate_id: str, retired: Answer, at: datetime) -> Observation:
        """Ask v3 instead of a v2 that looks retired; that v3 knows its own words is a proof."""
        if not self._follows:
            self._tell_retired(retired)
            raise TransientError(
                f"v2 answers as retired: {retired.name}; set TRACKER_HEYGEN_API to auto or v3"
            )
        api = v3.API_VERSION
        try:
            seen = _read(api, video_translate_id, await self._ask(api, video_translate_id, at))
        except TransientError as error:
            raise TransientError(f"v2 answers as retired ({retired.name}), and v3: {error}") from error
        except NotFoundError:
            await self._count_proof(video_translate_id, api, at, because=retired.name)
            raise
        self._dialect.record_known(video_translate_id, api, at)
        await self._count_proof(video_translate_id, api, at, because=retired.name)
        return seen

    async def _count_proof(self, video_translate_id: str, api: str, at: datetime, because: str) -> None:
        if not self._dialect.record_proof(video_translate_id, api, at):
            return
        log.warning("heygen api switched", before=OTHER[api], now=api, because=because)
        try:
            await self._switched(api)
        except StoreError as error:  # the answer matters more; the next start finds it out again
            log.error("heygen api not stored", error=str(error))

    def _tell_retired(self, answer: Answer) -> None:
        if not self._told:
            log.error("v2 answers as retired", answer=answer.name, advice="set TRACKER_HEYGEN_API to auto")
        self._told = True


def _read(api: str, video_translate_id: str, answer: Answer) -> Observation:
    if api == v2.API_VERSION:
        return v2.read_status(video_translate_id, answer)
    if answer.looks_retired:  # somebody's "Not Found" is not HeyGen's about this translation
        raise TransientError(f"{answer.name}: not an answer of HeyGen's v3")
    return v3.read_status(video_translate_id, answer)
