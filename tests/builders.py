"""Things as tests need them: a translation at noon, what a source said of it, a webhook request."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tracker.domain.claims import Claim
from tracker.domain.delivery import Delivery
from tracker.domain.observation import Details, Observation, Problem, ProblemKind
from tracker.domain.status import Source, Status
from tracker.domain.translation import Translation
from tracker.heygen.answers import Answer
from tracker.heygen.webhook_events import sign

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = "7544c0b52ada44fda693a15b1181b5b4-ur_ur-PK"
URL = "https://resource2.heygen.ai/video_translate/7544/original.mp4"
SECRET = "whsec_of_the_tests"
PAYLOADS = Path(__file__).parent / "payloads"


def after(seconds: float = 0, **more: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds, **more)


def translation(**fields: Any) -> Translation:
    """A pending translation, tracked since noon; names of Details go into its details."""
    details = {name: fields.pop(name) for name in list(fields) if name in Details.__dataclass_fields__}
    common: dict[str, Any] = {
        "id": 1,
        "video_translate_id": ID,
        "callback_id": None,
        "status": Status.PENDING,
        "created_at": NOON,
        "next_poll_at": NOON,
        "details": Details(**details),
    }
    return Translation(**common | fields)


def observation(source: Source = Source.POLL, status: Status | None = None, **fields: Any) -> Observation:
    """What `source` said at noon; names of Details go into its details."""
    details = {name: fields.pop(name) for name in list(fields) if name in Details.__dataclass_fields__}
    common: dict[str, Any] = {
        "source": source,
        "status": status,
        "observed_at": NOON,
        "video_translate_id": ID,
        "details": Details(**details),
    }
    return Observation(**common | fields)


def webhook(status: Status, **fields: Any) -> Observation:
    """An authentic webhook about an end."""
    return observation(Source.WEBHOOK, status, **fields)


def poll(status: Status, **fields: Any) -> Observation:
    """An answer of the status endpoint."""
    return observation(Source.POLL, status, **fields)


def failed_poll(
    kind: ProblemKind = ProblemKind.UNREACHABLE, message: str = "HTTP 500", **fields: Any
) -> Observation:
    """A poll that learnt nothing."""
    return observation(Source.POLL, problem=Problem(kind, message), **fields)


def delivery(body: bytes = b"{}", **fields: Any) -> Delivery:
    """A signed webhook request with this body, received at noon."""
    common: dict[str, Any] = {
        "body": body,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "received_at": NOON,
        "signed_by": "main",
    }
    return Delivery(**common | fields)


def claim(video_translate_id: str = ID, number: int = 1, **fields: Any) -> Claim:
    """The right to poll a translation for 75 seconds from noon on."""
    common: dict[str, Any] = {"owner": "tests", "until": after(75)}
    return Claim(number, video_translate_id, **common | fields)


def payload(name: str) -> bytes:
    """The body kept in payloads/`name`.json."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def answer(body: bytes | Mapping[str, Any] | None, status_code: int = 200, **headers: str) -> Answer:
    """An HTTP answer at noon; `retry_after="3"` is the header retry-after."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status_code, named, raw, NOON)


def event(event_type: str = "video_translate.success", **data: Any) -> dict[str, Any]:
    """A webhook's JSON about the translation ID, unless `data` names another."""
    return {"event_type": event_type, "event_data": {"video_translate_id": ID, **data}}


def as_body(value: object) -> bytes:
    """The bytes of a JSON value, written as HeyGen writes it."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def signature(body: bytes, secret: str = SECRET, name: str = "Heygen-Signature") -> tuple[str, str]:
    """The header that signs `body`."""
    return name, sign(body, secret)
