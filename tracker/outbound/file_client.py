"""The one client for file hosts: no key, no cookies, no proxies; every hop checked."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver
from yarl import URL

from tracker import __version__
from tracker.domain.files.allowed_hosts import FileHosts, Storage
from tracker.domain.files.ports import Download
from tracker.errors import BrokenTransferError, FileTooLargeError, UnsafeLinkError
from tracker.outbound.addresses import CheckedResolver
from tracker.outbound.file_answers import Promise, is_validator, read_promise, refuse_status
from tracker.outbound.stall_detection import Patience, PollLimits

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# To a link that was signed for GET alone, as S3's are, HEAD is a wrong signature.
HEAD_IS_NO_PROOF = frozenset({400, 401, 403, 405, 501})
BUFFER = 256 * 1024
TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class FileClient:
    """Implements `Files`; one for the process. `max_bytes`: the largest file that is taken.

    `resolver` turns names into addresses, which are checked here.
    """

    def __init__(
        self,
        hosts: FileHosts,
        *,
        max_bytes: int,
        patience: Patience | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._patience = patience or Patience()
        trusted = ssl.create_default_context(cafile=certifi.where())  # as the client of HeyGen trusts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=CheckedResolver(hosts, resolver or aiohttp.ThreadedResolver()),
                use_dns_cache=False,
                ssl=trusted,
                limit=0,
            ),
            headers={
                "User-Agent": f"heygen-tracker/{__version__}",
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BUFFER,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=2 * self._patience.connect,  # the name's address as well
                sock_connect=self._patience.connect,
                sock_read=self._patience.read,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection."""
        await self._session.close()

    @asynccontextmanager
    async def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AsyncIterator[Download]:
        """See `Files`. Without a validator, or where the host has another version, it begins at 0."""
        asked = offset if is_validator(validator) else 0
        shown, answer, promise = await self._begin(url, asked, validator)
        try:
            self._check_size(promise.size or 0, shown)
            async with aclosing(self._chunks(answer, promise, shown)) as chunks:
                yield Download(promise.offset, promise.size, promise.validator, promise.content_type, chunks)
        finally:
            answer.close()

    async def check(self, url: str) -> None:
        """See `Files`. Where HEAD proves nothing the first byte is asked for."""
        shown, answer = await self._ask("HEAD", url, {})
        answer.close()
        if answer.status in HEAD_IS_NO_PROOF:
            shown, answer = await self._ask("GET", url, {"Range": "bytes=0-0"})
            answer.close()
        refuse_status(answer.status, shown)

    async def _begin(
        self, url: str, asked: int, validator: str | None
    ) -> tuple[str, aiohttp.ClientResponse, Promise]:
        headers = {"Range": f"bytes={asked}-", "If-Range": validator or ""} if asked else {}
        shown, answer = await self._ask("GET", url, headers)
        promise = None
        try:
            refuse_status(answer.status, shown)
            promise = read_promise(answer.status, answer.headers, asked, validator, shown)
        finally:
            if promise is None:
                answer.close()
        return (shown, answer, promise) if promise else await self._begin(url, 0, None)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> tuple[str, aiohttp.ClientResponse]:
        """What may be told of the place in the end, and its answer; redirects are followed by hand."""
        place = self._hosts.place(url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._send(method, place, headers)
            if answer.status not in REDIRECTS:
                return place.shown, answer
            answer.close()
            if (location := answer.headers.get("Location")) is None:
                raise BrokenTransferError(f"{place.shown}: HTTP {answer.status} leads nowhere")
            place = self._hosts.onward(place, location)
        raise UnsafeLinkError(f"{place.shown}: leads on more than {MOST_REDIRECTS} times")

    async def _send(self, method: str, place: Storage, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._patience.head):
                return await self._session.request(
                    method, URL(place.url, encoded=True), headers=headers, allow_redirects=False
                )
        except TROUBLE as error:
            trouble = _words(error)
        # Not within `except`: what aiohttp raises may carry the url, and would hang on ours.
        raise BrokenTransferError(f"{place.shown}: {trouble}")

    async def _chunks(
        self, answer: aiohttp.ClientResponse, promise: Promise, shown: str
    ) -> AsyncGenerator[bytes, None]:
        received, limits = 0, PollLimits(self._patience)
        while promise.length != 0:
            chunk = await self._read(answer, limits, shown)
            received += len(chunk)
            if promise.length is not None and received > promise.length:
                raise BrokenTransferError(f"{shown}: more than the {promise.length} bytes that were promised")
            self._check_size(promise.offset + received, shown)
            if not chunk:
                break
            yield chunk
        if promise.length not in (None, received):
            raise BrokenTransferError(f"{shown}: ended after {received} of {promise.length} bytes")

    async def _read(self, answer: aiohttp.ClientResponse, limits: PollLimits, shown: str) -> bytes:
        """The next bytes, b"" at the end."""
        began = asyncio.get_running_loop().time()
        try:
            chunk = await answer.content.readany()
        except TROUBLE as error:
            trouble = _words(error)
        else:
            if not limits.suffices(len(chunk), asyncio.get_running_loop().time() - began):
                raise BrokenTransferError(f"{shown}: slower than {self._patience.least:g} bytes a second")
            return chunk
        raise BrokenTransferError(f"{shown}: {trouble}")

    def _check_size(self, size: int, shown: str) -> None:
        if size > self._max_bytes:
            raise FileTooLargeError(
                f"{shown}: is larger than TRACKER_ARCHIVE_MAX_BYTES allows ({self._max_bytes} bytes)"
            )


def _words(error: Exception) -> str:
    """What went wrong, without a word of the error's own text."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"the connection failed ({type(error).__name__})"
