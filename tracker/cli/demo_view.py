"""What the demo shows: a live table, and at the end a table with a line on what went wrong on the way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.live import Live
from rich.table import Table

from tracker.cli.common import ChangeLines, out, shown
from tracker.simulator.truth import Truth

BADLY = {"lost": "lost", "doubled": "doubled", "late": "late", "reordered": "out of order"}


@dataclass(frozen=True, slots=True)
class Row:
    """A translation as SQL tells it; times are the database's text."""

    video_translate_id: str | None
    callback_id: str | None
    title: str | None
    output_language: str | None
    status: str
    url: str | None
    attention: str | None
    source: str | None
    recorded_at: str | None


def report(rows: Sequence[Row], truth: Truth) -> dict[str, Any]:
    """The rows beside the look-alike's truth. `lag_seconds`: from the end there to the row here."""
    known = {row.video_translate_id: row for row in rows}
    told = []
    for one in truth.translations:
        row = known.get(one.video_translate_id)
        recorded = (
            datetime.fromisoformat(row.recorded_at).replace(tzinfo=UTC) if row and row.recorded_at else None
        )
        told.append(
            {
                "video_translate_id": one.video_translate_id,
                "callback_id": one.callback_id,
                "title": one.title,
                "output_language": one.output_language,
                "status": row.status if row else None,
                "source": row.source if row else None,
                "lag_seconds": round((recorded - one.finished_at).total_seconds(), 1) if recorded else None,
                "webhook": one.fate.webhook,
                "url": one.fate.url,
                "truth": one.outcome,
                "right": row is not None
                and row.status == one.outcome
                and row.callback_id == one.callback_id
                and bool(row.url) == (one.outcome == "success"),
            }
        )
    strays = [
        row for row in rows if row.video_translate_id not in {one["video_translate_id"] for one in told}
    ]
    return {"right": bool(told) and not strays and all(one["right"] for one in told), "translations": told}


def print_report(told: dict[str, Any], database: Path) -> None:
    """The table of translations, what was lost on the way, and how to look into the database."""
    table = _table("title", "to", "callback id", "status", "source", "lag", "webhook")
    for one in told["translations"]:
        lag = f"{max(one['lag_seconds'], 0):.1f} s" if one["lag_seconds"] is not None else ""
        webhook = "url later" if one["url"] == "later" else BADLY.get(one["webhook"], "")
        status = shown(one["status"] or "missing", "status") + ("" if one["right"] else " [red]wrong[/]")
        table.add_row(
            shown(one["title"]),
            one["output_language"],
            shown(one["callback_id"]),
            status,
            one["source"] or "",
            lag,
            webhook,
        )
    out.print(table)
    out.print(_summary(told))
    out.print("\nThe database is kept. Query it:")
    for query in (
        "SELECT title, output_language, status, message FROM translations",
        "SELECT source, lag_seconds FROM translation_timings",
        "SELECT event_type, outcome, times_received FROM deliveries",
    ):
        out.print(f'  sqlite3 -box {database} "{query}"', markup=False)


def _summary(told: dict[str, Any]) -> str:
    """One line on what went wrong on the way, and what came of it."""
    rows = told["translations"]
    fates = Counter(one["webhook"] for one in rows)
    webhooks = ", ".join(f"{fates[fate]} {words}" for fate, words in BADLY.items() if fates[fate])
    later = sum(one["url"] == "later" for one in rows)
    failed = sum(one["truth"] == "failed" for one in rows)
    wrong = sum(not one["right"] for one in rows)
    result = (
        f"[green]all {len(rows)} translations are right[/]"
        if told["right"]
        else f"[red]{wrong} of {len(rows)} translations are wrong[/]"
    )
    faults = f"{webhooks} webhooks, {later} delayed url, {failed} failed translations"
    return f"\nFaults: {faults}.\nResult: {result}."


class PlainLines(ChangeLines):
    """A line at each change, for logs and pipes."""

    def update(self, rows: Sequence[Row]) -> None:
        """Print what is new in `rows`."""
        for row in rows:
            name = row.video_translate_id or f"callback id {row.callback_id}"
            self.tell(name, row.status, f" (source: {row.source})" if row.source else "")


class LiveTable:
    """A table that moves with the database."""

    def __init__(self) -> None:
        self._live = Live(console=out.console, auto_refresh=False, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, rows: Sequence[Row]) -> None:
        """Show `rows`."""
        table = _table("video_translate_id", "callback id", "to", "status", "source", "attention")
        for row in rows:
            table.add_row(
                shown(row.video_translate_id or "not known yet"),
                shown(row.callback_id),
                shown(row.output_language),
                shown(row.status, "status"),
                row.source or "",
                shown(row.attention, "attention"),
            )
        ended = sum(row.status in ("success", "failed") for row in rows)
        table.caption = f"{ended} of {len(rows)} finished"
        self._live.update(table, refresh=True)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table
