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
WORTH_A_RETRY = frozenset({401, 403, 408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end; header names in lower case."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # may carry a signed url
    at: datetime

    def data(self) -> Mapping[str, Any]:
        """The `data` of a good answer, an object; raises HeyGenError for any other."""
        data = self.payload().get("data")
        if not isinstance(data, dict) or not data:
            raise TransientError(f"{self.name} without data")
        return data

    def rows(self) -> list[Any]:
        """The `data` of a good answer, a list; raises HeyGenError for any other."""
        data = self.payload().get("data")
        if not isinstance(data, list):
            raise TransientError(f"{self.name} without a list")
        return data

    def payload(self) -> Mapping[str, Any]:
        """The whole of a good answer; raises HeyGenError for any other."""
        try:
            payload = parse_json_object(self.body)
        except ValueError as error:
            self._refuse("", "")
            raise TransientError(f"{self.name}: {error}") from error
        self._refuse(*_error_of(payload))
        return payload

    def _refuse(self, code: str, message: str) -> None:
        """Raise what the HTTP status and HeyGen's own words stand for."""
        said = f"{self.name}{f': {message}' if message else ''}"
        if self.status_code in (401, 403) or code in KEY_CODES:
            raise KeyRejectedError(said)
        if self.status_code == 429:
            raise RateLimitedError(said, retry_after=self.retry_after(), quota=code == QUOTA_CODE)
        if code == "not_found" or "not found" in message.lower():
            raise NotFoundError(said)
        if not 200 <= self.status_code < 300 or code or message:
            raise TransientError(said)

    @property
    def is_refusal(self) -> bool:
        """True where the same request would be answered in the same way again."""
        return 400 <= self.status_code < 500 and self.status_code not in WORTH_A_RETRY

    @property
    def looks_retired(self) -> bool:
        """410, or 404, 405, a redirect or a web page that is no "not found" of HeyGen's own words.

        What a retired endpoint answers is not known (heygen-api section 2).
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

    @property
    def name(self) -> str:
        """The HTTP status, with HeyGen's id of the request where it gave one."""
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
