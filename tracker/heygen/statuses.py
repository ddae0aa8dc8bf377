"""The status endpoint in the account's dialect; under `auto`, HeyGen decides which one that is."""

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
SHRINK = 10  # a failed bulk request divides the batch size by this; success doubles the batch size
SINGLY_SECONDS = 60.0  # until bulk requests are retried, once the batch size has shrunk to 1
OMITTED = "HeyGen's bulk answer omits it"


class StatusEndpoint:
    """HeyGen's status endpoint.

    `setting` is auto, v2 or v3. `known` is the dialect that an earlier run has stored. `switched` is awaited
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
        self._has_logged_retired = self._has_logged_bulk = False
        self._batch = v3.BATCH
        self._singly_until = 0.0
        self._failed_in_a_row = 0

    @property
    def api(self) -> str:
        """The account's dialect: v2 or v3."""
        return self._dialect.api

    @property
    def batch_size(self) -> int:
        """How many translations a request may ask about at present.

        Requests that fail shrink: an id that HeyGen cannot handle must not fail the others for long.
        """
        if self.api == v2.API_VERSION:
            return 1
        if self._batch == 1 and asyncio.get_running_loop().time() >= self._singly_until:
            self._batch = 2
        return self._batch

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        """Request one translation; raises HeyGenError if HeyGen returns no status.

        If v2 looks retired, v3 is asked at once. Under `auto`, a translation that one dialect does not find
        is requested in the other too, as often as `Dialect` allows.
        """
        api = self._dialect.api_for(video_translate_id, at)
        answer = await self._ask(api, video_translate_id, at)
        if api == v2.API_VERSION and answer.looks_retired:
            return await self._follow(video_translate_id, answer, at)
        try:
            observation = _read(api, video_translate_id, answer)
        except NotFoundError as error:
            other = OTHER[api]
            found = await self._ask_other(other, video_translate_id, at)
            if found is None:
                raise
            self._dialect.record_known(video_translate_id, other, at)
            await self._count_proof(video_translate_id, other, at, because=str(error))
            return found
        self._dialect.record_known(video_translate_id, api, at)
        return observation

    async def fetch_many(self, video_translate_ids: Sequence[str], at: datetime) -> list[Observation]:
        """Request up to `batch_size` translations from v3; returns an observation for each, in order.

        Under `auto`, "not found" is marked as partial: the request for it alone asks v2 too.
        Raises RefusedError if HeyGen rejects the request; later requests are then smaller.
        """
        asked = len(video_translate_ids)
        try:
            found = await self._fetch_pages(video_translate_ids, at)
        except RefusedError as error:
            self._shrink(asked, error)
            raise
        except TransientError as error:
            self._failed_in_a_row += 1
            if self._failed_in_a_row > 1:  # a single failure may be chance
                self._shrink(asked, error)
            raise
        self._failed_in_a_row = 0
        if asked >= self._batch:
            self._batch = min(2 * self._batch, v3.BATCH)
        observations = [
            found.get(translation_id) or v3.without_status(translation_id, at, OMITTED)
            for translation_id in video_translate_ids
        ]
        for translation_id, observation in zip(video_translate_ids, observations, strict=True):
            if observation.problem is None:
                self._dialect.record_known(translation_id, v3.API_VERSION, at)
        return [
            replace(observation, partial=True) if observation.problem and self._follows else observation
            for observation in observations
        ]

    async def _fetch_pages(self, video_translate_ids: Sequence[str], at: datetime) -> dict[str, Observation]:
        """Read the pages of one bulk answer, until a page has no new status."""
        rows: list[object] = []
        found: dict[str, Observation] = {}
        token: str | None = None
        tokens: set[str | None] = {None}
        while True:
            answer = await self._ask_many(video_translate_ids, token, at)
            rows += answer.rows()
            count_before, found = len(found), v3.read_statuses(rows, video_translate_ids, at)
            token, _cut = v3.next_token(answer)
            if token in tokens or len(found) in (count_before, len(video_translate_ids)):
                return found
            tokens.add(token)

    async def _ask_many(self, video_translate_ids: Sequence[str], token: str | None, at: datetime) -> Answer:
        params = {"video_translation_ids": ",".join(video_translate_ids), "token": token}
        answer = await self._client.ask("statuses", v3.STATUSES_PATH, at, params=params)
        try:
            answer.rows()
        except NotFoundError as error:  # concerns the request, not a translation
            raise RefusedError(str(error)) from error
        except TransientError as error:
            if answer.is_refusal:
                raise RefusedError(str(error)) from error
            raise
        return answer

    def _shrink(self, asked: int, error: HeyGenError) -> None:
        """Reduce the batch size by the size of the failed request: several requests may be under way."""
        self._batch = min(self._batch, max(1, asked // SHRINK))
        self._singly_until = asyncio.get_running_loop().time() + SINGLY_SECONDS
        if not self._has_logged_bulk:
            log.warning("bulk request failed", asked=asked, error=str(error), next=self._batch)
        self._has_logged_bulk = True

    async def _ask(self, api: str, video_translate_id: str, at: datetime) -> Answer:
        return await self._client.ask("status", PATHS[api](video_translate_id), at)

    async def _ask_other(self, api: str, video_translate_id: str, at: datetime) -> Observation | None:
        """Ask the other dialect; None if it has no status or is not asked.

        Its errors are ignored, except those that concern the whole account: AccountError.
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
        """Ask v3 because v2 looks retired; an answer of v3, "not found" included, is a proof."""
        if not self._follows:
            self._log_retired(retired)
            raise TransientError(
                f"v2 answers as retired: {retired.name}; set TRACKER_HEYGEN_API to auto or v3"
            )
        api = v3.API_VERSION
        try:
            observation = _read(api, video_translate_id, await self._ask(api, video_translate_id, at))
        except TransientError as error:
            raise TransientError(f"v2 answers as retired ({retired.name}), and v3: {error}") from error
        except NotFoundError:
            await self._count_proof(video_translate_id, api, at, because=retired.name)
            raise
        self._dialect.record_known(video_translate_id, api, at)
        await self._count_proof(video_translate_id, api, at, because=retired.name)
        return observation

    async def _count_proof(self, video_translate_id: str, api: str, at: datetime, because: str) -> None:
        if not self._dialect.record_proof(video_translate_id, api, at):
            return
        log.warning("heygen api switched", before=OTHER[api], now=api, because=because)
        try:
            await self._switched(api)
        except StoreError as error:  # the status matters more; after a restart, proofs are collected again
            log.error("heygen api not stored", error=str(error))

    def _log_retired(self, answer: Answer) -> None:
        if not self._has_logged_retired:
            log.error("v2 answers as retired", answer=answer.name, advice="set TRACKER_HEYGEN_API to auto")
        self._has_logged_retired = True


def _read(api: str, video_translate_id: str, answer: Answer) -> Observation:
    if api == v2.API_VERSION:
        return v2.read_status(video_translate_id, answer)
    if answer.looks_retired:  # a "Not Found" of a proxy or a removed route says nothing about the translation
        raise TransientError(f"{answer.name}: not an answer of HeyGen's v3")
    return v3.read_status(video_translate_id, answer)
