"""The files that are kept: the states they are in, and when to try again."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from tracker.domain.links import LinkKind
from tracker.domain.schedule import back_off

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=6)
ATTEMPTS = 40  # in a row that brought nothing: a week, for as long as HeyGen's links live


class FileState(StrEnum):
    """Where a file is on its way into the archive."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    ARCHIVED = "archived"
    FAILED = "failed"  # given up, until a person asks again


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many attempts in a row that brought nothing; None: never."""
    if attempts >= ATTEMPTS:
        return None
    return now + back_off(attempts, FIRST_WAIT, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where archived files go: an absolute `path`, or a `bucket` with the `prefix` of its keys."""

    path: PurePosixPath | None = None
    bucket: str = ""
    prefix: str = ""

    @classmethod
    def parse(cls, text: object) -> object:
        """`/path`, `file:///path` or `s3://bucket/prefix`; raises ValueError that says what is wrong."""
        if not isinstance(text, str):
            return text
        if text.startswith("s3://"):
            return cls._parse_bucket(text)
        path = PurePosixPath(unquote(urlsplit(text).path) if text.startswith("file:///") else text)
        if not path.is_absolute() or "\0" in text or ".." in path.parts:
            raise ValueError("is no absolute path of a folder, and no s3://bucket/prefix")
        return cls(path=path)

    @classmethod
    def _parse_bucket(cls, text: str) -> "Destination":
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise ValueError("names no bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
        prefix = prefix.strip("/")
        if prefix and not re.fullmatch(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*", prefix):
            raise ValueError("has a prefix with signs that keys should not have")
        if {".", ".."} & set(prefix.split("/")) or len(prefix) > 100:
            raise ValueError("has a prefix with . or .., or one that is too long")
        return cls(bucket=bucket, prefix=prefix)

    def __str__(self) -> str:
        return str(self.path) if self.path else f"s3://{'/'.join(filter(None, (self.bucket, self.prefix)))}"


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of files that are kept, as people write them: `video, srt`."""

    kinds: frozenset[LinkKind]

    @classmethod
    def parse(cls, text: object) -> object:
        """Words with commas between them; raises ValueError for one that is no kind."""
        if not isinstance(text, str):
            return text
        words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
        unknown = [word for word in words if word not in set(LinkKind)]
        if unknown or not words:
            what = f"names {unknown[0][:40]!r}" if unknown else "names nothing"
            raise ValueError(f"{what}, and there are only {', '.join(LinkKind)}")
        return cls(frozenset(map(LinkKind, words)))

    def __str__(self) -> str:
        return ", ".join(kind for kind in LinkKind if kind in self.kinds)
