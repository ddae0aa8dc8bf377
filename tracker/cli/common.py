"""What the verbs share: options, exit codes, the way to the database, tables and JSON."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tracker import logs, systemd
from tracker.core import Core, open_core, open_database
from tracker.errors import InputError, StoreError, TrackerError
from tracker.settings import Loaded, Settings, load
from tracker.store import schema
from tracker.store.engine import parse_url, sqlite_path

T = TypeVar("T")

PIPED_WIDTH = 160  # a pipe or a file has no width of its own, and 80 columns would fold ids

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A TOML file of settings; the environment wins over it."),
]
COLOURS = {"success": "green", "failed": "red", "running": "blue", "pending": "dim"}


class Exit(IntEnum):
    """The exit codes of every verb."""

    OK = 0
    FAILED = 1  # a translation failed, or a part of the daemon died
    WRONG_INPUT = 2  # an argument or a setting
    UNAVAILABLE = 3  # database or address cannot be had
    TIMED_OUT = 4


def exit_code(error: TrackerError) -> Exit:
    """What a verb ends with that ran into this error."""
    return Exit.WRONG_INPUT if isinstance(error, InputError) else Exit.UNAVAILABLE


@dataclass(slots=True)
class RootOptions:
    """`tracker --config FILE VERB` means the same as `tracker VERB --config FILE`."""

    config: Path | None = None


root_options = RootOptions()


def read_settings(config: Path | None) -> Loaded:
    """The settings, with a word on standard error about names that mean nothing; raises SettingsError."""
    loaded = load(config or root_options.config)
    for name in loaded.unknown:
        err.print(f"[yellow]warning:[/] {name} is no setting of tracker; `tracker check-config` lists them")
    for name in loaded.empty:
        err.print(f"[yellow]warning:[/] the credential {name} is empty, and counts as not set")
    return loaded


def configure_logs(loaded: Loaded, *, level: str | None = None, as_json: bool = False) -> None:
    """Log as the settings say; verbs for people name a `level`, so that only trouble shows."""
    settings, journal = loaded.settings, systemd.writes_to_journal(os.environ)
    logs.configure(
        level=level or settings.log_level,
        as_json=as_json or settings.log_format == "json" or (settings.log_format == "auto" and journal),
        journal=journal,
        secrets=settings.secret_values(),
    )


def with_core(config: Path | None, work: Callable[[Core], Awaitable[T]], *, create: bool = False) -> T:
    """Run `work` on the settings' database. `create`: a SQLite file that is not there yet is made."""
    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    return asyncio.run(_with_core(loaded.settings, work, create=create))


async def _with_core(settings: Settings, work: Callable[[Core], Awaitable[T]], *, create: bool) -> T:
    path = sqlite_path(parse_url(settings.database_url.get_secret_value()))
    if path is not None and not path.exists() and not create:
        raise StoreError(
            f"there is no database at {path}; `tracker migrate` makes it, TRACKER_DATABASE_URL names another"
        )
    engines = open_database(settings)
    if path is not None and not path.exists():
        schema.migrate(engines.writer)
    async with AsyncExitStack() as stack:
        return await work(await open_core(settings, engines, stack))


def print_json(value: object) -> None:
    """One JSON document; times are ISO 8601 in UTC."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def _plain(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """A table with these headings, each showing the row's column of that name."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(shown(row.get(name), name) for name in columns.values()))
    out.print(table, soft_wrap=False)


def shown(value: object, name: str = "") -> str:
    """A cell's text, safe from rich's markup."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    text = escape("".join(char if char.isprintable() else "\ufffd" for char in str(value)))
    if name.endswith("status") and text in COLOURS:
        return f"[{COLOURS[text]}]{text}[/]"
    return f"[red]{text}[/]" if name == "attention" else text


class ChangeLines:
    """A line at each change of a status, where there is no terminal to draw on; `silent` prints none."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._known: dict[str, str] = {}

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def tell(self, name: str, status: str, more: str = "") -> None:
        """Print where `name` stands, if it did not stand there before."""
        if self._known.get(name) != status and not self._silent:
            out.print(f"{shown(name)} {status}{shown(more)}")
        self._known[name] = status
