"""What the verbs share: options, exit codes, consoles, tables and JSON."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from tracker.errors import InputError, TrackerError

if TYPE_CHECKING:  # imported where something is printed: JSON needs none of it
    from rich.console import Console

PIPED_WIDTH = 160  # a pipe or a file has no width of its own, and 80 columns would fold ids


class Stream:
    """Standard output or standard error, for people; rich's console is made when it is first needed."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr
        self._stream: TextIO | None = None
        self._console: Console | None = None

    @property
    def console(self) -> "Console":
        """The console of the stream that is there now, as wide as that."""
        stream = sys.stderr if self._stderr else sys.stdout
        stream = getattr(stream, "rich_proxied_file", stream)  # while rich draws, its proxy stands there
        if self._console is None or self._stream is not stream:
            self._stream, self._console = stream, self._open(stream)
        return self._console

    def _open(self, stream: TextIO) -> "Console":
        from rich.console import Console

        width = None if self._stderr or stream.isatty() else PIPED_WIDTH
        return Console(stderr=self._stderr, highlight=False, soft_wrap=True, width=width)

    @property
    def is_terminal(self) -> bool:
        """False for pipes and files."""
        return self.console.is_terminal

    def print(self, *values: object, **options: Any) -> None:
        """See rich's `Console.print`."""
        self.console.print(*values, **options)


out, err = Stream(), Stream(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file with settings; environment variables override it."
    ),
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


def print_json(value: object) -> None:
    """One JSON document; times are ISO 8601 in UTC."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def _plain(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """A table with these headings, each showing the row's column of that name."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(shown(row.get(name), name) for name in columns.values()))
    out.print(table, soft_wrap=False)


def shown(value: object, name: str = "") -> str:
    """A cell's text, safe from rich's markup."""
    from rich.markup import escape

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
