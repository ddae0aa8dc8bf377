"""The demo's story: what is submitted, and what becomes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request to HeyGen; its languages share the callback id.

    `by_callback_id`: only the callback id is registered, as by a program that does not wait for ids.
    """

    title: str
    languages: tuple[str, ...]
    callback_id: str
    by_callback_id: bool = False


REQUESTS = (
    Request("Product tour", ("es", "de", "fr"), "product-tour"),
    Request("Safety training", ("hi", "pl"), "safety-7"),
    Request("Welcome", ("ja", "pt"), "welcome", by_callback_id=True),
    Request("Quarterly report", ("it",), "report-q3"),
    Request("Onboarding, part 1", ("ko", "tr"), "onboarding"),
    Request("Onboarding, part 2", ("nl", "sv"), "onboarding"),
)


def _fate(
    pending: float, running: float, webhook: str, outcome: str = "success", url: str = "at_once"
) -> dict[str, Any]:
    return {
        "pending_seconds": pending,
        "running_seconds": running,
        "webhook": webhook,
        "outcome": outcome,
        "url": url,
    }


SCENARIO: dict[str, Any] = {
    "seed": 7,
    "url_delay_seconds": 4,
    "late_seconds": [4, 6],
    "latency_seconds": [0.05, 0.3],
    "error_rate": 0.05,
    "hang_seconds": 4,
    "fates": [
        _fate(1, 4, "prompt"),
        _fate(1, 6, "lost"),
        _fate(2, 7, "doubled"),
        _fate(2, 5, "late"),
        _fate(2, 8, "prompt", outcome="failed"),
        _fate(1, 9, "prompt"),
        _fate(3, 9, "doubled"),
        _fate(2, 11, "prompt", url="later"),
        _fate(3, 7, "lost", outcome="failed"),
        _fate(4, 10, "reordered"),
        _fate(5, 11, "late"),
        _fate(6, 12, "lost"),
    ],
}


def settings_of(database: Path, heygen: str, secret: str) -> dict[str, str]:
    """The daemon's settings: as in earnest, only in a hurry."""
    return {
        "TRACKER_DATABASE_URL": f"sqlite:///{database.absolute()}",
        "TRACKER_HEYGEN_BASE_URL": heygen,
        "TRACKER_HEYGEN_API_KEY": "simulator-key",
        "TRACKER_WEBHOOK_SECRET": secret,
        "TRACKER_LISTEN": "127.0.0.1:0",
        "TRACKER_ADMIN_LISTEN": "127.0.0.1:0",
        "TRACKER_POLL_MIN_INTERVAL": "1.5",
        "TRACKER_REQUEST_TIMEOUT": "3",
        "TRACKER_LOG_FORMAT": "json",
    }
