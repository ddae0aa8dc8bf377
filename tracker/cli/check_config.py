"""`tracker check-config`: every setting, and where it comes from."""

from typing import Annotated

import typer

from tracker.cli.common import AsJson, Config, print_json, print_table
from tracker.cli.database import read_settings
from tracker.settings import PREFIX, Settings, redacted
from tracker.store.engine import parse_url

Quiet = Annotated[bool, typer.Option("--quiet", help="Print only errors and warnings.")]


def check_config(config: Config = None, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Check all settings and print their values, origins and meanings; secrets are masked."""
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
