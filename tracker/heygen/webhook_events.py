"""Verifies and decodes webhook requests (heygen-api section 4)."""

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
DROPPED_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
FINAL_EVENTS = {
    "video_translate.success": Status.SUCCESS,
    "video_translate.fail": Status.FAILED,
    "video_translate.failed": Status.FAILED,
}
TRANSLATION_EVENTS = ("video_translate.", "batch.")

Headers = Iterable[tuple[str, str]]


def find_signer(body: bytes, headers: Headers, secrets: Mapping[str, str]) -> str | None:
    """The name of the secret that signed the raw `body`, or None.

    Every secret is compared with every signature, so that the time taken reveals nothing.
    """
    signatures = [
        value.strip().lower().removeprefix("sha256=").encode("utf-8", "replace")
        for name, value in headers
        if name.lower() in SIGNATURE_HEADERS
    ]
    expected = {name: sign(body, secret).encode() for name, secret in secrets.items()}
    signers = [
        name
        for name, digest in expected.items()
        for signature in signatures
        if hmac.compare_digest(digest, signature)
    ]
    return signers[0] if signers else None


def sign(body: bytes, secret: str) -> str:
    """The signature that HeyGen sends: hex HMAC-SHA256 of the raw body, keyed with the whole secret."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def read_unusable(body: bytes, headers: Headers, received_at: datetime, signed_by: str, error: str) -> Record:
    """An authentic body that is no JSON object: stored for inspection."""
    delivery = _delivery(body, headers, received_at, signed_by, {"error": error})
    return Record(delivery=delivery, outcome=DeliveryOutcome.ERROR)


def read_event(
    event: Mapping[str, Any], body: bytes, headers: Headers, received_at: datetime, signed_by: str | None
) -> Record:
    """The record of an event. An unsigned event is only a hint (heygen-api section 4)."""
    headers = list(headers)
    parsed = _parse(event)
    fields: dict[str, str | None] = {
        "event_id": as_text(event.get("event_id")) or _header(headers, "heygen-event-id"),
        "event_type": parsed.event_type,
        "video_translate_id": parsed.video_translate_id,
        "callback_id": parsed.callback_id,
    }
    outcome, error = parsed.refusal()
    delivery = _delivery(body, headers, received_at, signed_by, {**fields, "error": error})
    if outcome is not None:
        return Record(delivery=delivery, outcome=outcome)
    authentic = signed_by is not None
    return Record(
        delivery=delivery,
        observation=parsed.observation(Source.WEBHOOK, received_at, authentic=authentic, dated=False),
    )


def read_logged(entry: Mapping[str, Any], at: datetime) -> Observation | DeliveryOutcome:
    """The observation in an entry of HeyGen's event log, read `at`; or why there is none.

    An entry has the format of a webhook event (heygen-api section 2). It needs no signature: the API
    request authenticates it.
    """
    parsed = _parse(entry)
    outcome, _error = parsed.refusal()
    return outcome or parsed.observation(Source.EVENT_LOG, at, authentic=True, dated=True)


@dataclass(frozen=True, slots=True)
class _Event:
    """The parsed fields of an event, not yet authenticated."""

    event_type: str | None
    video_translate_id: str | None
    callback_id: str | None
    final_status: Status | None
    occurred_at: datetime | None
    data: Mapping[str, Any] = field(repr=False)

    def refusal(self) -> tuple[DeliveryOutcome | None, str | None]:
        """The outcome and error of an event without an observation, or (None, None)."""
        if self.event_type is None:
            return DeliveryOutcome.ERROR, "the event has no event_type"
        if not self.event_type.startswith(TRANSLATION_EVENTS):
            return DeliveryOutcome.IGNORED, None
        if self.video_translate_id is not None and not is_video_translate_id(self.video_translate_id):
            return DeliveryOutcome.ERROR, "the event has an invalid video_translate_id"
        if self.video_translate_id is None and self.callback_id is None:
            return (
                (DeliveryOutcome.ERROR, "the event names no translation")
                if self.final_status
                else (DeliveryOutcome.UNKNOWN, None)
            )
        return None, None

    def observation(
        self, source: Source, observed_at: datetime, *, authentic: bool, dated: bool
    ) -> Observation:
        """The final status of an identified translation if authentic, else a hint.

        `dated`: a hint has the time of the event, too.
        """
        is_final = authentic and self.final_status is not None and self.video_translate_id is not None
        return Observation(
            source=source,
            observed_at=observed_at,
            video_translate_id=self.video_translate_id,
            callback_id=self.callback_id,
            status=self.final_status if is_final else None,
            provider_status=self.event_type.rpartition(".")[2] if is_final and self.event_type else None,
            occurred_at=self.occurred_at if is_final or dated else None,
            details=_details(self.data) if is_final else Details(),
            hint=not is_final,
            authentic=authentic,
        )


def _parse(event: Mapping[str, Any]) -> _Event:
    data = as_object(event.get("event_data"))
    event_type = as_text(event.get("event_type"))
    final_status = FINAL_EVENTS.get(event_type or "")
    ids = (
        "video_translate_id",
        "video_translation_id",
        *(("id",) if final_status else ()),
    )  # in other events `id` is not a translation's
    return _Event(
        event_type=event_type,
        video_translate_id=first_text(data, *ids),
        callback_id=as_text(data.get("callback_id")),
        final_status=final_status,
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
    fields: Mapping[str, str | None],
) -> Delivery:
    kept_headers = tuple(
        (as_text(name) or "", as_text(value) or "")
        for name, value in headers
        if name.lower() not in DROPPED_HEADERS
    )
    return Delivery(
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        headers=kept_headers,
        received_at=received_at,
        signed_by=signed_by,
        **fields,
    )


def _header(headers: Headers, wanted: str) -> str | None:
    return next((as_text(value) for name, value in headers if name.lower() == wanted), None)
