"""Answers both listeners give: JSON, with an `error` that people can read."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from tracker.errors import (
    AccountError,
    FileError,
    HeyGenError,
    InputError,
    LinkEndedError,
    NotFinishedError,
    NotFoundError,
    StoreError,
    TrackerError,
    TransientError,
)

RETRY_AFTER = {"Retry-After": "5"}
STATUS_CODES: dict[type[TrackerError], int] = {  # the first that fits counts
    InputError: 400,
    StoreError: 503,
    NotFinishedError: 409,
    NotFoundError: 404,
    AccountError: 503,
    TransientError: 503,
    HeyGenError: 502,
    LinkEndedError: 410,
    FileError: 502,
}


class Json(JSONResponse):
    """JSON whose times are ISO 8601 in UTC."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_plain, ensure_ascii=False, allow_nan=False).encode()


def refuse(status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Json:
    """An answer that says what was wrong."""
    return Json({"error": error}, status_code, headers)


def http_error(_request: Request, error: Exception) -> Json:
    """Starlette's own refusals (404, 405) in our form."""
    if not isinstance(error, HTTPException):
        raise error
    return refuse(error.status_code, error.detail, error.headers)


def tracker_error(_request: Request, error: Exception) -> Json:
    """One table from our errors to HTTP."""
    for kind, status_code in STATUS_CODES.items():
        if isinstance(error, kind):
            return refuse(status_code, str(error), RETRY_AFTER if status_code == 503 else None)
    raise error


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
