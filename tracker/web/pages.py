"""The dashboard: one page, and the script that keeps it as the database is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tracker.domain.poller_state import PollerState

_environment = Environment(
    loader=PackageLoader("tracker.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# The script is a file of our own; what others wrote into the rows can bring none along.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}


def render_dashboard(
    *,
    health: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    flagged: Sequence[Mapping[str, Any]],
    poller: PollerState,
    now: datetime,
) -> str:
    """The page as HTML; every value is escaped."""
    return _environment.get_template("dashboard.html").render(
        health=health, rows=rows, flagged=flagged, poller=poller, now=now, ago=ago
    )


@cache
def live_script() -> str:
    """The script, as it is sent."""
    return files("tracker.web").joinpath("templates", "live.js").read_text()


def ago(time: datetime | None, now: datetime) -> str:
    """How long ago, or how far ahead, in the largest sensible unit."""
    if time is None:
        return "never"
    seconds = (now - time).total_seconds()
    text = next(
        f"{abs(seconds) / size:.0f} {unit}"
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
        if abs(seconds) >= size or unit == "s"
    )
    return f"{text} ago" if seconds >= 0 else f"in {text}"
