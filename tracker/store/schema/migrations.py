"""Migrations: the way from the schema that the database has to another; alembic lives here."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from tracker.errors import InputError, StoreError
from tracker.store.schema.lock import LockPatience, sole_migrator, with_patience
from tracker.store.schema.revisions import (
    current_revision,
    known_revisions,
    migrations_folder,
    refuse_unknown,
)
from tracker.store.writer import translated

PATIENCE = LockPatience()


def migrations_config(output_buffer: TextIO | None = None) -> Config:
    """Alembic's configuration without alembic.ini, which an installed package does not have.

    `output_buffer` takes the SQL where it is only written down.
    """
    config = Config(output_buffer=output_buffer)
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    return config


def title_of(revision: str) -> str:
    """What that migration is for: the first line of its docstring."""
    return str(ScriptDirectory.from_config(migrations_config()).get_revision(revision).doc)


def wanted_revision(to: str | None) -> str:
    """The revision that is meant by `to` (None: the newest); raises InputError for one that nobody knows."""
    known = known_revisions()
    wanted = to or known[-1]
    if wanted not in known:
        raise InputError(f"there is no schema revision {wanted}; known revisions: {', '.join(known)}")
    return wanted


def migrate(
    writer: Engine, to: str | None = None, patience: LockPatience = PATIENCE
) -> tuple[str | None, str]:
    """Bring the schema up to date, or up or down to the revision `to`.

    Returns the revisions before and after. Raises StoreError, and InputError for an unknown `to`.
    """
    wanted = wanted_revision(to)
    with translated():
        if writer.dialect.name != "sqlite":
            return _migrate_server(writer, wanted, patience), wanted
        with for_migrations(writer) as connection, connection.begin():
            before = _known_revision(connection)
            go(connection, before, wanted)
            _refuse_orphans(connection)
    return before, wanted


def _migrate_server(writer: Engine, wanted: str, patience: LockPatience) -> str | None:
    """A transaction for each migration: what is done stays done, and locks are held no longer than needed."""
    with sole_migrator(writer) as keeper:
        before = _known_revision(keeper)
        if before != wanted:
            with_patience(writer, keeper, patience, partial(go, found=before, wanted=wanted))
    return before


def go(connection: Connection, found: str | None, wanted: str) -> None:
    """Run the migrations from `found` up or down to `wanted`; in one transaction, if it is in one."""
    config = migrations_config()
    config.attributes["connection"] = connection
    known = known_revisions()
    down = found is not None and known.index(wanted) < known.index(found)
    (command.downgrade if down else command.upgrade)(config, wanted)


@contextmanager
def for_migrations(writer: Engine) -> Iterator[Connection]:
    """A connection to SQLite, which alters a table by making it anew.

    To drop the old one would delete what refers to it: so it looks after foreign keys only at the end.
    """
    with writer.connect() as connection:
        _set_foreign_keys(connection, "OFF")
        try:
            yield connection
        finally:
            _set_foreign_keys(connection, "ON")


def _set_foreign_keys(connection: Connection, state: str) -> None:
    """Outside a transaction, where alone it has an effect."""
    driver = connection.connection.driver_connection
    if driver is not None:
        driver.execute(f"PRAGMA foreign_keys = {state}").close()


def _refuse_orphans(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise StoreError(
            "the migration would leave rows with broken foreign keys; nothing was changed; please report it"
        )


def _known_revision(connection: Connection) -> str | None:
    found = current_revision(connection)
    refuse_unknown(found)
    return found


def check_writable(writer: Engine) -> None:
    """Raise StoreError where PostgreSQL takes no writes: a standby, or a user that may only read."""
    if writer.dialect.name == "sqlite":
        return
    with translated(), writer.connect() as connection:
        read_only = connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    if read_only:
        raise StoreError(
            "the database is read-only; set TRACKER_DATABASE_URL to the primary server, "
            "and default_transaction_read_only to off"
        )
