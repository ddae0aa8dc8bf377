"""A database that cannot be used: every verb tells in one line what is wrong and what to do; exit code 3."""

import gc
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.databases import write_migrated
from tests.postgres import Server
from tracker.store.schema import revisions

from .conftest import PATIENCE, Program, Ran

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
QUICK = {"log_format": "console", "database_wait": 0.1}
ENDED = f"INSERT INTO translations (video_translate_id, status) VALUES ('{ID}', 'failed')"
# Root may write to what is read-only, unless it gives that up.
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []


def refused(tracker: Program, url: str, verbs: dict[str, list[str]], *words: str) -> None:
    """Each of these verbs ends with 3, and one line that has these words."""
    settings = settings_with(url)
    ran = {name: tracker(*arguments, **settings) for name, arguments in verbs.items()}
    assert {name: one for name, one in ran.items() if not is_clear(one, words)} == {}


def settings_with(url: str) -> dict[str, Any]:
    return {"database_url": url, "heygen_base_url": "http://127.0.0.1:9", "heygen_api_key": "key", **QUICK}


def is_clear(ran: Ran, words: tuple[str, ...]) -> bool:
    return (
        (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
        and ran.err.startswith("error: ")
        and all(word in ran.err for word in words)
        and PASSWORD not in ran.err
    )


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """No connection of a program that has ended outlives its test."""
    yield
    gc.collect()


@pytest.fixture
def name(postgresql: Server) -> Iterator[str]:
    with postgresql.migrated() as name:
        yield name


# PostgreSQL


def test_a_server_that_is_not_there(tracker: Program) -> None:
    url = f"postgresql://tracker:{PASSWORD}@127.0.0.1:9/tracker"

    refused(tracker, url, ALL, "cannot be reached", "Connection refused", "check host, port")


def test_a_host_that_nobody_knows(tracker: Program) -> None:
    url = f"postgresql://tracker:{PASSWORD}@nowhere.invalid/tracker"

    refused(tracker, url, {**MIGRATE, "run": ["run"]}, "cannot be reached", "nowhere.invalid")


def test_a_wrong_password(tracker: Program, postgresql: Server, name: str) -> None:
    postgresql.ask_for_password("guest", "another one")
    url = f"postgresql://guest:{PASSWORD}@/{name}?host={postgresql.folder}"

    refused(
        tracker,
        url,
        ALL,
        'password authentication failed for user "guest"',
        "check host, port, user, password",
    )


def test_a_database_that_does_not_exist(tracker: Program, postgresql: Server) -> None:
    refused(
        tracker, postgresql.url("nothing"), ALL, 'database "nothing" does not exist', "TRACKER_DATABASE_URL"
    )


def test_a_user_without_rights(tracker: Program, postgresql: Server, name: str) -> None:
    postgresql.execute("CREATE ROLE without_rights LOGIN")
    url = postgresql.url(name).replace("tests@", "without_rights@")

    refused(
        tracker, url, {**READ, **WRITE}, "permission denied for table alembic_version", "grant the rights"
    )


def test_a_server_that_is_read_only(tracker: Program, postgresql: Server, name: str) -> None:
    """What only reads goes on; a daemon that could store nothing does not begin."""
    postgresql.execute(ENDED, name)
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    told = ("is read-only", "set TRACKER_DATABASE_URL to the primary server")

    refused(tracker, postgresql.url(name), WRITE, *told)
    refused(tracker, postgresql.url(name), {"down": ["migrate", "--to", "0001"]}, *told)
    listed = tracker("list", "--json", database_url=postgresql.url(name))
    assert [row["video_translate_id"] for row in listed.json] == [ID]


def test_a_database_without_tables(tracker: Program, postgresql: Server) -> None:
    with postgresql.database() as name:
        refused(tracker, postgresql.url(name), {**READ, **WRITE}, "no tables yet; run: tracker migrate")
        assert postgresql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == []


def test_a_schema_of_an_older_version(tracker: Program, postgresql: Server, name: str) -> None:
    older = revisions.known_revisions()[-2]
    assert tracker("migrate", "--to", older, database_url=postgresql.url(name)).code == 0

    refused(
        tracker,
        postgresql.url(name),
        {**READ, **WRITE},
        f"{older} is older than this program's; run: tracker migrate",
    )
    assert tracker("migrate", database_url=postgresql.url(name)).code == 0
    assert tracker("list", database_url=postgresql.url(name)).out == "no translations\n"


def test_a_schema_of_a_newer_version(tracker: Program, postgresql: Server, name: str) -> None:
    postgresql.execute("UPDATE alembic_version SET version_num = '9999'", name)

    refused(
        tracker, postgresql.url(name), {**READ, **WRITE, **MIGRATE}, "9999 is newer", "upgrade heygen-tracker"
    )
    assert postgresql.execute("SELECT version_num FROM alembic_version", name) == [("9999",)]


def test_a_password_that_is_pasted_as_it_is_tells_nobody_its_end(tracker: Program) -> None:
    ran = tracker("migrate", database_url=f"postgresql://u:p@{PASSWORD}@127.0.0.1/tracker")

    assert ran.code == 2
    assert "must be written as %40" in ran.err
    assert PASSWORD not in ran.out + ran.err


# SQLite


@pytest.fixture
def folder(tracker: Program) -> Iterator[Path]:
    """A folder with a database, which can be removed whatever its mode is."""
    folder = tracker.directory / "state"
    folder.mkdir()
    write_migrated(folder / "tracker.db")
    with closing(sqlite3.connect(folder / "tracker.db", isolation_level=None)) as connection:
        connection.execute(ENDED)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def refused_as_anybody(tracker: Program, url: str, verb: str, *words: str) -> None:
    """The same of a process that writes to nothing that is read-only."""
    process = tracker.process(*ALL[verb], before=AS_ANYBODY, **settings_with(url))
    out, err = process.communicate(timeout=PATIENCE)
    ran = Ran(process.returncode, out, err)
    assert is_clear(ran, words), ran


def test_a_folder_that_is_read_only(tracker: Program, folder: Path) -> None:
    folder.chmod(0o500)
    url = f"sqlite:///{folder / 'tracker.db'}"

    lock = "tracker.db.lock cannot be opened: Permission denied"
    refused_as_anybody(tracker, url, "run", lock, "make sure that the folder exists and is writable")
    for verb in ("list", "add", "migrate"):
        refused_as_anybody(tracker, url, verb, "writable")


def test_a_file_that_is_read_only(tracker: Program, folder: Path) -> None:
    (folder / "tracker.db").chmod(0o400)

    for verb in ("run", "add"):
        url = f"sqlite:///{folder / 'tracker.db'}"
        refused_as_anybody(tracker, url, verb, "is read-only", "writable for this user")


def test_a_folder_that_does_not_exist(tracker: Program) -> None:
    url = f"sqlite:///{tracker.directory}/nowhere/tracker.db"

    refused(
        tracker,
        url,
        {"migrate": ["migrate"], "add": ["add", ID]},
        "unable to open database file",
        "make sure that the folder in TRACKER_DATABASE_URL exists",
    )


def test_a_file_of_another_kind(tracker: Program) -> None:
    (tracker.directory / "letter.db").write_text("Dear aunt, " * 400)
    url = f"sqlite:///{tracker.directory}/letter.db"

    refused(tracker, url, {**READ, **WRITE, **MIGRATE}, "file is not a database", "TRACKER_DATABASE_URL")
