"""The daemon and its PostgreSQL server: one comes late, goes away and comes back."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.postgres import Server
from tracker.simulator.delivery import sign

from .processes import SECRET, Daemon, Stage

SECONDS_OF_A_SENDER = 10.0


@pytest.fixture
def server(postgresql_binaries: Path) -> Iterator[Server]:
    """One that a test may stop."""
    with Server(postgresql_binaries) as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    with server.migrated() as name:
        yield name


def webhook(daemon: Daemon, name: str) -> int:
    body = b'{"event_type": "video_translate.success", "event_data": {"video_translate_id": "%s"}}'
    body = body.replace(b"%s", name.encode())
    headers = {"Signature": sign(body, SECRET)}
    return httpx.post(
        daemon.webhooks, content=body, headers=headers, trust_env=False, timeout=SECONDS_OF_A_SENDER
    ).status_code


def test_a_start_waits_for_a_server_that_comes_late(stage: Stage, server: Server, database: str) -> None:
    server.stop()
    program = stage.start("tracker", "run", **stage.settings(database_url=server.url(database)))
    assert program.until_event("waiting for the database")["level"] == "warning"

    server.start()

    assert webhook(stage.up(program), "late") == 200


def test_a_start_that_waits_in_vain_says_so_and_one_that_is_stopped_meanwhile_ends(
    stage: Stage, server: Server, database: str
) -> None:
    server.stop()
    settings = stage.settings(database_url=server.url(database))
    in_vain = stage.start("tracker", "run", **settings, database_wait=1)
    stopped = stage.start("tracker", "run", **settings)
    stopped.until_event("waiting for the database")

    assert in_vain.wait() == 3
    assert "error: the database cannot be reached: " in in_vain.output
    assert "Traceback" not in in_vain.output
    assert stopped.terminate(patience=10) == 0
    server.start()


def test_while_it_is_away_webhooks_are_refused_in_time_and_then_all_goes_on(
    stage: Stage, server: Server, database: str
) -> None:
    simulator = stage.simulator(running_seconds=1)
    daemon = stage.daemon(simulator, database_url=server.url(database))
    [one] = simulator.client.create("es")
    assert webhook(daemon, "before") == 200

    server.stop()
    assert [webhook(daemon, f"meanwhile-{number}") for number in range(3)] == [503] * 3
    daemon.program.until_event("tick failed")
    assert daemon.get("/healthz").status_code == 200
    assert daemon.get("/readyz").status_code == 503

    server.start()
    daemon.until_ready(lambda ready: ready.get("status") == "ready", "all to be well")
    assert webhook(daemon, "meanwhile-0") == 200
    server.execute(f"INSERT INTO translations (video_translate_id) VALUES ('{one}')", database)
    ended = f"SELECT 1 FROM translations WHERE video_translate_id = '{one}' AND status = 'success'"
    daemon.program.until(lambda: server.execute(ended, database), "polling to go on")
    assert server.execute("SELECT count(*) FROM deliveries", database) == [(2,)]
    assert daemon.program.terminate() == 0
