"""Verbs of the service: run, migrate, check-config."""

import asyncio
import os

import typer

from tracker import systemd
from tracker.cli.common import AsJson, Config, configure_logs, out, print_json, print_table, read_settings
from tracker.core import open_database
from tracker.daemon import Daemon
from tracker.settings import PREFIX, Settings, redacted
from tracker.store import schema
from tracker.store.engine import parse_url


def run(config: Config = None, as_json: AsJson = False) -> None:
    """Run the daemon: receive webhooks, poll what is due, until SIGTERM.

    SQLite is migrated at the start. --json logs JSON lines.
    """
    loaded = read_settings(config)
    configure_logs(loaded, as_json=as_json)
    daemon = Daemon(loaded.settings, systemd.inherited_sockets(os.environ))
    raise typer.Exit(asyncio.run(daemon.run()))


def migrate(config: Config = None, as_json: AsJson = False) -> None:
    """Bring the database's schema up to date."""
    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    engines = open_database(loaded.settings)
    before, after = schema.migrate(engines.writer)
    engines.dispose()
    if as_json:
        print_json({"before": before, "after": after})
    elif before == after:
        out.print(f"the schema is up to date: {after}")
    else:
        out.print(f"the schema is now {after}, before: {before or 'none'}")


def check_config(config: Config = None, as_json: AsJson = False) -> None:
    """Print every setting, where it comes from, and what it means; secrets are not shown."""
    loaded = read_settings(config)
    parse_url(loaded.settings.database_url.get_secret_value())  # raises for what `run` would refuse
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
        print_json({"settings": rows, "unknown": loaded.unknown})
    else:
        print_table(rows, {name: name for name in ("variable", "value", "origin", "meaning")})
