"""`tracker demo`: the look-alike and the real daemon as two processes, a dozen translations, bad webhooks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.common import AsJson, Exit, err, out, print_json
from tracker.cli.demo_story import REQUESTS, SCENARIO, settings_of
from tracker.cli.demo_view import LiveTable, PlainLines, Row, print_report, report
from tracker.errors import ListenError, TrackerError
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.truth import Truth

UP_SECONDS = 20.0
END_SECONDS = 90.0
LOOK_SECONDS = 0.2
SECRET = "whsec_demo"  # noqa: S105 - it signs nothing but the demo's webhooks
ROWS = """
    SELECT t.video_translate_id, t.callback_id, t.title, t.output_language, t.status, t.url, t.attention,
           g.source, g.recorded_at
    FROM translations t LEFT JOIN translation_timings g ON g.id = t.id ORDER BY t.id
"""


def demo(
    directory: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the database and the logs.")
    ] = Path(".demo"),
    as_json: AsJson = False,
) -> None:
    """Track twelve simulated translations while webhooks are lost, late or sent twice; no API key needed.

    Exit code 0: every row has the right status, 1: a row is wrong.
    """
    database = _fresh(directory)
    view = LiveTable() if sys.stdout.isatty() and not as_json else PlainLines(silent=as_json)
    with _simulator(directory) as client, _daemon(directory, database, client.base_url) as (webhooks, admin):
        if not as_json:
            out.print(
                f"The HeyGen simulator listens on {client.base_url}, the tracker on {webhooks}.\n"
                f"Dashboard: {admin}\n"
            )
        client.set_webhook(f"{webhooks}/webhooks/heygen", SECRET)
        with view:
            submitted = _submit(client, database, view)
            truth = _follow(client, database, view, submitted)
        rows = read_rows(database)
    told = report(rows, truth)
    if as_json:
        print_json(told)
    else:
        print_report(told, database)
    raise typer.Exit(Exit.OK if told["right"] else Exit.FAILED)


def _submit(client: SimulatorClient, database: Path, view: "LiveTable | PlainLines") -> int:
    """Create the translations at the look-alike, and register them as any program may: with an INSERT."""
    count = 0
    for request in REQUESTS:
        if request.by_callback_id:  # its ids come with the webhooks
            _insert(database, "INSERT INTO translations (callback_id) VALUES (?)", [(request.callback_id,)])
        ids = client.create(request.languages, title=request.title, callback_id=request.callback_id)
        if not request.by_callback_id:
            named = [(one, request.callback_id) for one in ids]
            _insert(
                database, "INSERT INTO translations (video_translate_id, callback_id) VALUES (?, ?)", named
            )
        count += len(ids)
    view.update(read_rows(database))
    return count


def _follow(client: SimulatorClient, database: Path, view: "LiveTable | PlainLines", submitted: int) -> Truth:
    """Show what the database says until it is what the look-alike says, or too long has passed."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        rows, truth = read_rows(database), client.truth()
        view.update(rows)
        under_way = any(
            one.state in ("held", "sending", "waiting") for t in truth.translations for one in t.deliveries
        )
        right = len(rows) == submitted and report(rows, truth)["right"]
        if (truth.all_finished and right and not under_way) or time.monotonic() > deadline:
            return truth
        time.sleep(LOOK_SECONDS)


def read_rows(database: Path) -> list[Row]:
    """The translations as any program reads them."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return [Row(*row) for row in connection.execute(ROWS)]


def _insert(database: Path, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.executemany(statement, values)


def _fresh(directory: Path) -> Path:
    """The path of a database that is not there yet; what an earlier demo left is removed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for left in directory.glob("tracker.db*"):
            left.unlink()
    except OSError as error:
        raise ListenError(
            f"--directory {directory}: {error.strerror}; name a folder that can be written"
        ) from error
    return directory / "tracker.db"


@contextmanager
def _simulator(directory: Path) -> Iterator[SimulatorClient]:
    """`tracker simulate` on a free port, and a client for it."""
    scenario = directory / "scenario.json"
    scenario.write_text(json.dumps(SCENARIO, indent=2) + "\n")
    log = directory / "simulator.log"
    with _process(
        ["simulate", "--listen", "127.0.0.1:0", "--json", "--scenario", str(scenario)], log, {}
    ) as process:
        event = _first_event(process, log, "listening")
        with SimulatorClient(event["url"]) as client:
            yield client


@contextmanager
def _daemon(directory: Path, database: Path, heygen: str) -> Iterator[tuple[str, str]]:
    """`tracker run` on free ports: the addresses of its two listeners."""
    log = directory / "tracker.log"
    with _process(["run"], log, settings_of(database, heygen, SECRET)) as process:
        event = _first_event(process, log, "tracker is up")
        yield event["webhooks"], event["admin"]
    if process.returncode != 0:
        raise TrackerError(f"the daemon exited with code {process.returncode}; see {log}")


@contextmanager
def _process(arguments: list[str], log: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A verb of this program as a process of its own; ended by SIGTERM when the block is left."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ | settings,
            start_new_session=True,  # Ctrl-C is for us; we end it
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            err.print(f"[red]error:[/] `tracker {' '.join(arguments)}` did not stop and was killed")


def _first_event(process: subprocess.Popen[bytes], log: Path, name: str) -> dict[str, Any]:
    """Wait for this event in the log; raises ListenError where the process does not get that far."""
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            event = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if event.get("event") == name:
                return dict(event)
        time.sleep(LOOK_SECONDS / 4)
    raise ListenError(f"the process did not start; its log:\n{log.read_text()[-2000:]}")
