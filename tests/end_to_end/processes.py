"""Real processes of the program: started in a folder of their own, listened to, and stopped by their id."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from tracker.simulator.remote import SimulatorClient
from tracker.simulator.truth import Truth

PROGRAM = (sys.executable, "-m", "tracker")
PATIENCE = 25.0  # seconds for anything to happen; what works takes one or two
LOOK_SECONDS = 0.05  # between two looks at what makes no sound
SECRET = "whsec_of-the-tests"
KEY = "simulator-key"
Row = dict[str, Any]
T = TypeVar("T")


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's settings; only what Python, and coverage in it, need."""
    wanted = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
    kept = {
        name: value for name, value in os.environ.items() if name in wanted or name.startswith("COVERAGE_")
    }
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1"}


class Program:
    """One running process and everything it has said."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=pass_fds,
        )
        self._listener = threading.Thread(target=self._listen, name=f"listener of {name}")
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def events(self) -> list[Row]:
        """The log's lines, where they are JSON."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def events_named(self, event: str) -> list[Row]:
        return [one for one in self.events if one["event"] == event]

    def until(self, look: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
        """What `look` finds in the end; fails at once where the process ends, and after `patience`."""
        deadline = time.monotonic() + patience
        while True:
            ended = self.process.poll() is not None
            if found := look():
                return found
            if ended or time.monotonic() > deadline:
                how = f"{self.name} ended with {self.process.returncode}" if ended else "in vain"
                raise AssertionError(f"waited for: {what}; {how}\n{self.output[-6000:]}")
            with self._heard:
                self._heard.wait(LOOK_SECONDS)

    def until_event(self, event: str, count: int = 1) -> Row:
        """The log's event of this name (the `count`th), once it is there."""

        def look() -> Row | None:
            found = self.events_named(event)
            return found[count - 1] if len(found) >= count else None

        return self.until(look, f"the log's {event!r}")

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit code, once the process has ended and everything it said was heard."""
        code = self.process.wait(patience)
        self._listener.join(patience)
        return code

    def terminate(self, patience: float = PATIENCE) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait(patience)

    def kill(self) -> int:
        self.process.kill()
        return self.wait()

    def ask_to_end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        self.ask_to_end()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Simulator:
    """A running look-alike and a client of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        said = program.until(
            lambda: next((line for line in program.lines if "listening on" in line), None), "its address"
        )
        self.client = SimulatorClient(said.rpartition(" ")[2], api_key=KEY)

    def truth(self) -> Truth:
        return self.client.truth()


class Daemon:
    """A running `tracker run` that is up."""

    def __init__(self, program: Program) -> None:
        self.program = program
        up = program.until_event("tracker is up")
        self.webhooks = f"{up['webhooks']}/webhooks/heygen"
        self.public, self.admin = str(up["webhooks"]), str(up["admin"])
        self._http = httpx.Client(trust_env=False, timeout=10.0)

    def get(self, path: str) -> httpx.Response:
        """An admin page."""
        return self._http.get(f"{self.admin}{path}")

    def ready(self) -> Row:
        answer: Row = self.get("/readyz").json()
        return answer

    def until_ready(self, look: Callable[[Row], bool], what: str) -> Row:
        """The answer of /readyz, once it looks like that."""

        def ask() -> Row | None:
            answer = self.ready()
            return answer if look(answer) else None

        return self.program.until(ask, what)

    def close(self) -> None:
        self._http.close()


class Database:
    """The SQLite file, read and written as any other program would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def query(self, sql: str, *values: object) -> list[Row]:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def execute(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run `sql` once for each of `rows`, in one transaction."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.executemany(sql, rows)

    def track(self, ids: Sequence[str]) -> None:
        self.execute("INSERT INTO translations (video_translate_id) VALUES (?)", [(one,) for one in ids])

    def row(self, video_translate_id: str) -> Row:
        [row] = self.query("SELECT * FROM translations WHERE video_translate_id = ?", video_translate_id)
        return row

    def statuses(self) -> dict[str, str]:
        rows = self.query("SELECT video_translate_id, status FROM translations ORDER BY id")
        return {row["video_translate_id"]: row["status"] for row in rows}


class Stage:
    """One test's folder, and the processes in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = Database(directory / "tracker.db")
        self.programs: list[Program] = []
        self._opened: list[Daemon | SimulatorClient] = []
        (directory / "home").mkdir()

    def start(self, name: str, *arguments: str, **settings: object) -> Program:
        """`tracker ARGUMENTS` with these TRACKER_* settings and no others."""
        return self.launch(name, [*PROGRAM, *arguments], settings)

    def launch(
        self,
        name: str,
        command: Sequence[str],
        settings: Mapping[str, object],
        pass_fds: Sequence[int] = (),
        **more: str,
    ) -> Program:
        """A command with these TRACKER_* settings, and `more` in its environment."""
        environment = clean_environment(self.directory / "home") | more
        environment |= {f"TRACKER_{key.upper()}": str(value) for key, value in settings.items()}
        program = Program(f"{name} {len(self.programs) + 1}", command, self.directory, environment, pass_fds)
        self.programs.append(program)
        return program

    def simulator(self, *flags: str, **scenario: object) -> Simulator:
        """A look-alike with this scenario."""
        file = self.directory / f"scenario{len(self.programs)}.json"
        file.write_text(
            json.dumps({"pending_seconds": 0, "running_seconds": 0, "retry_seconds": 0.3, **scenario})
        )
        command = ("simulate", "--listen", "127.0.0.1:0", "--scenario", str(file), *flags)
        simulator = Simulator(self.start("simulator", *command))
        self._opened.append(simulator.client)
        return simulator

    def settings(self, simulator: Simulator | None = None, **more: object) -> dict[str, object]:
        """Settings of a daemon in a hurry; None takes one away."""
        settings: dict[str, object] = {
            "database_url": f"sqlite:///{self.database.path}",
            "heygen_base_url": simulator.client.base_url if simulator else "http://127.0.0.1:9",
            "heygen_api_key": KEY,
            "webhook_secret": SECRET,
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "rate_limit": 500,
            "request_timeout": 2,
            "poll_min_interval": 0.3,
            "poll_max_interval": 1.5,
            "stop_timeout": 8,
            "log_format": "json",
            **more,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def daemon(self, simulator: Simulator | None = None, **settings: object) -> Daemon:
        """A `tracker run` that is up."""
        return self.up(self.start("tracker", "run", **self.settings(simulator, **settings)))

    def up(self, program: Program) -> Daemon:
        daemon = Daemon(program)
        self._opened.append(daemon)
        daemon.until_ready(lambda ready: ready.get("status") != "not ready", "the first tick")
        return daemon

    def done(self, *arguments: str, **settings: object) -> str:
        """What `tracker ARGUMENTS` said, once it has ended well."""
        program = self.start(" ".join(arguments[:2]), *arguments, **settings)
        assert program.wait() == 0, program.output
        return program.output

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        for program in self.programs:
            program.ask_to_end()
        for program in self.programs:
            program.close()


def address_of(url: str) -> str:
    """host:port."""
    return urlsplit(url).netloc
