"""`tracker url`: links that work."""

import sys
from typing import Annotated, Any

import typer

from tracker.cli.common import AsJson, Config, Exit, err, exit_code, print_json
from tracker.cli.services import with_services
from tracker.daemon.wiring import Services
from tracker.domain.links import Link, LinkKind
from tracker.errors import InputError, LinkEndedError, NotFoundError, TrackerError


def url(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="HeyGen's video_translate_id.", show_default=False)
    ],
    kind: Annotated[LinkKind, typer.Option(help="The file to link to.")] = LinkKind.VIDEO,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print a download link to a translated file, valid for at least an hour."""
    found = with_services(config, lambda services: _find(services, ids, kind))
    links = {name: link for name, link in found.items() if isinstance(link, Link)}
    if as_json:
        print_json([_shown(name, link) for name, link in links.items()])
    else:
        sys.stdout.writelines(f"{link.url}\n" for link in links.values())
    errors = [error for error in found.values() if isinstance(error, TrackerError)]
    for error in errors:
        err.print("[red]error:[/] ", end="")
        err.print(str(error), markup=False)
    if errors:
        raise typer.Exit(max(_exit(error) for error in errors))


async def _find(services: Services, ids: list[str], kind: LinkKind) -> dict[str, Link | TrackerError]:
    """A link of each, or why there is none. Nothing is asked where one of them is not tracked."""
    rows = {row["video_translate_id"]: row["id"] for row in await services.repository.find(ids)}
    if unknown := [name for name in ids if name not in rows]:
        raise InputError(f"{unknown[0][:80]!r} is not tracked; track it with `tracker add`")
    found: dict[str, Link | TrackerError] = {}
    for name in ids:
        try:
            found[name] = await services.links.working(rows[name], kind)
        except TrackerError as error:
            found[name] = error
    return found


def _exit(error: TrackerError) -> Exit:
    """1 where there is no such file, or its link must not be renewed."""
    return Exit.FAILED if isinstance(error, NotFoundError | LinkEndedError) else exit_code(error)


def _shown(name: str, link: Link) -> dict[str, Any]:
    return {"video_translate_id": name, "kind": link.kind, "url": link.url, "url_expires_at": link.expires_at}
