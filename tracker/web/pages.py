"""The dashboard: one page, no scripts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tracker.ports import PollerState

_environment = Environment(
    loader=PackageLoader("tracker.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


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
