"""The one HTTP client for HeyGen: rate-limited, bounded in time and size, never following a redirect."""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport

from tracker.domain.observation import Observation
from tracker.errors import RateLimitedError, TransientError
from tracker.heygen import v2
from tracker.heygen.answers import Answer

ANSWER_BYTES = 2 * 1024 * 1024


class HeyGenClient:
    """Asks HeyGen; one for the process. `timeout` bounds a whole request, in seconds."""

    def __init__(
        self, api_key: str, base_url: str, *, rate_limit: float, concurrency: int, timeout: float = 15.0
    ) -> None:
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._http = httpx.AsyncClient(
            transport=AiohttpTransport(trust_env=False, limits=limits),
            base_url=base_url,
            headers={"x-api-key": api_key, "accept": "application/json"},
            follow_redirects=False,
            trust_env=False,
            timeout=timeout,
        )
        self._timeout = timeout
        self._turn = AsyncLimiter(1, 1 / rate_limit)  # evenly spaced; larger buckets let bursts through
        self._silent_until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, video_translate_id: str, at: datetime) -> Observation:
        """Ask for the status of one translation; raises HeyGenError where none was learnt.

        `at` is now: what is answered was true then, or later.
        """
        return v2.read_status(video_translate_id, await self._get(v2.status_path(video_translate_id), at))

    async def _get(self, path: str, at: datetime) -> Answer:
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        if (silence := self._silent_until - loop.time()) > 0:
            raise RateLimitedError("HeyGen asked for silence", retry_after=silence)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._read(path, at)
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._timeout:g} s") from error
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            aiohttp.ClientError,
        ) as error:  # some slip through untranslated
            raise TransientError(f"no answer: {type(error).__name__}") from error
        if answer.status_code == 429:  # also for those that wait for their turn already
            self._silent_until = max(self._silent_until, loop.time() + (answer.retry_after() or 0.0))
        return answer

    async def _read(self, path: str, at: datetime) -> Answer:
        async with self._http.stream("GET", path) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    raise TransientError(f"the answer is larger than {ANSWER_BYTES} bytes")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body), at)
