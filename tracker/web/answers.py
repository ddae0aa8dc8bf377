"""Responses of both listeners: JSON, with a readable `error`."""

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
STATUS_CODES: dict[type[TrackerError], int] = {  # the first match wins
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
    """JSON with times as ISO 8601 in UTC."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_as_json, ensure_ascii=False, allow_nan=False).encode()


def refuse(status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Json:
    """An error response."""
    return Json({"error": error}, status_code, headers)


def http_error(_request: Request, error: Exception) -> Json:
    """Starlette's own errors (404, 405) in the same format."""
    if not isinstance(error, HTTPException):
        raise error
    return refuse(error.status_code, error.detail, error.headers)


def tracker_error(_request: Request, error: Exception) -> Json:
    """Maps TrackerError to an HTTP status, by STATUS_CODES."""
    for kind, status_code in STATUS_CODES.items():
        if isinstance(error, kind):
            return refuse(status_code, str(error), RETRY_AFTER if status_code == 503 else None)
    raise error


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
