"""`tracker submit`: create translations at HeyGen, and track them from before they exist."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from tracker.cli.common import AsJson, Config, Exit, err, out, print_json, shown
from tracker.cli.services import with_services
from tracker.cli.wait import Timeout, exit_code, follow, has_daemon
from tracker.daemon.heygen_wiring import HeyGen
from tracker.daemon.wiring import Services
from tracker.domain.status import Status
from tracker.domain.submissions import Order, Submission, SubmissionState
from tracker.domain.translation import UNSTORABLE, is_video_translate_id
from tracker.errors import InputError, SettingsError

FLAGS = {
    "video": "--video-url",
    "video_url": "--video-url",
    "output_language": "--language",
    "output_languages": "--language",
    "title": "--title",
    "callback_id": "--callback-id",
}
DRIVE_SECONDS = 0.25
LONGEST_STOP = 5.0


def submit(
    video_url: Annotated[
        str | None, typer.Option(metavar="URL", help="URL of the video to translate.")
    ] = None,
    asset_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Id of a video uploaded to HeyGen as an asset (API v3 only)."),
    ] = None,
    proofread_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Id of a HeyGen proofread to generate the translation from."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANGUAGE...", help="Target language, as HeyGen names it; repeatable.", show_default=False
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TITLE", help="Title of the translations.")] = None,
    callback_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Your own id for these translations.  \\[default: a generated id]"),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Another field of HeyGen's request; the value is JSON or plain text; repeatable.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all translations have finished.")] = False,
    timeout: Timeout = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create translations at HeyGen, one per language, and track them.

    The request is stored before it is sent. If HeyGen does not answer, `tracker run` finds out whether the
    translations exist; none is created twice. Exit code 0: created (with --wait: all succeeded), 1: refused,
    result unknown or translation failed, 4: --wait timed out.
    """
    if timeout is not None and not wait:
        raise InputError("--timeout: needs --wait; add it, or leave --timeout out")
    order = Order(
        languages=tuple(language or ()),
        video_url=video_url,
        asset_id=asset_id,
        proofread_id=proofread_id,
        title=title,
        callback_id=callback_id,
        more=read_fields(field or []),
    )
    check(order)
    work = partial(
        _create, order=order, wait=wait, patience=timeout, daemon=has_daemon(config), as_json=as_json
    )
    raise typer.Exit(with_services(config, work, create=True))


async def _create(
    services: Services,
    *,
    order: Order,
    wait: bool,
    patience: float | None,
    daemon: bool | None,
    as_json: bool,
) -> Exit:
    if services.heygen is None:
        raise SettingsError("TRACKER_HEYGEN_API_KEY: is required to submit; example: your-key")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.heygen.submissions.stop, LONGEST_STOP)  # after Ctrl-C, too
        known = await services.heygen.submissions.submit(order)
        rows = await services.repository.submissions.rows(known.id)
        _tell(known, rows, silent=as_json)
        if not wait:
            _print(known, rows, as_json=as_json)
            return Exit.OK if known.state is SubmissionState.DONE and not known.error else Exit.FAILED
        driver = None if daemon else _Driver(services, services.heygen)
        if driver is not None:
            stack.push_async_callback(driver.stop)
        news = await stack.enter_async_context(services.repository.news()) if driver is None else _soon
        await follow(_Look(services, known.id, driver), news, patience, silent=as_json)
    return await _end(services, known, patience, as_json=as_json)


async def _soon(seconds: float) -> None:
    """Where nobody else drives, looking is what drives."""
    await asyncio.sleep(min(seconds, DRIVE_SECONDS))


async def _end(services: Services, known: Submission, patience: float | None, *, as_json: bool) -> Exit:
    """What there is to say after the waiting."""
    rows = await services.repository.submissions.rows(known.id)
    known = await services.repository.submissions.get(known.id) or known
    _print(known, rows, as_json=as_json)
    if known.state is SubmissionState.UNANSWERED:
        err.print(f"[red]error:[/] {shown(known.error)}")
        return Exit.FAILED
    return exit_code(rows, patience)


def read_fields(given: list[str]) -> dict[str, Any]:
    """`name=value` pairs; raises InputError."""
    fields: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise InputError(f"--field {name[:80]!r}: is not NAME=VALUE; example: --field speaker_num=2")
        if name in FLAGS:
            raise InputError(f"--field {name}: use the option {FLAGS[name]}")
        if name in fields:
            raise InputError(f"--field {name}: appears twice; remove one")
        _check_text("--field", one)
        fields[name] = _json_or_text(value)
    return fields


