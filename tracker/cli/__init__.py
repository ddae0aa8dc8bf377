"""`tracker`: its verbs, and the only room that prints."""

import gc
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any

import typer
import typer.main

from tracker import __version__
from tracker.cli.command import Verb, Verbs
from tracker.cli.common import Config, err, exit_code, root_options
from tracker.errors import TrackerError

EXIT_CODES = (
    "Exit codes: 0 success, 1 failure, 2 wrong input or setting, 3 database, address or HeyGen unavailable, "
    "4 time-out."
)
# Each verb's function by name, for a start imports no other verb, and its example.
VERBS = {
    "run": ("service:run", "tracker run --config /etc/tracker/tracker.toml"),
    "migrate": ("migrate:migrate", "tracker migrate"),
    "copy-database": (
        "copy_database:copy_database",
        "tracker copy-database --to postgresql://tracker@db.example/tracker",
    ),
    "submit": (
        "submit:submit",
        'tracker submit --video-url https://example.com/talk.mp4 --language "Spanish (Spain)"',
    ),
    "add": (
        "translations:add",
        "tracker add 7544c0b52ada44fda693a15b1181b5b4-es --callback-id order-42",
    ),
    "list": ("listing:list_", "tracker list --status failed --json"),
    "show": ("listing:show", "tracker show 7544c0b52ada44fda693a15b1181b5b4-es"),
    "wait": ("wait:wait", "tracker wait 7544c0b52ada44fda693a15b1181b5b4-es --timeout 3600"),
    "poll": ("translations:poll", "tracker poll"),
    "url": ("url:url", "tracker url 7544c0b52ada44fda693a15b1181b5b4-es --kind captions"),
    "archive": ("archive:archive", "tracker archive 7544c0b52ada44fda693a15b1181b5b4-es"),
    "discover": ("discover:discover", "tracker discover --adopt prefix:order-"),
    "reopen": ("translations:reopen", "tracker reopen 7544c0b52ada44fda693a15b1181b5b4-es"),
    "check-config": ("check_config:check_config", "TRACKER_RATE_LIMIT=2 tracker check-config"),
    "units": ("units:units", "tracker units /etc/systemd/system"),
    "simulate": (
        "simulate:simulate",
        "tracker simulate --webhook-url http://127.0.0.1:8321/webhooks/heygen --webhook-secret s3cret",
    ),
    "demo": ("demo:demo", "tracker demo"),
    "webhook": ("webhook:app", ""),
}


class AllVerbs(Verbs):
    """Imports the module of a verb when it is called, or when all are listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every verb, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of this name. For a name that is none all are loaded: typer looks for a similar one."""
        for name in [cmd_name] if cmd_name in VERBS else VERBS:
            if name not in self.commands:
                self.add_command(_load(name), name)
        return super().get_command(ctx, cmd_name)


def _load(name: str) -> Any:
    """The command `name`, made by typer from its function."""
    place, example = VERBS[name]
    module, _, attribute = place.partition(":")
    found = getattr(_imported(f"tracker.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    program = typer.Typer(add_completion=False, rich_markup_mode="rich")
    program.command(name, cls=Verb, epilog=f"Example: {example}")(found)
    return typer.main.get_command(program)


def _imported(name: str) -> ModuleType:
    """The module of a verb, imported as fast as possible.

    No garbage collection meanwhile, nor ever of what the import brings: both together are a third of
    the time of `tracker list`. And no search for pydantic's plugins: it reads the metadata of all packages.
    """
    if name in sys.modules:
        return sys.modules[name]
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()
    try:
        module = import_module(name)
    finally:
        gc.freeze()
        gc.enable()
    return module


app = typer.Typer(
    name="tracker",
    cls=AllVerbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tracker {__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Config = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Keep the status of your HeyGen video translations in SQL, from webhooks and polling."""
    root_options.config = config


def main() -> None:
    """The program: TrackerErrors become one clear line and an exit code, never a traceback."""
    try:
        app(prog_name="tracker")
    except TrackerError as error:
        err.print("[red]error:[/] ", end="")
        err.print(str(error), markup=False)
        sys.exit(exit_code(error))
