"""`tracker wait`: until translations have ended."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tracker.cli.common import (
    COLOURS,
    AsJson,
    ChangeLines,
    Config,
    Exit,
    err,
    out,
    print_json,
    read_settings,
    shown,
    with_core,
)
from tracker.daemon import Core
from tracker.domain.status import Status
from tracker.errors import InputError
from tracker.store.lock import is_running

LOOK_SECONDS = 0.25
STEPS = {Status.PENDING: 0, Status.RUNNING: 1, Status.SUCCESS: 2, Status.FAILED: 2}


def wait(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="HeyGen's video_translate_id.", show_default=False)
    ],
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Wait until translations have ended. Exit code 0: all succeeded, 1: any failed, 4: time-out."""
    wanted = list(dict.fromkeys(ids))
    _warn_without_daemon(config)
    view = _Bars(wanted) if sys.stdout.isatty() and not as_json else _Lines(silent=as_json)
    with view:
        rows = with_core(config, lambda core: _watch(core, wanted, timeout, view))
    if as_json:
        print_json([rows[one] for one in wanted])
    statuses = {Status(row["status"]) for row in rows.values()}
    if not all(status.is_final for status in statuses):
        err.print(f"[red]error:[/] not all had ended after {timeout:g} s")
        raise typer.Exit(Exit.TIMED_OUT)
    raise typer.Exit(Exit.FAILED if Status.FAILED in statuses else Exit.OK)


async def _watch(
    core: Core, wanted: list[str], patience: float | None, view: "_Lines | _Bars"
) -> dict[str, Any]:
    """Look at the rows until all have ended or the time is up; answers the rows by id."""
    loop = asyncio.get_running_loop()
    deadline = None if patience is None else loop.time() + patience
    while True:
        rows = {row["video_translate_id"]: row for row in await core.repository.find(wanted)}
        if missing := [one for one in wanted if one not in rows]:
            raise InputError(f"{missing[0][:80]!r} is not tracked; tracker add starts it")
        view.update(rows)
        left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - loop.time())
        if all(Status(row["status"]).is_final for row in rows.values()) or left <= 0:
            return rows
        await asyncio.sleep(left)


def _warn_without_daemon(config: Path | None) -> None:
    url = read_settings(config).settings.database_url.get_secret_value()
    if is_running(url) is False:
        err.print("[yellow]warning:[/] no `tracker run` uses this database now: nothing will move")


class _Lines(ChangeLines):
    def update(self, rows: Mapping[str, Any]) -> None:
        for name, row in rows.items():
            failure = row["message"] if row["status"] == Status.FAILED else None
            self.tell(name, row["status"], f": {failure}" if failure else "")


class _Bars:
    """A progress bar per translation."""

    def __init__(self, wanted: list[str]) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=out,
        )
        self._bars = {one: self._progress.add_task(shown(one), total=2, status="") for one in wanted}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, rows: Mapping[str, Any]) -> None:
        for name, row in rows.items():
            status = Status(row["status"])
            self._progress.update(
                self._bars[name], completed=STEPS[status], status=f"[{COLOURS[status]}]{status}[/]"
            )
