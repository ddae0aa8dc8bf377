"""HTTP answers of HeyGen's API, and the errors they stand for (heygen-api section 3)."""

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
MESSAGE_LENGTH = 200  # characters of HeyGen's text in an error message
WORTH_A_RETRY = frozenset({401, 403, 408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer; header names in lower case."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # may carry a signed url
    at: datetime

    def data(self) -> Mapping[str, Any]:
        """The object `data` of a successful answer; raises HeyGenError for any other answer."""
        data = self.payload().get("data")
        if not isinstance(data, dict) or not data:
            raise TransientError(f"{self.name} without data")
        return data

    def rows(self) -> list[Any]:
        """The list `data` of a successful answer; raises HeyGenError for any other answer."""
        data = self.payload().get("data")
        if not isinstance(data, list):
            raise TransientError(f"{self.name} without a list")
        return data

    def payload(self) -> Mapping[str, Any]:
        """The JSON of a successful answer; raises HeyGenError for any other answer."""
        try:
            payload = parse_json_object(self.body)
        except ValueError as error:
            self._raise_error("", "")
            raise TransientError(f"{self.name}: {error}") from error
        self._raise_error(*_error_of(payload))
        return payload

    def _raise_error(self, code: str, message: str) -> None:
        """Raise the error that HTTP status, code and message stand for, if any."""
        text = f"{self.name}{f': {message}' if message else ''}"
        if self.status_code in (401, 403) or code in KEY_CODES:
            raise KeyRejectedError(text)
        if self.status_code == 429:
            raise RateLimitedError(text, retry_after=self.retry_after(), quota=code == QUOTA_CODE)
        if code == "not_found" or "not found" in message.lower():
            raise NotFoundError(text)
        if not 200 <= self.status_code < 300 or code or message:
            raise TransientError(text)

    @property
    def is_refusal(self) -> bool:
        """True if a retry of the same request would get the same answer."""
        return 400 <= self.status_code < 500 and self.status_code not in WORTH_A_RETRY

    @property
    def looks_retired(self) -> bool:
        """True for 410, and for 404, 405, redirects and web pages without HeyGen's own "not found".

        HeyGen does not document what a retired endpoint answers (heygen-api section 2).
        """
        try:
            code, message = _error_of(parse_json_object(self.body))
        except ValueError:
            code, message = "", ""
            if self.status_code < 400 and self.body.lstrip()[:1] == b"<":
                return True
        if self.status_code == 410:
            return True
        is_not_found = code == "not_found" or (
            "not found" in message.lower() and len(message) > len("not found.")
        )
        return not is_not_found and (self.status_code in (404, 405) or 300 <= self.status_code < 400)

    def retry_after(self) -> float | None:
        """The seconds of Retry-After, a number or a date; at most a day. None if it is neither."""
        value = self.headers.get("retry-after", "").strip()
        try:
            if value.isdecimal():
                seconds = float(value)
            else:
                seconds = (parsedate_to_datetime(value) - self.at).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), LONGEST_WAIT)

    @property
    def name(self) -> str:
        """The HTTP status, with HeyGen's request id if there is one."""
        request_id = as_text(self.headers.get("x-request-id", ""))
        return f"HTTP {self.status_code}{f' (request {request_id[:64]})' if request_id else ''}"


def _error_of(payload: Mapping[str, Any]) -> tuple[str, str]:
    """The code and message of `error`: null, a string or an object; ("", "") if there is none."""
    error = payload.get("error")
    if not error:
        return "", ""
    if isinstance(error, dict):
        code, message = as_text(as_object(error).get("code")), as_text(error.get("message"))
        return (code or "error").lower(), (message or code or "error")[:MESSAGE_LENGTH]
    text = as_text(error) or "error"
    return text.lower(), text[:MESSAGE_LENGTH]
