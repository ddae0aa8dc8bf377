"""Verbs start at once: each imports what it needs, counted in modules, for time is not the same twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.store.engine import open_engines
from tracker.store.schema import migrations

# What a verb imports is written to standard error, which it uses for troubles alone.
PROGRAM = """
import sys
from tracker.cli import main
try:
    main()
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""
HEAVY = {  # what none of the verbs here has any use for
    "aiohttp",
    "alembic",
    "apscheduler",
    "httpx",
    "jinja2",
    "obstore",
    "prometheus_client",
    "psycopg",
    "starlette",
    "structlog",
    "tracker.daemon.wiring",
    "tracker.daemon.process",
    "tracker.simulator",
    "uvicorn",
}
# What asks HeyGen, and counts how that goes.
ASKING = {"aiohttp", "httpx", "prometheus_client", "structlog", "tracker.daemon.wiring"}
VERSION_ONLY = HEAVY | {"asyncio", "importlib.metadata", "pydantic", "rich", "sqlalchemy", "tracker.settings"}


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    engines = open_engines(url)
    migrations.migrate(engines.writer)
    engines.dispose()
    return url


def _imported(*arguments: str, database: str) -> set[str]:
    """The modules of a real process that has run this verb."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "TRACKER_DATABASE_URL": database},
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    return set(ended.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "forbidden", "most"),
    [
        (("--version",), VERSION_ONLY, 200),
        (("list",), HEAVY, 600),
        (("list", "--json"), HEAVY | {"rich"}, 550),
        (("wait", "--help"), HEAVY, 700),
        (("add", "7544c0b5-es"), HEAVY - ASKING, 900),
    ],
)
def test_verb_imports_only_what_it_needs(
    database: str, arguments: tuple[str, ...], forbidden: set[str], most: int
) -> None:
    imported = _imported(*arguments, database=database)

    assert forbidden & imported == set()
    assert len(imported) <= most


def test_verb_imports_no_other_verb(database: str) -> None:
    imported = _imported("check-config", "--quiet", "--help", database=database)

    assert {name for name in imported if name.startswith("tracker.cli.")} == {
        "tracker.cli.check_config",
        "tracker.cli.command",
        "tracker.cli.common",
        "tracker.cli.database",
    }
