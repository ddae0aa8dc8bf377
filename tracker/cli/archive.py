"""`tracker archive`: keeps the files of finished translations now, and shows how it goes."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from tracker.archive.archiver import Archiver
from tracker.cli.archive_view import View, named, view
from tracker.cli.common import AsJson, Config, Exit, err, print_json, shown
from tracker.cli.services import with_services
from tracker.daemon.wiring import Services
from tracker.domain.files.records import Wanted
from tracker.domain.files.states import FileState
from tracker.domain.status import Status
from tracker.errors import InputError, StorageError

LOOK_SECONDS = 0.2
STOP_SECONDS = 10.0
PATIENCE = 5  # attempts in a row that brought nothing; then the daemon may go on
SHOWN = 100  # of what is missing
COUNTED = 1000  # files that are left, for the bar: it need not be exact before

Row = dict[str, Any]


def archive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="HeyGen's video_translate_id.", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Download the files of all successful translations.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Download archived files again and replace them.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Stop after this time.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Download files to the archive. Exit code 0: all are archived, 1: some are missing, 4: time-out."""
    if bool(ids) == everything:
        raise InputError("use either IDs or --all; example: tracker archive 7544...-es")
    if again and everything:
        raise InputError("--again: needs IDs; leave --all out")

    async def work(services: Services) -> list[Row]:
        archiver = services.archive
        if archiver is None:
            raise InputError("TRACKER_ARCHIVE is not set; example: TRACKER_ARCHIVE=/srv/heygen")
        try:
            async with asyncio.timeout(timeout):
                if everything:
                    return await _archive_all(services, archiver, silent=as_json)
                return await _archive_some(services, archiver, ids or [], again=again, silent=as_json)
        except TimeoutError:
            err.print(f"[red]error:[/] not all files were archived within {timeout or 0:g} s")
            raise typer.Exit(Exit.TIMED_OUT) from None
        finally:
            await archiver.stop(STOP_SECONDS)

    rows = with_services(config, work)
    if as_json:
        print_json(rows)
    missing = [row for row in rows if row["state"] != FileState.ARCHIVED]
    _tell_missing(missing)
    without = set(ids or ()) - {row["video_translate_id"] for row in rows}
    for one in sorted(without):
        err.print(f"[red]nothing to archive:[/] {shown(one)}: HeyGen has no file of TRACKER_ARCHIVE_KINDS")
    raise typer.Exit(Exit.FAILED if missing or without else Exit.OK)


async def _archive_some(
    services: Services, archiver: Archiver, ids: Sequence[str], *, again: bool, silent: bool
) -> list[Row]:
    """These translations; answers their rows."""
    files, numbers = services.repository.files, await _numbers(services, list(dict.fromkeys(ids)))
    await files.want(numbers, services.repository.archive, again=again)
    with view(silent=silent) as shows:
        while True:
            rows = await files.rows(numbers)
            left = [row for row in rows if not _is_settled(row)]
            shows.told_of(rows)
            shows.update(archiver.under_way.values(), len(left))
            if not left:
                return rows
            await _go_on(archiver, shows, numbers)


async def _numbers(services: Services, ids: Sequence[str]) -> list[int]:
    rows = {row["video_translate_id"]: row for row in await services.repository.find(ids)}
    for one in ids:
        if one not in rows:
            raise InputError(f"{one[:80]!r} is not tracked; track it with `tracker add`")
        if rows[one]["status"] != Status.SUCCESS:
            raise InputError(
                f"{one[:80]!r} is {rows[one]['status']}; only successful translations have files"
            )
    return [rows[one]["id"] for one in ids]


async def _archive_all(services: Services, archiver: Archiver, *, silent: bool) -> list[Row]:
    """The whole history; answers what is not there after all."""
    files, wanted = services.repository.files, Wanted(0, 0)
    while wanted.after is not None:
        wanted = await files.want_all(services.repository.archive, wanted.after)
    total = await files.unsettled(PATIENCE)
    if not silent:
        err.print(f"{total} files to archive")
    with view(silent=silent, total=total) as shows:
        while left := await files.unsettled(PATIENCE, COUNTED):
            shows.update(archiver.under_way.values(), left if left < COUNTED else None)
            await _go_on(archiver, shows, None)
        shows.update(archiver.under_way.values(), 0)
    if not silent:
        err.print(f"{shows.files} files archived by this command, {decimal(shows.bytes)}")
    return await files.missing(PATIENCE, SHOWN)


async def _go_on(archiver: Archiver, shows: View, numbers: Sequence[int] | None) -> None:
    """A little further; raises PlaceError where nothing can be kept, and AccountError where no link comes."""
    await archiver.tick(numbers)
    if archiver.rests is not None and not archiver.under_way:
        raise archiver.rests
    shows.update(archiver.under_way.values())
    await archiver.idle(LOOK_SECONDS)
    if archiver.pause is not None:
        raise StorageError(str(archiver.pause.error))


def _is_settled(row: Row) -> bool:
    return row["state"] in (FileState.ARCHIVED, FileState.FAILED) or row["attempts"] >= PATIENCE


def _tell_missing(rows: Iterable[Row]) -> None:
    for row in rows:
        name, reason = (
            named(row["video_translate_id"], row["kind"]),
            row["error"] or "another tracker is downloading it",
        )
        err.print(f"[red]{row['state']}:[/] {shown(name)}: {shown(reason)}")
