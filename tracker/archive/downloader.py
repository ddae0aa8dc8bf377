"""One file from its host into its part: a link that works, streamed, resumed where it broke off."""

from collections.abc import Callable

from tracker.archive.partial_file import Part
from tracker.archive.throttle import Bandwidth
from tracker.archive.worker_thread import Hands
from tracker.domain.files.keys import extension_of
from tracker.domain.files.ports import Download, Files, Links
from tracker.domain.files.records import FileClaim
from tracker.errors import BrokenTransferError, LinkRefusedError

PIECE = 256 * 1024  # bytes that are gathered before they are written

Told = Callable[[int, int | None], None]


class Fetcher:
    """Brings files; `bandwidth` is what all of them share."""

    def __init__(self, files: Files, links: Links, bandwidth: Bandwidth) -> None:
        self._files, self._links = files, links
        self.bandwidth = bandwidth

    async def fetch(self, claim: FileClaim, part: Part, hands: Hands, told: Told) -> None:
        """Until the part is complete; `told` hears how many bytes have come, and of how many.

        A link that is refused is replaced once. Raises FileError, ArchiveError, HeyGenError; what has come
        by then is kept for the next time.
        """
        if part.note.is_complete:
            return
        link = await self._links.fresh(claim.translation_id, claim.kind)
        try:
            await self._stream(link.url, claim, part, hands, told)
        except LinkRefusedError:
            link = await self._links.fresh(claim.translation_id, claim.kind, refused=link.url)
            await self._stream(link.url, claim, part, hands, told)

    async def _stream(self, url: str, claim: FileClaim, part: Part, hands: Hands, told: Told) -> None:
        validator = part.note.validator
        offset = part.length if validator else 0
        async with self._files.open(url, offset=offset, validator=validator) as download:
            await hands.do(
                part.begin,
                download.offset,
                size=download.size,
                validator=download.validator,
                content_type=download.content_type,
                extension=extension_of(url, claim.kind),
            )
            told(part.length, download.size)
            try:
                await self._receive(download, part, hands, told)
            finally:
                await hands.do(part.sync)
        if download.size is not None and part.length != download.size:
            raise BrokenTransferError(f"{part.length} bytes came, and {download.size} were promised")
        await hands.do(part.finish)

    async def _receive(self, download: Download, part: Part, hands: Hands, told: Told) -> None:
        gathered = bytearray()
        try:
            async for chunk in download.chunks:
                await self.bandwidth.take(len(chunk))
                gathered += chunk
                if len(gathered) >= PIECE:
                    piece, gathered = bytes(gathered), bytearray()
                    await hands.do(part.write, piece)
                    told(part.length, download.size)
        finally:
            if gathered:
                await hands.do(part.write, bytes(gathered))
                told(part.length, download.size)
