"""Puts the archive together as the settings say: its place, its limits, the file hosts.

The client for file hosts and obstore are imported where they are opened: few verbs want them.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tracker.archive.archiver import ArchiveFigures, ArchiveLimits, Archiver
from tracker.archive.downloader import Downloader
from tracker.archive.storage.folder import FolderStorage, Storage
from tracker.archive.throttle import Throttle
from tracker.domain.files.allowed_hosts import FileHosts
from tracker.domain.files.ports import ArchiveStore, Download, Files, Links
from tracker.domain.files.records import Missing
from tracker.domain.files.states import Destination
from tracker.domain.ports import Clock
from tracker.errors import SettingsError
from tracker.settings import Settings
from tracker.store.repository import Repository

if TYPE_CHECKING:
    from tracker.outbound.file_client import FileClient

MOST_MISSING = 10_000  # files that figures count to


class FilesAtNeed:
    """The client for file hosts, which goes nowhere else; made when a file is wanted: few verbs want one."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = FileHosts(settings.file_hosts, settings.file_hosts_unsafe)
        self._max_bytes = settings.archive_max_bytes
        self._client: FileClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> "FileClient":
        """The one client."""
        if self._client is None:
            from tracker.outbound.file_client import FileClient

            self._client = FileClient(self._hosts, max_bytes=self._max_bytes)
        return self._client

    def open(
        self, url: str, *, offset: int = 0, validator: str | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """See `Files`."""
        return self.client.open(url, offset=offset, validator=validator)

    async def check(self, url: str) -> None:
        """See `Files`."""
        await self.client.check(url)


def open_archiver(
    settings: Settings,
    repository: Repository,
    files: Files,
    links: Links,
    clock: Clock,
    figures: ArchiveFigures,
    *,
    owner: str,
) -> Archiver:
    """The archiver; from now on each end that is stored leaves rows for its files. Raises SettingsError."""
    if settings.archive is None:
        raise SettingsError("TRACKER_ARCHIVE: is not set; example: /srv/heygen")
    repository.archive = settings.archive_kinds.kinds
    limits = limits_of(settings)
    return Archiver(
        repository.files,
        Downloader(files, links, Throttle(limits.throttle)),
        _storage(settings, settings.archive),
        settings.archive_key,
        clock,
        owner=owner,
        limits=limits,
        figures=figures,
    )


def limits_of(settings: Settings) -> ArchiveLimits:
    """What may change while it runs."""
    return ArchiveLimits(settings.archive_concurrency, settings.archive_bandwidth, settings.archive_min_free)


async def missing(store: ArchiveStore, now: datetime) -> Missing:
    """What is wanted and not archived; raises StoreError."""
    oldest = await store.oldest_missing()
    age = (now - oldest).total_seconds() if oldest else 0.0
    return Missing(await store.counts(MOST_MISSING), age)


def _storage(settings: Settings, destination: Destination) -> Storage:
    if destination.path is not None:
        return FolderStorage(Path(destination.path))
    from tracker.archive.storage.s3 import S3Settings, S3Storage

    spool, access, secret = (
        settings.archive_spool,
        settings.archive_s3_access_key,
        settings.archive_s3_secret_key,
    )
    assert spool is not None  # the settings see to it
    bucket = S3Settings(
        bucket=destination.bucket,
        prefix=destination.prefix,
        endpoint=settings.archive_s3_endpoint,
        region=settings.archive_s3_region,
        access_key=access.get_secret_value() if access else None,
        secret_key=secret.get_secret_value() if secret else None,
        allow_http=settings.archive_s3_allow_http,
    )
    return S3Storage(bucket, spool)
