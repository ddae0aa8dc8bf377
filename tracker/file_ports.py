"""What links and the archive need of the outside, as Protocols."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tracker.domain.links import LinkKind


@dataclass(frozen=True, slots=True)
class Link:
    """A link as HeyGen gave it; whoever reads it can open the file, so that no repr shows it."""

    translation_id: int
    kind: LinkKind
    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way. `chunks` begin at `offset`: 0 where the host sends all of it again.

    `size`: bytes of the whole file, None where the host does not say. `validator`: what to send as
    If-Range when it is resumed (a strong ETag or a Last-Modified), None where there is none. The iterator
    raises BrokenTransferError where the connection breaks or fewer or more bytes come than promised, and
    FileTooLargeError as soon as the file is known to be too large.
    """

    offset: int
    size: int | None
    validator: str | None
    content_type: str | None
    chunks: AsyncIterator[bytes] = field(repr=False)


class Files(Protocol):
    """The file hosts. Both raise FileError's children; neither ever sends the API key."""

    def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """Begin to download, from `offset` on where the file still is the one of `validator`."""

    async def check(self, url: str) -> None:
        """Come back if the host would give the file now (HEAD)."""


class Links(Protocol):
    """Links that work, asked of HeyGen again only where that is needed."""

    async def fresh(self, translation_id: int, kind: LinkKind, *, refused: str | None = None) -> Link:
        """A link that is good for an hour at least.

        `refused`: the url that a file host has just refused; it is not given again. However many ask at
        once, HeyGen is asked once at most. Raises NotFoundError where there is no such file (the
        text says why), and what the client of HeyGen raises.
        """
