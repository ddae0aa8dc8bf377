"""The one HTTP client for HeyGen: rate-limited, bounded in time and size, never following a redirect."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport

from tracker.errors import RateLimitedError, TransientError
from tracker.heygen.answers import Answer

ANSWER_BYTES = 8 * 1024 * 1024  # fits a page of a hundred translations with all their links


class HeyGenClient:
    """Sends requests to HeyGen; one client for the process. `timeout` bounds a whole request, in seconds.

    `asked` is called with the kind of each request that is sent.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        *,
        rate_limit: float,
        concurrency: int,
        timeout: float = 15.0,
        asked: Callable[[str], None] = lambda _kind: None,
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
        self._waiting = 0
        self._queue = (
            asyncio.Lock()
        )  # only the first waits at the rate limiter: a new rate holds for all others
        self._sharers = 1
        self.set_rate_limit(rate_limit)
        self._silent_until = self._held_until = 0.0
        self._asked = asked
        self.silenced: Callable[[float], None] = lambda _seconds: None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def set_rate_limit(self, rate_limit: float) -> None:
        """Set the requests per second of the whole account, from the next but one on."""
        self._rate_limit = rate_limit
        # spaced evenly: a larger bucket allows bursts
        self._turn = AsyncLimiter(1, self._sharers / rate_limit)

    def share(self, sharers: int, hold: timedelta) -> None:
        """Share the rate limit among `sharers` trackers; send nothing for `hold`, until the others know."""
        self._sharers = sharers
        self._held_until = asyncio.get_running_loop().time() + hold.total_seconds()
        self.set_rate_limit(self._rate_limit)

    def silence(self, time: timedelta) -> None:
        """Send nothing for `time`: HeyGen has rate-limited another tracker of this account."""
        until = asyncio.get_running_loop().time() + time.total_seconds()
        self._silent_until = max(self._silent_until, until)

    def set_api_key(self, api_key: str) -> bool:
        """Use this key from now on; True if it differs from the last one."""
        is_new = self._http.headers["x-api-key"] != api_key
        self._http.headers["x-api-key"] = api_key
        return is_new

    async def ask(
        self,
        kind: str,
        path: str,
        at: datetime,
        *,
        method: str = "GET",
        params: Mapping[str, str | None] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Wait for the rate limiter, send one request and return the answer, errors included.

        `kind` labels it in the metrics; params that are None are omitted; `at` is now, so the answer is
        not older. Raises TransientError if no complete answer arrives, and RateLimitedError, without a
        request, while HeyGen's Retry-After lasts.
        """
        loop = asyncio.get_running_loop()
        await self._wait_for_turn(loop)
        if (silence := self._silent_until - loop.time()) > 0:
            raise RateLimitedError("HeyGen's Retry-After has not passed yet", retry_after=silence)
        query = {name: value for name, value in (params or {}).items() if value is not None}
        self._asked(kind)
        try:
            request = self._http.build_request(method, path, params=query or None, json=body, headers=headers)
            async with asyncio.timeout(self._timeout):
                answer = await self._read(request, at)
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._timeout:g} s") from error
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            aiohttp.ClientError,
        ) as error:  # httpx-aiohttp does not translate all of them
            raise TransientError(f"no answer: {type(error).__name__}") from error
        if answer.status_code == 429:  # holds for requests that wait for the rate limiter too
            retry_after = answer.retry_after() or 0.0
            self._silent_until = max(self._silent_until, loop.time() + retry_after)
            if retry_after:
                self.silenced(retry_after)
        return answer

    async def _wait_for_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting += 1
        try:
            async with self._queue:
                await asyncio.sleep(max(0.0, self._held_until - loop.time()))
                await self._turn.acquire()
        finally:
            self._waiting -= 1

    @property
    def is_idle(self) -> bool:
        """True while no request waits for the rate limiter: an optional request delays no other."""
        return self._waiting == 0

    async def _read(self, request: httpx.Request, at: datetime) -> Answer:
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    raise TransientError(f"the answer is larger than {ANSWER_BYTES} bytes")
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body), at)
