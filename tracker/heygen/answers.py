"""HTTP answers of HeyGen's API: what went wrong, told as one of our errors (heygen-api section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tracker.errors import KeyRejectedError, NotFoundError, RateLimitedError, TransientError
from tracker.heygen.payloads import as_object, as_text, parse_json_object

KEY_CODES = frozenset({"unauthorized", "authentication_failed", "forbidden"})
QUOTA_CODE = "quota_exceeded"
LONGEST_WAIT = 86400.0
SHOWN = 200  # characters of HeyGen's text in a message


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end; header names in lower case."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # may carry a signed url
    at: datetime

    def data(self) -> Mapping[str, Any]:
        """The `data` of a good answer; raises HeyGenError for any other."""
        try:
            payload = parse_json_object(self.body)
        except ValueError as error:
            self._refuse("", "")
            raise TransientError(f"{self._name()}: {error}") from error
        code, message = _error_of(payload)
        self._refuse(code, message)
        data = payload.get("data")
        if not isinstance(data, dict) or not data:
            raise TransientError(f"{self._name()} without data{f': {message}' if message else ''}")
        return data

    def _refuse(self, code: str, message: str) -> None:
        """Raise what the HTTP status and HeyGen's own words stand for."""
        said = f"{self._name()}{f': {message}' if message else ''}"
        if self.status_code in (401, 403) or code in KEY_CODES:
            raise KeyRejectedError(said)
        if self.status_code == 429:
            raise RateLimitedError(said, retry_after=self.retry_after(), quota=code == QUOTA_CODE)
        if code == "not_found" or "not found" in message.lower():
            raise NotFoundError(said)
        if not 200 <= self.status_code < 300 or code or message:
            raise TransientError(said)

    def retry_after(self) -> float | None:
        """Seconds HeyGen asks us to wait, a day at most: a number or a date; None where it names neither."""
        value = self.headers.get("retry-after", "").strip()
        try:
            if value.isdecimal():
                seconds = float(value)
            else:
                seconds = (parsedate_to_datetime(value) - self.at).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), LONGEST_WAIT)

    def _name(self) -> str:
        request_id = as_text(self.headers.get("x-request-id", ""))
        return f"HTTP {self.status_code}{f' (request {request_id[:64]})' if request_id else ''}"


def _error_of(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Code and message of `error`, which may be null, a string or an object; ("", "") for none."""
    error = payload.get("error")
    if not error:
        return "", ""
    if isinstance(error, dict):
        code, message = as_text(as_object(error).get("code")), as_text(error.get("message"))
        return (code or "error").lower(), (message or code or "error")[:SHOWN]
    text = as_text(error) or "error"
    return text.lower(), text[:SHOWN]
