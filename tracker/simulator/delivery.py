"""One event on its way to one receiver: what is sent, how it is signed, what became of it."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

SignatureHeader = Literal["Signature", "Heygen-Signature"]
State = Literal["held", "sending", "waiting", "delivered", "gave_up", "lost"]
Target = Literal["endpoint", "callback", "manual"]


@dataclass(frozen=True)
class Endpoint:
    """Where webhooks go; without a secret they are not signed."""

    url: str
    secret: str | None = None
    name: str = "main"
    signature_header: SignatureHeader = "Signature"
    # The docs disagree whether Heygen-Event-Id and Heygen-Timestamp are sent (heygen-api section 4).
    event_headers: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.name}, {self.url})"


@dataclass(frozen=True)
class Event:
    """What happened, as the exact bytes that are sent and signed."""

    event_id: str
    event_type: str
    video_translate_id: str | None
    body: bytes


@dataclass
class Delivery:
    """One event to one receiver, over all its attempts."""

    event: Event
    target: Target
    url: str
    headers: dict[str, str]
    fate: str
    endpoint_id: str | None = None
    state: State = "held"
    attempts: int = 0
    last_status: int | None = None
    last_error: str | None = None
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    delivered_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "event_id": self.event.event_id,
            "event_type": self.event.event_type,
            "target": self.target,
            "url": self.url,
            "endpoint_id": self.endpoint_id,
            "fate": self.fate,
            "state": self.state,
            "attempts": self.attempts,
            "last_status": self.last_status,
            "last_error": self.last_error,
            "first_sent_at": iso(self.first_sent_at),
            "last_sent_at": iso(self.last_sent_at),
            "delivered_at": iso(self.delivered_at),
        }


def sign(body: bytes, secret: str) -> str:
    """Hex HMAC-SHA256 of the raw body with the secret as given, `whsec_` included."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed_headers(endpoint: Endpoint, event: Event, now: datetime) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if endpoint.secret is not None:
        headers[endpoint.signature_header] = sign(event.body, endpoint.secret)
    if endpoint.event_headers:
        headers |= {"Heygen-Event-Id": event.event_id, "Heygen-Timestamp": str(int(now.timestamp()))}
    return headers


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
