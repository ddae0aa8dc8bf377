"""Links: until when they work, when to renew them, and whether one leads elsewhere now."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

LIFETIME = timedelta(days=7)  # of a link that does not say it (heygen-api section 5)
# A link that was fetched late may have ended long ago; beyond these, what it says is no time of HeyGen's.
LONGEST_DEAD = timedelta(days=30)
LONGEST_LIFE = timedelta(days=366)
RENEWED_BEFORE = timedelta(days=1)  # a link ends, where they are always kept fresh
SHORTEST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=7)  # until that is tried again


class LinkKind(StrEnum):
    """The files of a translation that HeyGen gives links to."""

    VIDEO = "video"
    AUDIO = "audio"
    CAPTIONS = "captions"  # .ass
    SRT = "srt"
    VTT = "vtt"

    @property
    def column(self) -> str:
        """The column of `translations`, and field of `Details`, that holds the link."""
        return {"video": "url", "captions": "caption_url"}.get(self, f"{self}_url")

    @property
    def expiry_column(self) -> str:
        """The column, and field of `Translation`, that says until when the link works."""
        return f"{self.column}_expires_at"


@dataclass(frozen=True, slots=True)
class Move:
    """A link that leads to another place than before; both without their queries, which differ every time."""

    kind: LinkKind
    old: str
    new: str


def expires_at(url: str, fetched_at: datetime) -> datetime:
    """What the url itself says, else 7 days after `fetched_at`.

    Urls of CloudFront say it in `Expires` or `Policy`, urls of S3 in `X-Amz-Date` and `X-Amz-Expires`.
    What cannot be read says nothing, and neither does what is absurd: more than 30 days before
    `fetched_at`, or more than a year after it.
    """
    try:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    except ValueError:
        query = {}
    earliest, latest = fetched_at - LONGEST_DEAD, fetched_at + LONGEST_LIFE
    credible = (said for said in _said(query) if earliest <= said <= latest)
    return next(credible, fetched_at + LIFETIME)


def _said(query: Mapping[str, str]) -> Iterator[datetime]:
    """Every end that the query names, in any of the three dialects."""
    for read in (_expires, _policy, _signed):
        try:
            yield read(query)
        except (LookupError, TypeError, ValueError, OverflowError, OSError, RecursionError):
            continue


def _expires(query: Mapping[str, str]) -> datetime:
    return datetime.fromtimestamp(int(query["Expires"]), UTC)


def _policy(query: Mapping[str, str]) -> datetime:
    """CloudFront's custom policy: JSON in base64, with -_~ for what means something in urls."""
    text = base64.b64decode(query["Policy"].translate(str.maketrans("-_~", "+=/")), validate=True)
    policy: Any = json.loads(text)
    condition = policy["Statement"][0]["Condition"]
    return datetime.fromtimestamp(int(condition["DateLessThan"]["AWS:EpochTime"]), UTC)


def _signed(query: Mapping[str, str]) -> datetime:
    signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed + timedelta(seconds=int(query["X-Amz-Expires"]))


def address(url: str) -> str:
    """Where the url leads: scheme, host and path. Query and user, which may open the file, are left out."""
    plain = url.partition("#")[0].partition("?")[0]
    scheme, has_host, rest = plain.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{has_host}{host.rpartition('@')[2].lower()}{slash}{path}"


def moved(kind: LinkKind, known: str | None, told: str | None) -> Move | None:
    """Whether the link leads elsewhere now; another query leads to the same file."""
    if known is None or told is None:
        return None
    old, new = address(known), address(told)
    return Move(kind, old, new) if old != new else None


def renewal(ends: Iterable[datetime | None], asked_at: datetime) -> datetime | None:
    """When to ask for new links, after HeyGen was asked at `asked_at`; None where there are none.

    A day before the first of them ends. Where that is near, or over, because a link lives shortly or HeyGen
    did not renew it: after half the time that it has left, or has been dead for, and a week at most. So
    a link is asked for nine times before it ends, and one that nobody knows any more ever more seldom.
    """
    known = [end for end in ends if end is not None]
    if not known:
        return None
    end = min(known)
    wait = min(max(abs(end - asked_at) / 2, SHORTEST_WAIT), LONGEST_WAIT)
    return max(end - RENEWED_BEFORE, asked_at + wait)


@dataclass(frozen=True, slots=True)
class Link:
    """A link as HeyGen gave it; whoever reads it can open the file, so that no repr shows it."""

    translation_id: int
    kind: LinkKind
    url: str = field(repr=False)
    expires_at: datetime
