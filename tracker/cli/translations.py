"""Verbs that change translations: add, poll, reopen."""

import sys
from typing import Annotated, Any

import typer

from tracker.cli.common import AsJson, Config, Exit, err, out, print_json, shown
from tracker.cli.entries import read_entries, refuse_all
from tracker.cli.listing import Id, find
from tracker.cli.services import with_services
from tracker.daemon.database import clock
from tracker.daemon.wiring import Services
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.errors import InputError, SettingsError
from tracker.tracking.recorder import poll_request, registration

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="HeyGen's video_translate_id.", show_default=False)
]


def add(
    ids: Ids = None,
    callback_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Your own id for these translations.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TITLE", help="Title of the translations.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Track translations that exist at HeyGen; for tracked ones, only empty fields are set.

    Without IDs (or with -), read them from standard input: one id per line, or CSV or JSON lines with
    video_translate_id, callback_id and title. Use --callback-id alone if the id is not known yet.
    """
    entries: list[tuple[str, dict[str, str | None]]]
    if ids == ["-"] or (not ids and callback_id is None):
        if not ids and sys.stdin.isatty():
            raise InputError("name at least one ID, or a --callback-id; example: tracker add 7544c0b5...-es")
        entries = read_entries(_read_standard_input())
    else:
        entries = [("", {"video_translate_id": one}) for one in ids] if ids else [("", {})]
    observations = _registrations(entries, {"callback_id": callback_id, "title": title})
    recorded, rows = with_services(config, lambda services: _add(services, observations), create=True)
    if as_json:
        print_json([{**row, "new": is_new} for row, is_new in zip(rows, recorded, strict=True)])
        return
    for row, is_new in zip(rows, recorded, strict=True):
        name = row["video_translate_id"] or f"callback id {row['callback_id']}"
        out.print(f"{shown(name)}: {'now tracked' if is_new else 'known, ' + row['status']}")
    out.print(f"{sum(recorded)} new, {len(recorded) - sum(recorded)} known")


def _read_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("standard input is not UTF-8") from error


def _registrations(
    entries: list[tuple[str, dict[str, str | None]]], common: dict[str, str | None]
) -> list[Observation]:
    observations, errors, now = [], [], clock()
    for place, entry in entries:
        given = {name: value for name, value in entry.items() if value is not None}
        try:
            observations.append(registration(now, **(common | given)))
        except InputError as error:
            errors.append(f"{place}: {error}" if place else str(error))
    refuse_all(errors)
    return observations


async def _add(
    services: Services, observations: list[Observation]
) -> tuple[list[bool], list[dict[str, Any]]]:
    recorded = await services.tracker.register(observations)
    numbers = [one.translation_id for one in recorded if one.translation_id is not None]
    rows = {row["id"]: row for row in await services.repository.get(numbers)}
    return [one.is_new for one in recorded], [rows[number] for number in numbers]


def poll(ids: Ids = None, config: Config = None, as_json: AsJson = False) -> None:
    """Poll all due translations, or the named ones, once."""

    async def work(services: Services) -> tuple[dict[str, int], str | None]:
        if services.poller.gate.reason:
            raise SettingsError("TRACKER_HEYGEN_API_KEY: is required to poll; example: your-key")
        for one in ids or []:
            await find(services.repository, one)
            await services.tracker.record([Record(observation=poll_request(clock(), one))])
        return dict(await services.poller.run_once()), services.poller.gate.reason

    outcomes, paused = with_services(config, work)
    if as_json:
        print_json({"polls": sum(outcomes.values()), "outcomes": outcomes, "paused": paused})
    else:
        counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        out.print(f"{sum(outcomes.values())} polls{': ' if counted else ''}{counted}")
    if paused:
        err.print(f"[red]error:[/] polling is paused for this account: {paused}")
        raise typer.Exit(Exit.FAILED)
    if outcomes and set(outcomes) == {ProblemKind.UNREACHABLE}:
        err.print("[red]error:[/] no poll succeeded; `tracker show ID` shows the last_error")
        raise typer.Exit(Exit.FAILED)


def reopen(video_translate_id: Id, config: Config = None, as_json: AsJson = False) -> None:
    """Reset a finished translation to pending; it is polled immediately."""

    async def work(services: Services) -> dict[str, Any]:
        row = await find(services.repository, video_translate_id)
        if not Status(row["status"]).is_final:
            raise InputError(
                f"{video_translate_id} is {row['status']}; only finished translations can be reopened"
            )
        again = Observation(
            source=Source.MANUAL,
            observed_at=clock(),
            video_translate_id=video_translate_id,
            status=Status.PENDING,
        )
        await services.tracker.record([Record(observation=again)])
        return await find(services.repository, video_translate_id)

    row = with_services(config, work)
    if as_json:
        print_json(row)
    else:
        out.print(f"{shown(row['video_translate_id'])} is {row['status']} again")
