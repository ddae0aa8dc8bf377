"""Until when a result link works (heygen-api section 5)."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

LIFETIME = timedelta(days=7)


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


def expires_at(url: str, fetched_at: datetime) -> datetime:
    """What the url itself says (CloudFront `Expires`, S3 `X-Amz-Date` + `X-Amz-Expires`), else 7 days."""
    try:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if "Expires" in query:
            return datetime.fromtimestamp(int(query["Expires"]), UTC)
        if "X-Amz-Date" in query and "X-Amz-Expires" in query:
            signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return signed + timedelta(seconds=int(query["X-Amz-Expires"]))
    except (ValueError, OverflowError, OSError):
        return fetched_at + LIFETIME
    return fetched_at + LIFETIME
