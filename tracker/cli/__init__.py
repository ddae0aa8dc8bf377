"""`tracker`: its verbs, and the only room that prints."""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any

import typer

from tracker.cli import common, demo, service, translations, webhook
from tracker.cli.archive import archive
from tracker.cli.common import Config, err, exit_code
from tracker.cli.copy_database import copy_database
from tracker.cli.discover import discover
from tracker.cli.simulate import simulate
from tracker.cli.submit import submit
from tracker.cli.units import units
from tracker.cli.url import url
from tracker.errors import TrackerError

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong input or setting, 3 database, address or HeyGen not available, "
    "4 time-out."
)

app = typer.Typer(
    name="tracker",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tracker {version('heygen-tracker')}")
        raise typer.Exit


@app.callback()
def root(
    config: Config = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keeps your HeyGen video translations right in SQL, from webhooks and from polling."""
    common.root_options.config = config


VERBS: dict[Callable[..., Any], str] = {
    service.run: "tracker run --config /etc/tracker/tracker.toml",
    service.migrate: "tracker migrate",
    copy_database: "tracker copy-database --to postgresql://tracker@db.example/tracker",
    submit: 'tracker submit --video-url https://example.com/talk.mp4 --language "Spanish (Spain)"',
    translations.add: "tracker add 7544c0b52ada44fda693a15b1181b5b4-es --callback-id order-42",
    translations.list_: "tracker list --status failed --json",
    translations.show: "tracker show 7544c0b52ada44fda693a15b1181b5b4-es",
    translations.wait: "tracker wait 7544c0b52ada44fda693a15b1181b5b4-es --timeout 3600",
    translations.poll: "tracker poll",
    url: "tracker url 7544c0b52ada44fda693a15b1181b5b4-es --kind captions",
    archive: "tracker archive 7544c0b52ada44fda693a15b1181b5b4-es",
    discover: "tracker discover --adopt prefix:order-",
    translations.reopen: "tracker reopen 7544c0b52ada44fda693a15b1181b5b4-es",
    service.check_config: "TRACKER_RATE_LIMIT=2 tracker check-config",
    units: "tracker units /etc/systemd/system",
    simulate: "tracker simulate --webhook-url http://127.0.0.1:8321/webhooks/heygen --webhook-secret s",
    demo.demo: "tracker demo",
}


def add_verbs(program: typer.Typer, verbs: Mapping[Callable[..., Any], str]) -> None:
    """Each verb under its function's name, with its example."""
    for verb, example in verbs.items():
        program.command(verb.__name__.rstrip("_").replace("_", "-"), epilog=f"Example: {example}")(verb)


add_verbs(app, VERBS)
webhook_app = typer.Typer(name="webhook", help=webhook.HELP, no_args_is_help=True, rich_markup_mode="rich")
add_verbs(webhook_app, webhook.VERBS)
app.add_typer(webhook_app)


def main() -> None:
    """The program: TrackerErrors become one clear line and an exit code, never a traceback."""
    try:
        app(prog_name="tracker")
    except TrackerError as error:
        err.print("[red]error:[/] ", end="")
        err.print(str(error), markup=False)
        sys.exit(exit_code(error))
