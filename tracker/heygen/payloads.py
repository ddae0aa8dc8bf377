"""Tolerant readers for HeyGen's JSON: a value of any type is accepted and none is trusted."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tracker.domain.status import Status
from tracker.domain.translation import UNSTORABLE

EARLIEST = datetime(
    2020, 1, 1, tzinfo=UTC
)  # with a creation time of 0 a translation would be overdue at once
LONGEST_INTEGER = 300  # digits; a float overflows at 309

# Status words of all of HeyGen's endpoints (heygen-api section 2).
STATUS_WORDS = {
    **dict.fromkeys(("pending", "queued", "waiting"), Status.PENDING),
    **dict.fromkeys(("running", "processing"), Status.RUNNING),
    **dict.fromkeys(("success", "completed", "succeeded"), Status.SUCCESS),
    **dict.fromkeys(("failed", "error"), Status.FAILED),
}


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The object in `body`; raises ValueError, which says what is wrong."""
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_int=_parse_int)
    except UnicodeDecodeError as error:
        raise ValueError("the body is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    except ValueError as error:
        raise ValueError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - one error type for bad bodies
    return value


def _parse_int(digits: str) -> int | float:
    """Python refuses to parse thousands of digits, which JSON allows; no field needs their exact value."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else math.inf


def as_object(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str | None:
    """Text that both databases can store; other JSON values are serialized; empty text is None."""
    if value is None:
        return None
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except RecursionError:  # deep nesting that the parser just accepted
            return None
    return UNSTORABLE.sub("\ufffd", value) or None


def as_url(value: object) -> str | None:
    """An http(s) URL, else None: pages render it as a link."""
    text = as_text(value)
    return text if text and re.fullmatch(r"https?://[^\s]+", text, re.IGNORECASE) else None


def as_number(value: object) -> float | None:
    """A finite number other than a bool, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_time(value: object) -> datetime | None:
    """Unix seconds or ISO 8601, else None; also None for a time before HeyGen existed."""
    try:
        if (seconds := as_number(value)) is not None:
            time = datetime.fromtimestamp(seconds, UTC)
        elif isinstance(value, str):
            time = datetime.fromisoformat(value)
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return time if time >= EARLIEST else None


def as_status(value: object) -> tuple[Status | None, str | None]:
    """The status (None: an unknown word) and the raw text.

    Published values look like `failed: Video rendering failed`: the status is the part before the colon
    (heygen-api section 1).
    """
    raw = as_text(value)
    word = raw.partition(":")[0].strip().lower() if raw else ""
    return STATUS_WORDS.get(word), raw


def first_text(data: Mapping[str, Any], *names: str) -> str | None:
    """The first non-empty of these fields; for an object, its message or code."""
    for name in names:
        value = data.get(name)
        if isinstance(value, dict):
            value = value.get("message") or value.get("code") or (value or None)
        if text := as_text(value):
            return text
    return None
