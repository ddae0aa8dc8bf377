"""Claims files that are due, has them brought and put into their place, and notes what became of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from tracker.archive.downloader import Downloader
from tracker.archive.lease import ActiveDownload, held
from tracker.archive.partial_file import PartialFile
from tracker.archive.pause import LONGEST_PAUSE, Pause, pause_after
from tracker.archive.storage.folder import Complete, Storage
from tracker.archive.worker_thread import WorkerThread
from tracker.domain.files.keys import FileFields, FileOf, KeyTemplate
from tracker.domain.files.ports import ArchiveStore
from tracker.domain.files.records import Archived, FileClaim
from tracker.domain.files.states import next_attempt
from tracker.domain.limits import FILE_LEASE
from tracker.domain.links import LinkKind
from tracker.domain.ports import Clock
from tracker.errors import (
    AccountError,
    DiskFullError,
    FileError,
    FileTooLargeError,
    HeyGenError,
    KeyTakenError,
    PartialFileInUseError,
    RateLimitedError,
    StorageClosedError,
    StorageError,
    StoreError,
    UnsafeLinkError,
    UnwantedError,
)

log = structlog.get_logger("tracker.archive")

ACCOUNT_PAUSE = timedelta(minutes=5)
IN_USE_PAUSE = timedelta(minutes=1)
OUT_OF_THE_WAY = 2 * LONGEST_PAUSE  # what could not be kept: by then others have shown whether they can
FOR_GOOD = (UnsafeLinkError, FileTooLargeError, KeyTakenError)

Key = tuple[int, LinkKind]


class ArchiveFigures(Protocol):
    """Where counts go."""

    def archived(self, kind: str, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """`concurrency` files at once; `bandwidth`: bytes a second for all, None: as many as come; `min_free`
    bytes of the disk are left to others."""

    concurrency: int
    throttle: int | None
    min_free: int


class Archiver:
    """Brings due files, `limits.concurrency` at a time. `owner` names this tracker in claims.

    `template` makes the keys. `limits` may change at any time: see `set_limits`. `rests`: why HeyGen gave no
    link last time, for whichever file it was.
    """

    def __init__(
        self,
        store: ArchiveStore,
        downloader: Downloader,
        storage: Storage,
        template: KeyTemplate,
        clock: Clock,
        *,
        owner: str,
        limits: ArchiveLimits,
        figures: ArchiveFigures,
    ) -> None:
        self._store, self._downloader, self._storage = store, downloader, storage
        self._template, self._clock, self._owner = template, clock, owner
        self._figures = figures
        self._limits = limits
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._is_stopping = False
        self.under_way: dict[Key, ActiveDownload] = {}
        self.pause: Pause | None = None
        self.rests: AccountError | None = None

    def set_limits(self, limits: ArchiveLimits) -> None:
        """From now on; what is under way keeps the room on the disk that it was begun with."""
        self._limits = limits
        self._downloader.throttle.set_limit(limits.throttle)

    async def tick(self, of: Collection[int] | None = None) -> None:
        """Begin what is due, of these translations (None: of any), as far as there is room for it.

        Raises StoreError.
        """
        now = self._clock()
        room = self._limits.concurrency - len(self._tasks)
        if self._is_stopping or room <= 0:
            return
        if self.pause is not None and await self.pause.is_in_force(now, self._storage.spool):
            return
        if self.pause is not None:
            room = min(room, 1)  # one tries whether it works again
        for claim in await self._store.claim(now, room, self._owner, FILE_LEASE, of):
            await self._begin(claim, now)

    async def _begin(self, claim: FileClaim, now: datetime) -> None:
        key = claim.translation_id, claim.kind
        if self._is_stopping:  # since we asked for it
            await self._store.give_back(claim, now)
            return
        if key in self._tasks:  # its claim had lapsed, as while the database was away
            await self._store.give_back(claim, now + IN_USE_PAUSE)
            return
        one = ActiveDownload(claim)
        task = asyncio.create_task(self._archive(one), name=f"archive {claim.translation_id}")
        self.under_way[key], self._tasks[key] = one, task
        task.add_done_callback(partial(self._ended, key))

    async def idle(self, patience: float) -> None:
        """Come back when something that is under way has ended, or after so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(patience)

    async def stop(self, patience: float) -> None:
        """Begin nothing more, give back what is under way: what has come of it is kept on the disk.

        What is complete may still be put into its place, for so many seconds.
        """
        self._is_stopping = True
        for one in self.under_way.values():
            one.is_stopped = True
        self._cancel_what_comes()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=patience)
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=patience)

    def _cancel_what_comes(self) -> None:
        for key, task in self._tasks.items():
            if self.under_way[key].is_coming and task is not asyncio.current_task():
                task.cancel()

    def _ended(self, key: Key, _task: asyncio.Task[None]) -> None:
        del self.under_way[key], self._tasks[key]

    # One file

    async def _archive(self, one: ActiveDownload) -> None:
        try:
            async with held(self._store, one, self._clock):
                await self._bring(one)
        except asyncio.CancelledError:
            one.is_stopped = True
            with suppress(StoreError):
                async with one.writing:
                    await self._store.give_back(one.claim, self._clock())
        except StoreError as error:
            log.warning("file not archived; will be retried", **_named(one.claim), error=str(error))
        except Exception:  # its claim lapses, and then it is tried again
            log.exception("file not archived; will be retried", **_named(one.claim))

    async def _bring(self, one: ActiveDownload) -> None:
        begun = 0
        try:
            async with self._open_partial_file(one) as (partial_file, worker_thread):
                begun = one.done
                try:
                    await self._downloader.fetch(one.claim, partial_file, worker_thread, one.told)
                except (UnsafeLinkError, FileTooLargeError):  # what has come is of no use
                    await worker_thread.do(partial_file.remove)
                    raise
                one.is_coming = False
                archived = await worker_thread.do(self._publish, one, partial_file)
                async with one.writing:
                    is_ours = await self._store.keep(one.claim, archived)
                await worker_thread.do(partial_file.remove)
                if is_ours:
                    one.archived, self.rests = archived, None
                    self._tell(one.claim, archived)
        except PartialFileInUseError:
            await self._put_off(one, IN_USE_PAUSE)
        except UnwantedError:
            await self._put_off(one, timedelta())
        except (DiskFullError, StorageError) as error:
            is_closed = isinstance(error, StorageClosedError)  # then no other file has better luck
            await self._put_off(one, timedelta() if is_closed else OUT_OF_THE_WAY)
            self._pause_for(error)
        except AccountError as error:
            self.rests = error
            asked = error.retry_after if isinstance(error, RateLimitedError) else None
            await self._put_off(one, timedelta(seconds=asked) if asked else ACCOUNT_PAUSE)
        except (FileError, HeyGenError, KeyTakenError) as error:
            await self._note(one, error, came=one.done > begun)

    @asynccontextmanager
    async def _open_partial_file(
        self, one: ActiveDownload
    ) -> AsyncIterator[tuple[PartialFile, WorkerThread]]:
        of = f"{one.claim.kind} of {one.claim.video_translate_id}"
        name = f"{hashlib.sha256(of.encode(errors='surrogatepass')).hexdigest()[:32]}-{one.claim.kind}"
        partial_file, worker_thread = (
            PartialFile(self._storage.spool, name, of, self._limits.min_free),
            WorkerThread(),
        )
        try:
            await worker_thread.do(self._storage.prepare)
            await worker_thread.do(partial_file.open)
            one.told(partial_file.length, partial_file.note.size)
            yield partial_file, worker_thread
        finally:
            await worker_thread.do(partial_file.close)
            worker_thread.rest()

    def _publish(self, one: ActiveDownload, partial_file: PartialFile) -> Archived:
        """In the part's thread: a bucket takes long, and so does a slow disk."""
        complete = Complete(
            path=partial_file.path,
            key=self._template.key_of(_fields(one.claim, partial_file.note.extension)),
            size=partial_file.length,
            sha256=partial_file.sha256,
            content_type=partial_file.note.content_type,
            of=partial_file.note.of,
            known=one.claim.location,
            stopped=lambda: one.is_stopped,
        )
        location = self._storage.publish(complete)
        return Archived(location, partial_file.length, partial_file.sha256, partial_file.note.content_type)

    def _tell(self, claim: FileClaim, archived: Archived) -> None:
        self._figures.archived(claim.kind, archived.bytes)
        log.info("file archived", **_named(claim), location=archived.location, bytes=archived.bytes)
        if self.pause is not None:
            log.info("archive resumed")
            self.pause = None

    # What went wrong

    async def _note(self, one: ActiveDownload, error: Exception, *, came: bool) -> None:
        """Of this very file; where something came of it at all, the waits begin anew."""
        attempts = 1 if came else one.claim.attempts + 1
        due = None if isinstance(error, FOR_GOOD) else next_attempt(attempts, self._clock())
        async with one.writing:
            await self._store.fail(one.claim, str(error), attempts, due)
        tell = log.error if due is None else log.warning
        tell(
            "file not archived; gave up" if due is None else "file not archived; will be retried",
            **_named(one.claim),
            error=str(error),
        )

    async def _put_off(self, one: ActiveDownload, wait: timedelta) -> None:
        async with one.writing:
            await self._store.give_back(one.claim, self._clock() + wait)

    def _pause_for(self, error: DiskFullError | StorageError) -> None:
        """Perhaps nothing can be kept at present, whichever file it is."""
        before, self.pause = self.pause, pause_after(error, self._clock(), self.pause)
        if before is None or type(before.error) is not type(error):
            log.warning("archive paused", reason=str(error))
        if isinstance(error, DiskFullError):
            self._cancel_what_comes()


def _fields(claim: FileClaim, extension: str) -> FileFields:
    return FileFields(extension=extension, **{one.name: getattr(claim, one.name) for one in fields(FileOf)})


def _named(claim: FileClaim) -> dict[str, str]:
    return {"video_translate_id": claim.video_translate_id, "kind": str(claim.kind)}
