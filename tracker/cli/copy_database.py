"""`tracker copy-database`: every row into another database."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.cli.common import AsJson, Config, err, out, print_json, print_table, shown
from tracker.cli.database import configure_logs, read_settings
from tracker.errors import InputError, SettingsError
from tracker.store.copy.copying import Copied, Step
from tracker.store.copy.copying import copy_database as copy
from tracker.store.engine import parse_url

SHOWN = 20  # changed texts that people are shown

To = Annotated[
    str,
    typer.Option(
        "--to", metavar="URL", help="URL of the empty target database; - reads it from standard input."
    ),
]


def copy_database(to: To, config: Config = None, as_json: AsJson = False) -> None:
    """Copy all rows to another database, for example from SQLite to PostgreSQL.

    The target must be empty; missing tables are created. The copy is one transaction and is verified: if it
    fails or is interrupted, the target stays empty.
    """
    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    source, target = loaded.settings.database_url.get_secret_value(), _read_target(to)
    with (
        nullcontext() if as_json or not err.is_terminal else _progress() as progress,
        _interrupted_between_steps(_Bar(progress) if progress else _silent) as step,
    ):
        copied = copy(source, target, step)
    kinds = [parse_url(url).get_backend_name() for url in (source, target)]
    _print(copied, kinds, as_json=as_json)


def _read_target(to: str) -> str:
    """The url, which may hold a password that belongs into no history; raises InputError."""
    url = sys.stdin.readline().strip() if to == "-" else to
    try:
        parse_url(url)
    except SettingsError as error:  # it is written for the setting of the same kind
        raise InputError(f"--to{str(error).removeprefix('TRACKER_DATABASE_URL')}") from error
    return url


@contextmanager
def _interrupted_between_steps(show: Callable[[Step], None]) -> Iterator[Callable[[Step], None]]:
    """Ctrl-C counts after a step, for in the middle of one a driver may swallow it; a second one at once."""
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def step(done: Step) -> None:
        show(done)
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, before)


def _silent(_step: Step) -> None:
    return None


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err.console,
        transient=True,
    )


class _Bar:
    """One bar for all tables; each row is copied, then read again."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task("")

    def __call__(self, step: Step) -> None:
        self._progress.update(
            self._task, description=f"{step.doing} {step.table}", completed=step.done, total=step.total
        )


def _print(copied: Copied, kinds: list[str], *, as_json: bool) -> None:
    if as_json:
        tables = {name: {"rows": copied.rows[name], "sha256": copied.checksums[name]} for name in copied.rows}
        mended: dict[str, Any] = {
            "count": copied.mended_count,
            "named": [asdict(one) for one in copied.mended],
        }
        print_json({"from": kinds[0], "to": kinds[1], "tables": tables, "mended": mended})
        return
    print_table(
        [{"table": name, "rows": count} for name, count in copied.rows.items()],
        {"table": "table", "rows": "rows"},
    )
    out.print(
        f"copied from {kinds[0]} to {kinds[1]} and verified; now set TRACKER_DATABASE_URL to the target"
    )
    _warn(copied)


def _warn(copied: Copied) -> None:
    """Nothing is changed without a word."""
    if not copied.mended_count:
        return
    err.print(
        f"[yellow]warning:[/] {copied.mended_count} texts had characters that the target cannot store (NUL "
        "or invalid bytes); they were replaced by \ufffd:"
    )
    for one in copied.mended[:SHOWN]:
        err.print(f"  {one.table}, row {shown(one.row)}: {one.column}")
    if copied.mended_count > SHOWN:
        err.print(f"  and {copied.mended_count - SHOWN} more; --json names {len(copied.mended)}")
