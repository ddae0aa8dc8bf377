"""A database that cannot be used: every verb tells in one line what is wrong and what to do; exit code 3."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.postgres import Server
from tracker.store import revisions, schema
from tracker.store.engine import open_engines

from .processes import PROGRAM, Program, Stage

ID = "7544c0b52ada44fda693a15b1181b5b4-es"
READ = {"list": ["list"], "show": ["show", ID], "wait": ["wait", ID, "--timeout", "1"]}
WRITE = {
    "run": ["run"],
    "add": ["add", "7544c0b52ada44fda693a15b1181b5b4-de"],
    "poll": ["poll"],
    "submit": ["submit", "--video-url", "https://example.com/talk.mp4", "--language", "German"],
    "reopen": ["reopen", ID],
}
ASK = {  # what asks HeyGen before it writes; whatever is wrong with the database comes first
    "discover": ["discover"],
    "webhook register": ["webhook", "register", "--url", "https://example.com/webhooks/heygen"],
    "webhook status": ["webhook", "status"],
    "webhook rotate": ["webhook", "rotate"],
    "webhook remove": ["webhook", "remove"],
}
MIGRATE = {"migrate": ["migrate"], "migrate --plan": ["migrate", "--plan"]}
ALL = {**READ, **WRITE, **ASK, **MIGRATE}
PASSWORD = "hunter2-is-private"
AT_ONCE = 4  # programs: fifteen of them do not start in time where the machine has other work
ENDED = f"INSERT INTO translations (video_translate_id, status) VALUES ('{ID}', 'failed')"
# Root may write to what is read-only, unless it gives that up.
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []


def refused(stage: Stage, url: str, verbs: dict[str, list[str]], *told: str) -> None:
    """Each of these verbs ends with 3, and one line that tells this."""
    settings = stage.settings(database_url=url, log_format="console", database_wait=0.1)
    commands = [(name, [*AS_ANYBODY, *PROGRAM, *arguments]) for name, arguments in verbs.items()]
    ended: list[tuple[int, Program]] = []
    for first in range(0, len(commands), AT_ONCE):
        programs = [stage.launch(*command, settings) for command in commands[first : first + AT_ONCE]]
        ended += [(program.wait(), program) for program in programs]
    said = {
        program.name: program.output for code, program in ended if code != 3 or not is_told(program, told)
    }
    assert said == {}


def is_told(program: Program, told: tuple[str, ...]) -> bool:
    return (
        len(program.lines) == 1
        and program.output.startswith("error: ")
        and all(word in program.output for word in told)
        and PASSWORD not in program.output
    )


def migrated_file(path: Path) -> None:
    engines = open_engines(f"sqlite:///{path}")
    schema.migrate(engines.writer)
    engines.dispose()


@pytest.fixture
def name(postgresql: Server) -> Iterator[str]:
    with postgresql.migrated() as name:
        yield name


# PostgreSQL


def test_a_server_that_is_not_there(stage: Stage) -> None:
    url = f"postgresql://tracker:{PASSWORD}@127.0.0.1:9/tracker"

    refused(stage, url, ALL, "cannot be reached", "Connection refused", "TRACKER_DATABASE_URL names its host")


def test_a_host_that_nobody_knows(stage: Stage) -> None:
    url = f"postgresql://tracker:{PASSWORD}@nowhere.invalid/tracker"

    refused(stage, url, {**MIGRATE, "run": ["run"]}, "cannot be reached", "nowhere.invalid")


def test_a_wrong_password(stage: Stage, postgresql: Server, name: str) -> None:
    postgresql.ask_for_password("guest", "another one")
    url = f"postgresql://guest:{PASSWORD}@/{name}?host={postgresql.folder}"

    refused(stage, url, ALL, 'password authentication failed for user "guest"', "TRACKER_DATABASE_URL names")


def test_a_database_that_does_not_exist(stage: Stage, postgresql: Server) -> None:
    refused(
        stage, postgresql.url("nothing"), ALL, 'database "nothing" does not exist', "TRACKER_DATABASE_URL"
    )


def test_a_user_without_rights(stage: Stage, postgresql: Server, name: str) -> None:
    postgresql.execute("CREATE ROLE without_rights LOGIN")
    url = postgresql.url(name).replace("tests@", "without_rights@")

    refused(stage, url, {**READ, **WRITE}, "permission denied for table alembic_version", "grant the rights")


def test_a_server_that_is_read_only(stage: Stage, postgresql: Server, name: str) -> None:
    """What only reads goes on; a daemon that could store nothing does not begin."""
    postgresql.execute(ENDED, name)
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    told = ("is read-only", "TRACKER_DATABASE_URL must name the primary server")

    refused(stage, postgresql.url(name), WRITE, *told)
    refused(stage, postgresql.url(name), {"down": ["migrate", "--to", "0001"]}, *told)
    listed = stage.done("list", "--json", **stage.settings(database_url=postgresql.url(name)))
    assert [row["video_translate_id"] for row in json.loads(listed)] == [ID]


def test_a_database_without_tables(stage: Stage, postgresql: Server) -> None:
    with postgresql.database() as name:
        refused(stage, postgresql.url(name), {**READ, **WRITE}, "no tables yet; run: tracker migrate")
        assert postgresql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == []


def test_a_schema_of_an_older_version(stage: Stage, postgresql: Server, name: str) -> None:
    older = revisions.known_revisions()[-2]
    stage.done("migrate", "--to", older, database_url=postgresql.url(name))

    refused(
        stage,
        postgresql.url(name),
        {**READ, **WRITE},
        f"{older} is older than this program's; run: tracker migrate",
    )
    stage.done("migrate", database_url=postgresql.url(name))
    stage.daemon(database_url=postgresql.url(name))


def test_a_schema_of_a_newer_version(stage: Stage, postgresql: Server, name: str) -> None:
    postgresql.execute("UPDATE alembic_version SET version_num = '9999'", name)

    refused(
        stage, postgresql.url(name), {**READ, **WRITE, **MIGRATE}, "9999 is newer", "upgrade heygen-tracker"
    )
    assert postgresql.execute("SELECT version_num FROM alembic_version", name) == [("9999",)]


def test_a_password_that_is_pasted_as_it_is_tells_nobody_its_end(stage: Stage) -> None:
    program = stage.start("migrate", "migrate", database_url=f"postgresql://u:p@{PASSWORD}@127.0.0.1/tracker")

    assert program.wait() == 2
    assert "must be written as %40" in program.output
    assert PASSWORD not in program.output


# SQLite


@pytest.fixture
def folder(stage: Stage) -> Iterator[Path]:
    """A folder with a database, which can be removed whatever its mode is."""
    folder = stage.directory / "state"
    folder.mkdir()
    migrated_file(folder / "tracker.db")
    with closing(sqlite3.connect(folder / "tracker.db", isolation_level=None)) as connection:
        connection.execute(ENDED)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_folder_that_is_read_only(stage: Stage, folder: Path) -> None:
    folder.chmod(0o500)
    url = f"sqlite:///{folder / 'tracker.db'}"

    refused(
        stage,
        url,
        {"run": ["run"]},
        "tracker.db.lock cannot be opened: Permission denied",
        "must exist and be writable",
    )
    refused(stage, url, {**READ, **WRITE, **MIGRATE} | {"run": ["run"]}, "writable")


def test_a_file_that_is_read_only(stage: Stage, folder: Path) -> None:
    (folder / "tracker.db").chmod(0o400)

    refused(
        stage, f"sqlite:///{folder / 'tracker.db'}", WRITE, "is read-only", "must be writable for this user"
    )


def test_a_folder_that_does_not_exist(stage: Stage) -> None:
    url = f"sqlite:///{stage.directory}/nowhere/tracker.db"

    refused(
        stage, url, {"migrate": ["migrate"], "add": ["add", ID]}, "unable to open database file", "must exist"
    )


def test_a_file_of_another_kind(stage: Stage) -> None:
    (stage.directory / "letter.db").write_text("Dear aunt, " * 400)
    url = f"sqlite:///{stage.directory}/letter.db"

    refused(stage, url, {**READ, **WRITE, **MIGRATE}, "file is not a database", "TRACKER_DATABASE_URL")
