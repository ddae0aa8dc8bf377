"""One file from its host into its part: a link that works, streamed, resumed where it broke off."""

from collections.abc import Callable

from tracker.archive.partial_file import PartialFile
from tracker.archive.throttle import Throttle
from tracker.archive.worker_thread import WorkerThread
from tracker.domain.files.keys import extension_of
from tracker.domain.files.ports import Download, Files, Links
from tracker.domain.files.records import FileClaim
from tracker.errors import BrokenTransferError, LinkRefusedError

PIECE = 256 * 1024  # bytes that are gathered before they are written

Told = Callable[[int, int | None], None]


class Downloader:
    """Brings files; `bandwidth` is what all of them share."""

    def __init__(self, files: Files, links: Links, throttle: Throttle) -> None:
        self._files, self._links = files, links
        self.throttle = throttle

    async def fetch(
        self, claim: FileClaim, partial_file: PartialFile, worker_thread: WorkerThread, told: Told
    ) -> None:
        """Until the part is complete; `told` hears how many bytes have come, and of how many.

        A link that is refused is replaced once. Raises FileError, ArchiveError, HeyGenError; what has come
        by then is kept for the next time.
        """
        if partial_file.note.is_complete:
            return
        link = await self._links.fresh(claim.translation_id, claim.kind)
        try:
            await self._stream(link.url, claim, partial_file, worker_thread, told)
        except LinkRefusedError:
            link = await self._links.fresh(claim.translation_id, claim.kind, refused=link.url)
            await self._stream(link.url, claim, partial_file, worker_thread, told)

    async def _stream(
        self, url: str, claim: FileClaim, partial_file: PartialFile, worker_thread: WorkerThread, told: Told
    ) -> None:
        validator = partial_file.note.validator
        offset = partial_file.length if validator else 0
        async with self._files.open(url, offset=offset, validator=validator) as download:
            await worker_thread.do(
                partial_file.begin,
                download.offset,
                size=download.size,
                validator=download.validator,
                content_type=download.content_type,
                extension=extension_of(url, claim.kind),
            )
            told(partial_file.length, download.size)
            try:
                await self._receive(download, partial_file, worker_thread, told)
            finally:
                await worker_thread.do(partial_file.sync)
        if download.size is not None and partial_file.length != download.size:
            raise BrokenTransferError(f"{partial_file.length} bytes came, and {download.size} were promised")
        await worker_thread.do(partial_file.finish)

    async def _receive(
        self, download: Download, partial_file: PartialFile, worker_thread: WorkerThread, told: Told
    ) -> None:
        gathered = bytearray()
        try:
            async for chunk in download.chunks:
                await self.throttle.take(len(chunk))
                gathered += chunk
                if len(gathered) >= PIECE:
                    piece, gathered = bytes(gathered), bytearray()
                    await worker_thread.do(partial_file.write, piece)
                    told(partial_file.length, download.size)
        finally:
            if gathered:
                await worker_thread.do(partial_file.write, bytes(gathered))
                told(partial_file.length, download.size)
