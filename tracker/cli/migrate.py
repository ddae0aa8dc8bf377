"""`tracker migrate`: the schema, up to date or back at an older version."""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from tracker.cli.common import AsJson, Config, out, print_json
from tracker.cli.database import configure_logs, read_settings
from tracker.daemon.database import open_database
from tracker.store.process_lock import sole_runner
from tracker.store.schema import migrations
from tracker.store.schema import plan as migration_plan

To = Annotated[
    str | None,
    typer.Option("--to", metavar="REVISION", help="Upgrade or downgrade to this revision."),
]
Plan = Annotated[bool, typer.Option("--plan", help="Print the SQL of the migrations; run nothing.")]


def migrate(config: Config = None, to: To = None, plan: Plan = False, as_json: AsJson = False) -> None:
    """Upgrade the database schema, or downgrade it for an older version of tracker."""
    loaded = read_settings(config)
    configure_logs(loaded, level="warning")
    with open_database(loaded.settings) as engines:
        if plan:
            print_plan(migration_plan.plan(engines.reader, to), as_json=as_json)
            return
        alone = sole_runner(loaded.settings.database_url.get_secret_value()) if to else nullcontext()
        with alone:  # a running daemon would need the schema that is no longer there
            before, after = migrations.migrate(engines.writer, to)
    if as_json:
        print_json({"before": before, "after": after})
    elif before == after:
        out.print(f"the schema is already {after}" if to else f"the schema is up to date: {after}")
    elif before is not None and before > after:
        out.print(
            f"the schema is now {after}, before: {before}; data that only {before} can store was deleted"
        )
    else:
        out.print(f"the schema is now {after}, before: {before or 'none'}")


def print_plan(found: migration_plan.Plan, *, as_json: bool) -> None:
    """The way as SQL: what is not SQL stands in comments."""
    if as_json:
        print_json(asdict(found))
        return
    print_plainly(f"-- current schema: {found.before or 'none'}; target: {found.after}")
    if not found.steps:
        print_plainly("-- nothing to do")
    for step in found.steps:
        print_plainly(f"\n-- {step.revision}{'' if step.up else ' (downgrade)'}: {step.title}")
        for statement in step.sql:
            print_plainly(f"\n{statement}")
    if found.steps:
        print_plainly("\n-- nothing was run; run it without --plan")


def print_plainly(text: str) -> None:
    """Neither folded nor coloured: for programs that read SQL."""
    out.print(text, markup=False, emoji=False, no_wrap=True, overflow="ignore", crop=False)
