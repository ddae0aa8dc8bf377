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

ANSWER_BYTES = 8 * 1024 * 1024  # a page of a hundred translations with all their links


class HeyGenClient:
    """Asks HeyGen; one for the process. `timeout` bounds a whole request, in seconds.

    `asked` is told the kind of each request that goes out.
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
        self._queue = asyncio.Lock()  # those behind the first wait at whatever rate holds by then
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
        """Requests a second for the whole account, from the next but one on."""
        self._rate_limit = rate_limit
        # evenly spaced; larger buckets let bursts through
        self._turn = AsyncLimiter(1, self._sharers / rate_limit)

    def share(self, sharers: int, hold: timedelta) -> None:
        """So many trackers share the rate limit; for the time of `hold` the others do not know yet."""
        self._sharers = sharers
        self._held_until = asyncio.get_running_loop().time() + hold.total_seconds()
        self.set_rate_limit(self._rate_limit)

    def silence(self, time: timedelta) -> None:
        """HeyGen has asked another tracker of this account for silence."""
        until = asyncio.get_running_loop().time() + time.total_seconds()
        self._silent_until = max(self._silent_until, until)

    def set_api_key(self, api_key: str) -> bool:
        """Ask with this key from now on; True where it is another one."""
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
        """Send one request when its turn has come, and read the answer, whatever it says.

        `kind` names it for the figures; params that are None are left out; `at` is now: what is
        answered was true then, or later. Raises TransientError where no whole answer came, and
        RateLimitedError, without asking, while HeyGen wants silence.
        """
        loop = asyncio.get_running_loop()
        await self._wait_for_turn(loop)
        if (silence := self._silent_until - loop.time()) > 0:
            raise RateLimitedError("HeyGen asked for silence", retry_after=silence)
        given = {name: value for name, value in (params or {}).items() if value is not None}
        self._asked(kind)
        try:
            request = self._http.build_request(method, path, params=given or None, json=body, headers=headers)
            async with asyncio.timeout(self._timeout):
                answer = await self._read(request, at)
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._timeout:g} s") from error
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            aiohttp.ClientError,
        ) as error:  # some slip through untranslated
            raise TransientError(f"no answer: {type(error).__name__}") from error
        if answer.status_code == 429:  # also for those that wait for their turn already
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
        """True while nobody waits for a turn: a question that can wait makes nobody else wait."""
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
