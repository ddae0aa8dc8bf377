"""A file host and HeyGen's links as the archiver sees them, with everything that can go wrong."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.builders import NOON
from tracker.domain.files.ports import Download
from tracker.domain.links import Link, LinkKind
from tracker.errors import BrokenTransferError, LinkRefusedError

CHUNK = 64 * 1024


@dataclass
class Fault:
    """What one request meets: it breaks after so many bytes, `error` is raised, or it waits for `gate`."""

    break_after: int | None = None
    error: Exception | None = None
    gate: asyncio.Event | None = None
    ignores_range: bool = False
    lies_about_size: int = 0


@dataclass
class FakeFiles:
    """Serves `data` for every url; `faults` are met one by one, then all goes well."""

    data: dict[str, bytes] = field(default_factory=dict)
    every: bytes = b""
    faults: list[Fault] = field(default_factory=list)
    validator: str | None = '"1"'
    knows_size: bool = True
    asked: list[tuple[str, int]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    in_flight: int = 0
    most_in_flight: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    before_chunk: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AsyncGenerator[Download, None]:
        await asyncio.sleep(0)
        self.asked.append((url, offset))
        fault = self.faults.pop(0) if self.faults else Fault()
        if url in self.refused:
            raise LinkRefusedError("the host refuses the link (HTTP 403)")
        if fault.error is not None:
            raise fault.error
        whole = self.data.get(url, self.every)
        if fault.ignores_range or validator != self.validator:
            offset = 0
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        size = len(whole) + fault.lies_about_size if self.knows_size else None
        try:
            yield Download(offset, size, self.validator, "video/mp4", self._send(whole, offset, fault))
        finally:
            self.in_flight -= 1

    async def _send(self, whole: bytes, offset: int, fault: Fault) -> AsyncIterator[bytes]:
        end = len(whole) if fault.break_after is None else offset + fault.break_after
        for start in range(offset, min(end, len(whole)), CHUNK):
            await asyncio.sleep(0)
            self.before_chunk()
            yield whole[start : min(start + CHUNK, end)]
            self.begun.set()
            if fault.gate is not None:
                await fault.gate.wait()
        if fault.break_after is not None:
            raise BrokenTransferError(f"the connection broke after {end} bytes")

    async def check(self, url: str) -> None:
        """Not asked by the archive."""


@dataclass
class FakeLinks:
    """Gives a new link each time one was refused; `errors` are raised one by one."""

    errors: list[Exception] = field(default_factory=list)
    asked: list[tuple[int, LinkKind, str | None]] = field(default_factory=list)
    renewed: int = 0

    async def fresh(self, translation_id: int, kind: LinkKind, *, refused: str | None = None) -> Link:
        await asyncio.sleep(0)
        self.asked.append((translation_id, kind, refused))
        if self.errors:
            raise self.errors.pop(0)
        if refused is not None:
            self.renewed += 1
        return Link(translation_id, kind, self.url(translation_id, kind), NOON + timedelta(days=7))

    def url(self, translation_id: int, kind: LinkKind) -> str:
        return f"https://files.example/{translation_id}/{kind}.mp4?Signature={self.renewed}"


@dataclass
class Counted:
    """What the figures heard."""

    files: list[tuple[str, int]] = field(default_factory=list)

    def archived(self, kind: str, size: int) -> None:
        self.files.append((kind, size))


@dataclass
class MovingClock:
    """Stands until it is told to go on."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by
