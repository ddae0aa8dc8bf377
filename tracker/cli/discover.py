"""`tracker discover`: the account's own list of translations, bound and adopted."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tracker.cli.common import AsJson, Config, Exit, err, out, print_json, print_table
from tracker.cli.services import with_services
from tracker.daemon.database import clock
from tracker.daemon.heygen_wiring import HeyGen
from tracker.daemon.wiring import Services
from tracker.domain.adoption import Adoption
from tracker.errors import InputError, SettingsError
from tracker.heygen.listings import TranslationList
from tracker.polling.discovery import Discovery, Report

COUNTED = ("listed", "new", "bound", "changed", "failed")


def discover(
    adopt: Annotated[
        str | None,
        typer.Option(
            metavar="all|none|prefix:TEXT",
            help="Which untracked translations to start tracking: none, all, or those whose callback_id "
            "begins with TEXT.",
            show_default="TRACKER_DISCOVER_ADOPT",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start at the first page, not where an earlier run stopped.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Read HeyGen's list of your translations: update tracked ones and adopt new ones.

    Rows that have only a callback_id get their video_translate_id. An interrupted run continues where it
    stopped if --adopt is the same.
    """
    given = _parsed(adopt) if adopt is not None else None

    async def work(services: Services) -> tuple[Report, Adoption]:
        policy = given or services.settings.discover_adopt
        listing = TranslationList(_heygen(services).client)
        discovery = Discovery(
            services.tracker,
            listing,
            services.repository,
            clock,
            policy,
            on_page=_show_progress,
            keep=lambda: services.retention.keep,
        )
        return await discovery.sweep(restart=restart), policy

    report, policy = with_services(config, work, create=True)
    _print(report, policy, as_json=as_json)
    if report.not_reached is not None:
        err.print("[red]error:[/] not reached: ", end="")
        err.print(report.not_reached, markup=False)
        err.print("run `tracker discover` again to continue")
    if report.failed:
        err.print(f"[red]error:[/] {report.failed} listed translations could not be read or stored")
    if report.not_reached is not None or report.failed:
        raise typer.Exit(Exit.FAILED)


def _parsed(adopt: str) -> Adoption:
    try:
        return Adoption.parse(adopt)
    except ValueError as error:
        raise InputError(f"--adopt: {error}; example: --adopt prefix:order-") from error


def _heygen(services: Services) -> HeyGen:
    if services.heygen is None:
        raise SettingsError("TRACKER_HEYGEN_API_KEY: is required to discover; example: your-key")
    if services.settings.heygen_api == "v2":
        raise SettingsError("TRACKER_HEYGEN_API: is v2, which has no list of translations; example: auto")
    return services.heygen


def _show_progress(report: Report) -> None:
    """A line on a terminal that follows the pages."""
    if err.is_terminal:
        err.print(f"page {report.pages}: {report.listed} listed, {report.new} new", end="\r")


def _print(report: Report, policy: Adoption, *, as_json: bool) -> None:
    told: dict[str, Any] = {**asdict(report), "adopt": policy}
    if as_json:
        print_json({name: told[name] for name in (*COUNTED, "not_reached")})
        return
    print_table([told], {name: name for name in (*COUNTED, "adopt")})
    if not report.listed and report.not_reached is None:
        out.print("HeyGen lists no translations for this account")
