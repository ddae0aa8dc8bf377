"""The place that is a bucket of an S3-compatible service; obstore lives here (docs/decisions/0032).

Its blocking calls are used: those for asyncio can abort the process at its end.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from tracker.archive.disk_space import in_words
from tracker.archive.storage.folder import Complete
from tracker.errors import KeyTakenError, StorageError, UnwantedError

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta

PIECE = 8 * 1024 * 1024  # of a multipart upload; one that fails is sent again
MOST_PIECES = 10_000  # S3 takes no more
AT_ONCE = 2  # pieces of one file: they are held in memory
SHA256, OF = "sha256", "of"  # kept with each object, and what a HEAD tells
CODE = re.compile(r"<Code>(\w+)</Code>")
STATUS = re.compile(r"status code: (\d+)")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Which bucket, and how it is reached; without keys the AWS variables or the machine's role count."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    access_key: str | None
    secret_key: str | None = field(repr=False)
    allow_http: bool


class S3Storage:
    """Uploads to one bucket; parts gather in `spool`, a folder of this machine."""

    def __init__(self, settings: S3Settings, spool: Path) -> None:
        self._settings, self.spool = settings, spool
        self._store = _open(settings)

    def prepare(self) -> None:
        """See `Storage`."""
        with in_words(self.spool):
            self.spool.mkdir(parents=True, exist_ok=True)

    def publish(self, complete: Complete) -> str:
        """See `Storage`. An object appears with the end of its upload; S3 compares each piece's SHA-256."""
        key = "/".join(partial_file for partial_file in (self._settings.prefix, complete.key) if partial_file)
        location = f"s3://{self._settings.bucket}/{key}"
        try:
            if not self._is_there(key, complete, location):
                self._upload(key, complete)
                self._check_size(key, complete.size)
        except (BaseError, OSError) as error:  # what is not found is an OSError
            raise StorageError(self._in_words(error)) from error
        return location

    def _is_there(self, key: str, complete: Complete, location: str) -> bool:
        """Whether an earlier attempt stored it; raises KeyTakenError where something else is there."""
        try:
            found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return False
        if (found.meta["size"], found.attributes.get(SHA256)) == (complete.size, complete.sha256):
            return True
        if found.attributes.get(OF) != quote(complete.of) and complete.known != location:
            raise KeyTakenError(f"{location} is there already, and is not this file: move it away")
        return False

    def _upload(self, key: str, complete: Complete) -> None:
        attributes: Attributes = {SHA256: complete.sha256, OF: quote(complete.of)}
        if complete.content_type:
            attributes["Content-Type"] = complete.content_type
        piece = max(PIECE, math.ceil(complete.size / MOST_PIECES))
        obstore.put(
            self._store,
            key,
            _pieces(complete),
            attributes=attributes,
            use_multipart=complete.size > piece,
            chunk_size=piece,
            max_concurrency=AT_ONCE,
        )

    def _check_size(self, key: str, size: int) -> None:
        stored: ObjectMeta = obstore.head(self._store, key)
        if stored["size"] != size:
            raise StorageError(
                f"TRACKER_ARCHIVE: {key} has {stored['size']} bytes in the bucket, and {size} were sent"
            )

    def _in_words(self, error: Exception) -> str:
        """One line with what the service said, and no part of the request."""
        told, where = str(error), f"the bucket {self._settings.bucket}"
        said = CODE.search(told) or STATUS.search(told)
        code = said[1] if said else type(error).__name__
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            advice = "check TRACKER_ARCHIVE_S3_ACCESS_KEY, TRACKER_ARCHIVE_S3_SECRET_KEY, and their rights"
            return f"TRACKER_ARCHIVE: {where} refuses the keys ({code}); {advice}"
        if isinstance(error, FileNotFoundError):
            return f"TRACKER_ARCHIVE: there is no bucket {self._settings.bucket} ({code}); make it"
        return f"TRACKER_ARCHIVE: {where} cannot be reached, or has trouble ({code}); it is tried again"


def _pieces(complete: Complete) -> Iterator[bytes]:
    with complete.path.open("rb") as opened:
        while data := opened.read(PIECE):
            if complete.stopped():
                raise UnwantedError(f"{complete.key}: the upload was stopped")
            yield data


def _open(settings: S3Settings) -> S3Store:
    given = {
        "endpoint": settings.endpoint,
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
    }
    config: Any = {name: value for name, value in given.items() if value}
    config |= {"region": settings.region, "checksum_algorithm": "SHA256"}
    return S3Store(
        settings.bucket,
        config=config,
        client_options={
            "allow_http": settings.allow_http,
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(minutes=5),  # of one piece, over a slow line
        },
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )
