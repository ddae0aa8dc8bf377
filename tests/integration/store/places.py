"""A database on either engine, and another program's view of it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import Server

SCHEMA_ON_POSTGRESQL = """
    SELECT 'column', table_name || '.' || column_name, concat_ws(' ', data_type, character_maximum_length,
           is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint', conname, concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid),
           convalidated)
              FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname, pg_get_functiondef(oid)
              FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'comment', concat_ws('.', objoid::regclass, attname), description
              FROM pg_description
              LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND attnum > 0
              WHERE classoid = 'pg_class'::regclass AND objoid >= 16384
    ORDER BY 1, 2, 3
"""


class OnSqlite:
    """A SQLite file, and another program's view of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def schema(self) -> list[tuple[str, str, str]]:
        return schema_of(self.path)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()


class OnPostgresql:
    """A database of the tests' own server."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name
        self.url = server.url(name)

    def schema(self) -> list[tuple[str, str, str]]:
        everything = self._server.execute(SCHEMA_ON_POSTGRESQL, self._name)
        return [
            (kind, name, sql) for kind, name, sql in everything if "alembic_version" not in f"{name} {sql}"
        ]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return self._server.execute(statement, self._name)

    def connect(self) -> "psycopg.Connection[Any]":
        return self._server.connect(self._name)


Storage = OnSqlite | OnPostgresql


def schema_of(path: Path) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        everything = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [row for row in everything if "alembic_version" not in row[1]]
