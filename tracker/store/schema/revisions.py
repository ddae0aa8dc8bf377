"""The schema's version: what the database has, and what this program needs; no alembic to find that out."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

import tracker
from tracker.errors import SchemaError
from tracker.store.writer import translated

PACKAGE = Path(tracker.__file__).parent


def migrations_folder() -> Path:
    """In a wheel beside the code, in a checkout above it."""
    packed = PACKAGE / "migrations"
    return packed if packed.is_dir() else PACKAGE.parent / "migrations"


def known_revisions() -> list[str]:
    """Every revision this program knows, the oldest first: files of migrations are named for them."""
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("*.py"))
    return [name.partition("_")[0] for name in names]


def needed_revision() -> str:
    """The newest revision this program knows."""
    return known_revisions()[-1]


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None where nothing was ever migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def refuse_unknown(found: str | None) -> None:
    """Raise SchemaError for a revision that this program has never heard of."""
    if found is not None and found not in known_revisions():
        raise SchemaError(f"the database's schema {found} is newer than this program; upgrade heygen-tracker")


def check(reader: Engine) -> None:
    """Raise SchemaError, with the command to run, unless the schema is the one this program needs."""
    with translated(), reader.connect() as connection:
        found = current_revision(connection)
    refuse_unknown(found)
    if found is None:
        raise SchemaError("the database has no tables yet; run: tracker migrate")
    if found != needed_revision():
        raise SchemaError(f"the database's schema {found} is older than this program's; run: tracker migrate")