def _json_or_text(value: str) -> Any:
    def refuse(_word: str) -> Any:
        raise ValueError("NaN and Infinity are not JSON")

    try:
        return json.loads(value, parse_constant=refuse)
    except (ValueError, RecursionError):
        return value


def check(order: Order) -> None:
    """Raise InputError for what HeyGen could not be asked."""
    named = [order.video_url, order.asset_id, order.proofread_id]
    if sum(one is not None for one in named) != 1:
        raise InputError("use exactly one of --video-url, --asset-id and --proofread-id")
    if order.video_url is not None and not _is_web_address(order.video_url):
        raise InputError("--video-url: is not an http or https URL; example: https://example.com/talk.mp4")
    for flag, one in (("--asset-id", order.asset_id), ("--proofread-id", order.proofread_id)):
        if one is not None and not is_video_translate_id(one):
            raise InputError(f"{flag} {one[:80]!r}: HeyGen's ids have 1 to 255 of A-Z a-z 0-9 _ -")
    _check_languages(order)
    for flag, text in (("--title", order.title), ("--callback-id", order.callback_id)):
        if text is not None:
            _check_text(flag, text)


def _check_languages(order: Order) -> None:
    if order.proofread_id is not None:
        given = [("--language", order.languages), ("--title", order.title)]
        for flag in (flag for flag, value in given if value):
            raise InputError(f"{flag}: cannot be used with --proofread-id; leave it out")
        return
    if not order.languages:
        raise InputError('--language: name at least one; example: --language "Spanish (Spain)"')
    for one in order.languages:
        _check_text("--language", one)
        if order.languages.count(one) > 1:
            raise InputError(f"--language {one[:80]!r}: appears twice; remove one")


def _check_text(flag: str, text: str) -> None:
    if not text.strip() or UNSTORABLE.search(text):
        raise InputError(f"{flag}: must be text, without NUL characters and lone surrogates")


def _is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and value.isprintable()
    except ValueError:
        return False


class _Driver:
    """Does what `tracker run` would do, where there is none: claims keep two from asking the same."""

    def __init__(self, services: Services, heygen: HeyGen) -> None:
        self._services, self._heygen = services, heygen
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def check(self) -> None:
        """Raise what it died of, if it did."""
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Let the request that is out come to its end: a cancelled one might have created something."""
        self._stopping.set()
        await asyncio.wait([self._task])
        await self._services.poller.stop(patience=LONGEST_STOP)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._heygen.submissions.resume()
            await self._services.poller.tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), DRIVE_SECONDS)
        await (
            self._services.poller.tick()
        )  # a bulk answer has no urls: what has just ended is asked for its own


class _Look:
    """Finds the submission's rows; nothing is left to wait for once it is given up."""

    def __init__(self, services: Services, number: int, driver: _Driver | None) -> None:
        self._services, self._number, self._driver = services, number, driver

    async def __call__(self) -> list[dict[str, Any]]:
        if self._driver is not None:
            self._driver.check()
        known = await self._services.repository.submissions.get(self._number)
        rows = await self._services.repository.submissions.rows(self._number)
        if known is not None and known.state is SubmissionState.UNANSWERED:
            return [row for row in rows if row["video_translate_id"]]
        return rows


def _tell(known: Submission, rows: list[dict[str, Any]], *, silent: bool) -> None:
    """What has come of it, for people; troubles go to standard error, also beside JSON."""
    if not silent:
        for row in rows:
            language = shown(row["output_language"] or "as the proofread says")
            name = shown(row["video_translate_id"] or "not known yet")
            out.print(f"{language}: {name}  [dim]callback id {shown(row['callback_id'])}[/]")
    if trouble := _trouble(known):
        err.print(f"[red]error:[/] {shown(trouble)}")


def _trouble(known: Submission) -> str | None:
    match known.state:
        case SubmissionState.REFUSED:
            return f"HeyGen refused it: {known.error}"
        case SubmissionState.PLANNED:
            return f"not sent yet: {known.error}; the request is stored and `tracker run` will retry"
        case SubmissionState.SENT:
            return (
                f"unknown whether HeyGen received the request: {known.error or 'no answer yet'}; "
                "`tracker run` will find out; do not submit it again"
            )
    return known.error


def _print(known: Submission, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        told: dict[str, str | int | datetime | None] = {
            "id": known.id,
            "state": known.state,
            "api_version": known.api_version,
            "error": known.error,
            "created_at": known.created_at,
        }
        print_json({**told, "translations": rows})
    elif known.state is SubmissionState.DONE and not any(row["status"] == Status.FAILED for row in rows):
        out.print(f"{len(rows)} tracked")
