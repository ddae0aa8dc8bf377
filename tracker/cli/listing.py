"""Verbs that read translations: list, show."""

from typing import Annotated, Any

import typer

from tracker.cli.common import AsJson, Config, out, print_json, print_table, shown
from tracker.cli.database import with_store
from tracker.domain.status import Attention, Status
from tracker.errors import InputError
from tracker.store.repository import Repository

Id = Annotated[str, typer.Argument(metavar="ID", help="HeyGen's video_translate_id.", show_default=False)]
LISTED = {
    "id": "video_translate_id",
    "callback id": "callback_id",
    "title": "title",
    "language": "output_language",
    "status": "status",
    "attention": "attention",
    "tracked since": "created_at",
    "finished": "finished_at",
}


def list_(
    status: Annotated[Status | None, typer.Option(help="Show only translations with this status.")] = None,
    attention: Annotated[
        Attention | None, typer.Option(help="Show only translations with this attention flag.")
    ] = None,
    callback_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Show only translations with this callback id.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Maximum number of translations to show.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List translations, the oldest first."""

    async def read(repository: Repository) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while limit is None or len(rows) < limit:
            page = await repository.list_translations(
                status=status,
                attention=attention,
                callback_id=callback_id,
                after=rows[-1]["id"] if rows else 0,
                limit=1000 if limit is None else min(1000, limit - len(rows)),
            )
            rows += page
            if not page:
                break
        return rows

    rows = with_store(config, read)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows, LISTED)
    else:
        out.print("no translations")


def show(video_translate_id: Id, config: Config = None, as_json: AsJson = False) -> None:
    """Show one translation and the history of its status."""

    async def read(repository: Repository) -> dict[str, Any]:
        row = await find(repository, video_translate_id)
        return {**row, "changes": await repository.list_changes(row["id"])}

    row = with_store(config, read)
    if as_json:
        print_json(row)
        return
    changes = row.pop("changes")
    for name, value in row.items():
        if value is not None:
            out.print(f"[dim]{name:>20}[/]  {shown(value, name)}")
    out.print()
    if changes:
        print_table(
            changes, {name: name for name in ("old_status", "new_status", "source", "observed_at", "note")}
        )
    else:
        out.print("no status changes yet")


async def find(repository: Repository, video_translate_id: str) -> dict[str, Any]:
    """Its row; raises InputError where it is not tracked."""
    if not (rows := await repository.find([video_translate_id])):
        raise InputError(f"{video_translate_id[:80]!r} is not tracked; track it with `tracker add`")
    return rows[0]
