"""`tracker archive`: keeps the files of finished translations now, and shows how it goes."""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tracker.archive.archiver import Archiver
from tracker.archive.holding import UnderWay
from tracker.cli.common import (
    AsJson,
    Config,
    Exit,
    err,
    out,
    print_json,
    shown,
    with_core,
)
from tracker.core import Core
from tracker.domain.archive import FileState
from tracker.domain.status import Status
from tracker.errors import InputError, PlaceError
from tracker.file_ports import Wanted

LOOK_SECONDS = 0.2
STOP_SECONDS = 10.0
PATIENCE = 5  # attempts in a row that brought nothing; then the daemon may go on
SHOWN = 100  # of what failed

Row = dict[str, Any]


def archive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="HeyGen's video_translate_id.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that has ever succeeded.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what is archived: it replaces what is there.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Keep the files of finished translations. Exit code 0: all are there, 1: some are not, 4: time-out."""
    if bool(ids) == everything:
        raise InputError("name translations, or all with --all: tracker archive 7544...-es")
    if again and everything:
        raise InputError("--again needs the ids of those that are to be downloaded again")

    async def work(core: Core) -> list[Row]:
        archiver = core.archive
        if archiver is None:
            raise InputError("TRACKER_ARCHIVE is not set; example: TRACKER_ARCHIVE=/srv/heygen")
        try:
            async with asyncio.timeout(timeout):
                if everything:
                    return await _archive_all(core, archiver, silent=as_json)
                return await _archive_some(core, archiver, ids or [], again=again, silent=as_json)
        except TimeoutError:
            err.print(f"[red]error:[/] not all were archived after {timeout or 0:g} s")
            raise typer.Exit(Exit.TIMED_OUT) from None
        finally:
            await archiver.stop(STOP_SECONDS)

    rows = with_core(config, work)
    if as_json:
        print_json(rows)
    missing = [row for row in rows if row["state"] != FileState.ARCHIVED]
    _tell_missing(missing)
    without = set(ids or ()) - {row["video_translate_id"] for row in rows}
    for one in sorted(without):
        err.print(
            f"[red]nothing to archive:[/] {shown(one)}: HeyGen has named no file of TRACKER_ARCHIVE_KINDS"
        )
    raise typer.Exit(Exit.FAILED if missing or without else Exit.OK)


async def _archive_some(
    core: Core, archiver: Archiver, ids: Sequence[str], *, again: bool, silent: bool
) -> list[Row]:
    """These translations; answers their rows."""
    files, numbers = core.repository.files, await _numbers(core, list(dict.fromkeys(ids)))
    await files.want(numbers, core.repository.archive, again=again)
    with _view(silent=silent) as view:
        while True:
            rows = await files.rows(numbers)
            view.update(rows, archiver.under_way.values())
            if all(_is_settled(row) for row in rows):
                return rows
            await _go_on(archiver, numbers)


async def _numbers(core: Core, ids: Sequence[str]) -> list[int]:
    rows = {row["video_translate_id"]: row for row in await core.repository.find(ids)}
    for one in ids:
        if one not in rows:
            raise InputError(f"{one[:80]!r} is not tracked; tracker add starts it")
        if rows[one]["status"] != Status.SUCCESS:
            raise InputError(f"{one[:80]!r} is {rows[one]['status']}: only what has succeeded has files")
    return [rows[one]["id"] for one in ids]


async def _archive_all(core: Core, archiver: Archiver, *, silent: bool) -> list[Row]:
    """The whole history; answers what is not there after all."""
    files = core.repository.files
    wanted, count = Wanted(0, 0), 0
    while wanted.after is not None:
        wanted = await files.want_all(core.repository.archive, wanted.after)
        count += wanted.files
    if not silent:
        err.print(f"{count} more files are to be archived")
    with _view(silent=silent) as view:
        while True:
            view.update((), archiver.under_way.values())
            if not archiver.under_way and not await files.has_hope(PATIENCE):
                return await files.not_there(PATIENCE, SHOWN)
            await _go_on(archiver, None)


async def _go_on(archiver: Archiver, numbers: Sequence[int] | None) -> None:
    """A little further; raises PlaceError where nothing can be kept at all."""
    await archiver.tick(numbers)
    await archiver.idle(LOOK_SECONDS)
    if archiver.pause is not None:
        raise PlaceError(str(archiver.pause.error))


def _is_settled(row: Row) -> bool:
    return row["state"] in (FileState.ARCHIVED, FileState.FAILED) or row["attempts"] >= PATIENCE


def _tell_missing(rows: Iterable[Row]) -> None:
    for row in rows:
        err.print(
            f"[red]{row['state']}:[/] {shown(_name(row))}: {shown(row['error'] or 'another tracker has it')}"
        )


def _name(row: Row) -> str:
    return f"{row['video_translate_id']} {row['kind']}"


def _view(*, silent: bool) -> "_Bars | _Lines":
    return _Bars() if sys.stdout.isatty() and not silent else _Lines(silent=silent)


class _Lines:
    """A line for each file that is there, where there is no terminal to draw on."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._told: set[str] = set()

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, rows: Iterable[Row], under_way: Iterable[UnderWay]) -> None:
        for row in rows:
            if row["state"] == FileState.ARCHIVED and not self._silent and _name(row) not in self._told:
                self._told.add(_name(row))
                out.print(f"{shown(_name(row))} archived: {shown(row['location'])} ({row['bytes']} bytes)")


class _Bars:
    """A bar for each file that comes, and one for all of them together."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=out,
        )
        self._bars: dict[str, TaskID] = {}
        self._ended = 0

    def __enter__(self) -> "_Bars":
        self._progress.start()
        self._all = self._progress.add_task("all together", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, rows: Iterable[Row], under_way: Iterable[UnderWay]) -> None:
        """What has ended stays in the total."""
        now = {f"{one.claim.video_translate_id} {one.claim.kind}": one for one in under_way}
        for name in self._bars.keys() - now.keys():
            bar = self._bars.pop(name)
            self._ended += int(self._progress.tasks[self._progress.task_ids.index(bar)].completed)
            self._progress.remove_task(bar)
        for name, one in now.items():
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(shown(name), total=None)
            self._progress.update(self._bars[name], completed=one.done, total=one.size)
        sizes = [one.size for one in now.values()]
        total = self._ended + sum(size for size in sizes if size is not None)
        done = self._ended + sum(one.done for one in now.values())
        self._progress.update(self._all, completed=done, total=None if None in sizes else total)
