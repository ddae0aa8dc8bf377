"""The schema's version: what the database has, what this program needs, and the way there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

import tracker
from tracker.errors import SchemaError
from tracker.store.writer import translated

PACKAGE = Path(tracker.__file__).parent


def migrations_config() -> Config:
    """Alembic's configuration without alembic.ini, which an installed package does not have."""
    packed = PACKAGE / "migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(packed if packed.is_dir() else PACKAGE.parent / "migrations")
    )
    config.set_main_option("path_separator", "os")
    return config


def needed_revision() -> str:
    """The newest revision this program knows."""
    return str(ScriptDirectory.from_config(migrations_config()).get_current_head())


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None where nothing was ever migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(writer: Engine) -> tuple[str | None, str]:
    """Bring the schema up to date; returns the revisions before and after. Raises StoreError."""
    config = migrations_config()
    with translated(), writer.connect() as connection:
        with connection.begin():
            before = current_revision(connection)
            refuse_unknown(before)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, needed_revision()


def check(reader: Engine) -> None:
    """Raise SchemaError, with the command to run, unless the schema is the one this program needs."""
    with translated(), reader.connect() as connection:
        found = current_revision(connection)
    refuse_unknown(found)
    if found is None:
        raise SchemaError("the database has no tables yet; run: tracker migrate")
    if found != needed_revision():
        raise SchemaError(f"the database's schema {found} is older than this program's; run: tracker migrate")


def refuse_unknown(found: str | None) -> None:
    """Raise SchemaError for a revision that this program has never heard of."""
    known = {script.revision for script in ScriptDirectory.from_config(migrations_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(f"the database's schema {found} is newer than this program; upgrade heygen-tracker")
