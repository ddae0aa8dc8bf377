"""Webhook requests: who signed them, and what they say (heygen-api section 4)."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation
from tracker.domain.status import Source, Status
from tracker.domain.translation import is_video_translate_id
from tracker.domain.verdict import Outcome
from tracker.heygen.payloads import as_object, as_text, as_time, as_url, first_text, parse_json_object
from tracker.ports import Record

__all__ = ["find_signer", "parse_json_object", "read_event", "read_unusable", "sign"]

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
    return Record(delivery=delivery, outcome=Outcome.ERROR)


def read_event(
    event: Mapping[str, Any], body: bytes, headers: Headers, received_at: datetime, signed_by: str | None
) -> Record:
    """What an event says. Nothing unsigned is believed: it becomes a hint (heygen-api section 4)."""
    headers = list(headers)
    data = as_object(event.get("event_data"))
    event_type = as_text(event.get("event_type"))
    end = ENDS.get(event_type or "")
    ids = (
        "video_translate_id",
        "video_translation_id",
        *(("id",) if end else ()),
    )  # elsewhere `id` is another's
    video_translate_id, callback_id = first_text(data, *ids), as_text(data.get("callback_id"))
    told: dict[str, str | None] = {
        "event_id": as_text(event.get("event_id")) or _header(headers, "heygen-event-id"),
        "event_type": event_type,
        "video_translate_id": video_translate_id,
        "callback_id": callback_id,
    }
    outcome, error = _refusal(event_type, end, video_translate_id, callback_id)
    delivery = _delivery(body, headers, received_at, signed_by, {**told, "error": error})
    if outcome is not None:
        return Record(delivery=delivery, outcome=outcome)
    believed = end is not None and signed_by is not None and video_translate_id is not None
    observation = Observation(
        source=Source.WEBHOOK,
        observed_at=received_at,
        video_translate_id=video_translate_id,
        callback_id=callback_id,
        status=end if believed else None,
        provider_status=event_type.rpartition(".")[2] if believed and event_type else None,
        occurred_at=as_time(event.get("created_at")) if believed else None,
        details=_details(data) if believed else Details(),
        hint=not believed,
        authentic=signed_by is not None,
    )
    return Record(delivery=delivery, observation=observation)


def _refusal(
    event_type: str | None, end: Status | None, video_translate_id: str | None, callback_id: str | None
) -> tuple[Outcome | None, str | None]:
    """Why nothing can be observed, or (None, None)."""
    if event_type is None:
        return Outcome.ERROR, "the event has no event_type"
    if not event_type.startswith(ABOUT_TRANSLATIONS):
        return Outcome.IGNORED, None
    if video_translate_id is not None and not is_video_translate_id(video_translate_id):
        return Outcome.ERROR, "the event's id is none that HeyGen gives out"
    if video_translate_id is None and callback_id is None:
        return (Outcome.ERROR, "the event names no translation") if end else (Outcome.UNKNOWN, None)
    return None, None


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
