"""A received webhook request, stored unchanged."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook request: its body and the fields that could be parsed.

    `signed_by` is the name of the secret that signed the body, or None on the unsigned route.
    `error` says why an authentic body could not be used.
    """

    body_sha256: str
    received_at: datetime
    body: bytes = field(repr=False)  # may carry a signed url
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    signed_by: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    video_translate_id: str | None = None
    callback_id: str | None = None
    error: str | None = None
