"""Verbs of the service: run, migrate, check-config."""

import asyncio
import os
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import structlog
import typer

from tracker import logs, systemd
from tracker.cli.common import (
    AsJson,
    Config,
    Exit,
    configure_logs,
    exit_code,
    out,
    print_json,
    print_table,
    read_settings,
    root_options,
)
from tracker.core import open_database
from tracker.daemon import Daemon
from tracker.errors import TrackerError
from tracker.settings import PREFIX, Loaded, Settings, load, redacted
from tracker.store import migration_plan, schema
from tracker.store.engine import parse_url
from tracker.store.lock import sole_runner

log = structlog.get_logger("tracker.daemon")

To = Annotated[
    str | None,
    typer.Option("--to", metavar="REVISION", help="Go up or down to this revision; for a rollback."),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Print what would run, as SQL of this database; run nothing.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but what is wrong.")]


def run(config: Config = None, as_json: AsJson = False) -> None:
    """Run the daemon: receive webhooks, poll what is due, until SIGTERM.

    SQLite is migrated at the start. --json logs JSON lines.
    """
    if not systemd.writes_to_journal(os.environ):
        raise typer.Exit(_run(config, as_json=as_json))
    logs.configure(level="info", as_json=True, journal=True, secrets=[])  # until the settings are known
    try:
        code = _run(config, as_json=as_json)
    except TrackerError as error:
        log.critical("cannot start", error=str(error))
        code = exit_code(error)
    except Exception:  # one record with a priority, and no secrets
        log.critical("tracker died", exc_info=True)
        code = Exit.FAILED
    raise typer.Exit(code)


def _run(config: Path | None, *, as_json: bool) -> int:
    def read() -> Settings:
        return _told(load(config or root_options.config)).settings

    loaded = load(config or root_options.config)
    configure_logs(loaded, as_json=as_json)
    _told(loaded)
    sockets, manager = systemd.inherited_sockets(os.environ), systemd.Manager.of(os.environ)
    return asyncio.run(Daemon(loaded.settings, sockets, manager, read).run())


def _told(loaded: Loaded) -> Loaded:
    for name in loaded.unknown:
        log.warning("unknown setting", name=name, advice="`tracker check-config` lists them")
    for name in loaded.empty:
        log.warning("empty credential", name=name, advice="it counts as not set")
    return loaded


def migrate(config: Config = None, to: To = None, plan: Plan = False, as_json: AsJson = False) -> None:
    """Bring the database's schema up to date, or to the one of an older version."""
    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    engines = open_database(loaded.settings)
    if plan:
        print_plan(migration_plan.plan(engines.reader, to), as_json=as_json)
        engines.dispose()
        return
    alone = sole_runner(loaded.settings.database_url.get_secret_value()) if to else nullcontext()
    with alone:  # a daemon would go on with a schema that is no longer there
        before, after = schema.migrate(engines.writer, to)
    engines.dispose()
    if as_json:
        print_json({"before": before, "after": after})
    elif before == after:
        out.print(f"the schema is {after} already" if to else f"the schema is up to date: {after}")
    elif before is not None and before > after:
        out.print(f"the schema is back at {after}, before: {before}; what only {before} holds is gone")
    else:
        out.print(f"the schema is now {after}, before: {before or 'none'}")


def print_plan(found: migration_plan.Plan, *, as_json: bool) -> None:
    """The way as SQL: what is not SQL stands in comments."""
    if as_json:
        print_json(asdict(found))
        return
    print_plainly(f"-- the schema is {found.before or 'not there yet'}; wanted: {found.after}")
    if not found.steps:
        print_plainly("-- nothing to do")
    for step in found.steps:
        print_plainly(f"\n-- {step.revision}{'' if step.up else ' taken back'}: {step.title}")
        for statement in step.sql:
            print_plainly(f"\n{statement}")
    if found.steps:
        print_plainly("\n-- nothing of this was run; without --plan it is")


def print_plainly(text: str) -> None:
    """Neither folded nor coloured: for programs that read SQL."""
    out.print(text, markup=False, emoji=False, no_wrap=True, overflow="ignore", crop=False)


def check_config(config: Config = None, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Print every setting, where it comes from, and what it means; secrets are not shown."""
    loaded = read_settings(config)
    parse_url(loaded.settings.database_url.get_secret_value())  # raises for what `run` would refuse
    if quiet:
        return
    rows = [
        {
            "variable": PREFIX + name.upper(),
            "value": value,
            "origin": loaded.origins.get(name, "default"),
            "meaning": Settings.model_fields[name].description,
        }
        for name, value in redacted(loaded.settings).items()
    ]
    if as_json:
        print_json({"settings": rows, "unknown": loaded.unknown, "empty": loaded.empty})
    else:
        print_table(rows, {name: name for name in ("variable", "value", "origin", "meaning")})
