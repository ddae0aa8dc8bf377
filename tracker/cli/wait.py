"""`tracker wait`: until translations have ended; and how any verb waits for them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tracker.cli.common import COLOURS, AsJson, ChangeLines, Config, Exit, err, out, print_json, shown
from tracker.cli.database import read_settings, with_store
from tracker.domain.status import Status
from tracker.errors import InputError
from tracker.store.process_lock import is_running
from tracker.store.repository import Repository

LOOK_SECONDS = 2.0  # without any news: an id may have become known, and news may not get through
STEPS = {Status.PENDING: 0, Status.RUNNING: 1, Status.SUCCESS: 2, Status.FAILED: 2}

Row = dict[str, Any]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop waiting after this time.")
]


def wait(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="HeyGen's video_translate_id.", show_default=False)
    ],
    timeout: Timeout = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Wait until translations have finished. Exit code 0: all succeeded, 1: any failed, 4: time-out."""
    wanted = list(dict.fromkeys(ids))
    alone = has_daemon(config) is False

    async def watch(repository: Repository) -> list[Row]:
        if alone:
            err.print("[yellow]warning:[/] no `tracker run` uses this database: statuses will not change")

        async def look() -> list[Row]:
            rows = {row["video_translate_id"]: row for row in await repository.find(wanted)}
            if missing := [one for one in wanted if one not in rows]:
                raise InputError(f"{missing[0][:80]!r} is not tracked; track it with `tracker add`")
            return [rows[one] for one in wanted]

        async with repository.news() as news:
            return await follow(look, news, timeout, silent=as_json)

    rows = with_store(config, watch)
    if as_json:
        print_json(rows)
    raise typer.Exit(exit_code(rows, timeout))


async def follow(
    look: Callable[[], Awaitable[Sequence[Row]]],
    news: Callable[[float], Awaitable[object]],
    patience: float | None,
    *,
    silent: bool,
) -> list[Row]:
    """Show the rows that `look` finds until all have ended or `patience` (seconds) is over; answers them.

    `news` comes back when it is time to look again, after so many seconds at most.
    """
    loop = asyncio.get_running_loop()
    deadline = None if patience is None else loop.time() + patience
    with _Bars() if sys.stdout.isatty() and not silent else _Lines(silent=silent) as view:
        while True:
            rows = list(await look())
            view.update(sorted(rows, key=lambda row: int(row["id"])))
            left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - loop.time())
            if all(Status(row["status"]).is_final for row in rows) or left <= 0:
                return rows
            await news(left)


def exit_code(rows: Sequence[Row], timeout: float | None) -> Exit:
    """0: all succeeded, 1: any failed, 4: the time was up, which standard error then says."""
    statuses = {Status(row["status"]) for row in rows}
    if not all(status.is_final for status in statuses):
        err.print(f"[red]error:[/] not all translations finished within {timeout or 0:g} s")
        return Exit.TIMED_OUT
    return Exit.FAILED if Status.FAILED in statuses else Exit.OK


def has_daemon(config: Path | None) -> bool | None:
    """Whether a `tracker run` uses the database; None where nobody can tell."""
    return is_running(read_settings(config).settings.database_url.get_secret_value())


def name_of(row: Row) -> str:
    """What people call it: HeyGen's id, or what is known before that."""
    if row["video_translate_id"]:
        return str(row["video_translate_id"])
    language = f" ({row['output_language']})" if row["output_language"] else ""
    return f"callback id {row['callback_id']}{language}"


class _Lines(ChangeLines):
    def __enter__(self) -> "_Lines":  # type: ignore[override]
        return self

    def update(self, rows: Sequence[Row]) -> None:
        for row in rows:
            failure = row["message"] if row["status"] == Status.FAILED else None
            self.tell(name_of(row), row["status"], f": {failure}" if failure else "")


class _Bars:
    """A progress bar per translation."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=out.console,
        )
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, rows: Sequence[Row]) -> None:
        """Rows may come and go, and get their names later."""
        for gone in self._bars.keys() - {row["id"] for row in rows}:
            self._progress.remove_task(self._bars.pop(gone))
        for row in rows:
            if row["id"] not in self._bars:
                self._bars[row["id"]] = self._progress.add_task("", total=2, status="")
            status = Status(row["status"])
            self._progress.update(
                self._bars[row["id"]],
                description=shown(name_of(row)),
                completed=STEPS[status],
                status=f"[{COLOURS[status]}]{status}[/]",
            )
