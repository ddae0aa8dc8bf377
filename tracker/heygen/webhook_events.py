"""Webhook requests: who signed them, and what they say (heygen-api section 4)."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.domain.translation import is_video_translate_id
from tracker.heygen.payloads import as_object, as_text, as_time, as_url, first_text, parse_json_object

__all__ = ["find_signer", "parse_json_object", "read_event", "read_logged", "read_unusable", "sign"]

SIGNATURE_HEADERS = ("signature", "heygen-signature")
KEPT_OUT = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
ENDS = {
    "video_translate.success": Status.SUCCESS,
    "video_translate.fail": Status.FAILED,
    "video_translate.failed": Status.FAILED,
}
ABOUT_TRANSLATIONS = ("video_translate.", "batch.")

Headers = Iterable[tuple[str, str]]


def find_signer(body: bytes, headers: Headers, secrets: Mapping[str, str]) -> str | None:
    """The name of the secret that signed the raw `body`; None where none of them did.

    Every secret is tried, whichever header came, so that the time taken tells nothing.
    """
    claims = [
        value.strip().lower().removeprefix("sha256=").encode("utf-8", "replace")
        for name, value in headers
        if name.lower() in SIGNATURE_HEADERS
    ]
    expected = {
        name: sign(body, secret).encode() for name, secret in secrets.items()
    }  # once, however many claims
    signers = [
        name for name, ours in expected.items() for claim in claims if hmac.compare_digest(ours, claim)
    ]
    return signers[0] if signers else None


def sign(body: bytes, secret: str) -> str:
    """The signature HeyGen sends: hex HMAC-SHA256 of the raw body, the secret taken as given."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def read_unusable(body: bytes, headers: Headers, received_at: datetime, signed_by: str, error: str) -> Record:
    """An authentic body that is not even an object: kept for people to look at."""
    delivery = _delivery(body, headers, received_at, signed_by, {"error": error})
    return Record(delivery=delivery, outcome=DeliveryOutcome.ERROR)


def read_event(
    event: Mapping[str, Any], body: bytes, headers: Headers, received_at: datetime, signed_by: str | None
) -> Record:
    """What an event says. Nothing unsigned is believed: it becomes a hint (heygen-api section 4)."""
    headers = list(headers)
    told = _read(event)
    kept: dict[str, str | None] = {
        "event_id": as_text(event.get("event_id")) or _header(headers, "heygen-event-id"),
        "event_type": told.event_type,
        "video_translate_id": told.video_translate_id,
        "callback_id": told.callback_id,
    }
    outcome, error = told.refusal()
    delivery = _delivery(body, headers, received_at, signed_by, {**kept, "error": error})
    if outcome is not None:
        return Record(delivery=delivery, outcome=outcome)
    authentic = signed_by is not None
    return Record(
        delivery=delivery,
        observation=told.observation(Source.WEBHOOK, received_at, authentic=authentic, dated=False),
    )


def read_logged(entry: Mapping[str, Any], at: datetime) -> Observation | DeliveryOutcome:
    """What an entry of HeyGen's event log says, read `at`; or why it says nothing to us.

    An entry is an event as a webhook brings it (heygen-api section 2); the API key vouches for it.
    """
    told = _read(entry)
    outcome, _error = told.refusal()
    return outcome or told.observation(Source.EVENT_LOG, at, authentic=True, dated=True)


@dataclass(frozen=True, slots=True)
class _Event:
    """An event as far as it is understood; nothing of it is believed yet."""

    event_type: str | None
    video_translate_id: str | None
    callback_id: str | None
    end: Status | None
    occurred_at: datetime | None
    data: Mapping[str, Any] = field(repr=False)

    def refusal(self) -> tuple[DeliveryOutcome | None, str | None]:
        """Why nothing can be observed, or (None, None)."""
        if self.event_type is None:
            return DeliveryOutcome.ERROR, "the event has no event_type"
        if not self.event_type.startswith(ABOUT_TRANSLATIONS):
            return DeliveryOutcome.IGNORED, None
        if self.video_translate_id is not None and not is_video_translate_id(self.video_translate_id):
            return DeliveryOutcome.ERROR, "the event's id is none that HeyGen gives out"
        if self.video_translate_id is None and self.callback_id is None:
            return (
                (DeliveryOutcome.ERROR, "the event names no translation")
                if self.end
                else (DeliveryOutcome.UNKNOWN, None)
            )
        return None, None

    def observation(
        self, source: Source, observed_at: datetime, *, authentic: bool, dated: bool
    ) -> Observation:
        """An authentic end of a named translation, else a hint; `dated`: the time of a hint is told too."""
        believed = authentic and self.end is not None and self.video_translate_id is not None
        return Observation(
            source=source,
            observed_at=observed_at,
            video_translate_id=self.video_translate_id,
            callback_id=self.callback_id,
            status=self.end if believed else None,
            provider_status=self.event_type.rpartition(".")[2] if believed and self.event_type else None,
            occurred_at=self.occurred_at if believed or dated else None,
            details=_details(self.data) if believed else Details(),
            hint=not believed,
            authentic=authentic,
        )


def _read(event: Mapping[str, Any]) -> _Event:
    data = as_object(event.get("event_data"))
    event_type = as_text(event.get("event_type"))
    end = ENDS.get(event_type or "")
    ids = (
        "video_translate_id",
        "video_translation_id",
        *(("id",) if end else ()),
    )  # elsewhere `id` is another's
    return _Event(
        event_type=event_type,
        video_translate_id=first_text(data, *ids),
        callback_id=as_text(data.get("callback_id")),
        end=end,
        occurred_at=as_time(event.get("created_at")),
        data=data,
    )


def _details(data: Mapping[str, Any]) -> Details:
    return Details(
        title=as_text(data.get("title")),
        output_language=as_text(data.get("output_language")),
        message=first_text(data, "message", "msg", "failure_message", "error", "reason"),
        url=as_url(data.get("url")) or as_url(data.get("video_url")),
        caption_url=as_url(data.get("caption_url")),
    )


def _delivery(
    body: bytes,
    headers: Headers,
    received_at: datetime,
    signed_by: str | None,
    told: Mapping[str, str | None],
) -> Delivery:
    kept = tuple(
        (as_text(name) or "", as_text(value) or "") for name, value in headers if name.lower() not in KEPT_OUT
    )
    return Delivery(
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        headers=kept,
        received_at=received_at,
        signed_by=signed_by,
        **told,
    )


def _header(headers: Headers, wanted: str) -> str | None:
    return next((as_text(value) for name, value in headers if name.lower() == wanted), None)
