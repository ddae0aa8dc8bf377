"""The schema's version: what the database has, what this program needs, and the way there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

import tracker
from tracker.errors import InputError, SchemaError
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


def known_revisions() -> list[str]:
    """Every revision this program knows, the oldest first."""
    scripts = ScriptDirectory.from_config(migrations_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None where nothing was ever migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(writer: Engine, to: str | None = None) -> tuple[str | None, str]:
    """Bring the schema up to date, or up or down to the revision `to`.

    Returns the revisions before and after. Raises StoreError, and InputError for an unknown `to`.
    """
    known = known_revisions()
    wanted = to or known[-1]
    if wanted not in known:
        raise InputError(f"there is no schema {wanted}; this program knows {', '.join(known)}")
    config = migrations_config()
    with translated(), writer.connect() as connection:
        with connection.begin():
            before = current_revision(connection)
            refuse_unknown(before)
        config.attributes["connection"] = connection
        if before is not None and known.index(wanted) < known.index(before):
            command.downgrade(config, wanted)
        else:
            command.upgrade(config, wanted)
    return before, wanted


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
    if found is not None and found not in known_revisions():
        raise SchemaError(f"the database's schema {found} is newer than this program; upgrade heygen-tracker")
