"""The daemon among its neighbours: sockets, locks, settings, secrets, and parts that die."""

import json
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from tracker.simulator.delivery import sign

from .processes import PROGRAM, SECRET, Program, Stage
from .truths import check_invariants

HERE = Path(__file__).parent
SECRETS = {
    "heygen_api_key": "sk_very-private-key",
    "webhook_secrets": json.dumps({"old": "whsec_old-and-private", "new": "whsec_new-and-private"}),
    "callback_tokens": json.dumps(["token-that-is-private"]),
    "admin_token": "admin-who-is-private",
}
PRIVATE = re.compile("private|Signature=|Expires=|Key-Pair-Id=", re.IGNORECASE)


def said(program: Program) -> str:
    """All it said, once it has ended; whatever happened, no traceback is for people."""
    program.wait()
    assert "Traceback" not in program.output
    return program.output


def test_a_second_daemon_on_the_same_file_is_refused_until_the_first_is_killed(stage: Stage) -> None:
    first = stage.daemon()
    second = stage.start("tracker", "run", **stage.settings())
    assert second.wait() == 3
    assert f"another tracker (process {first.program.process.pid}) already runs" in said(second)
    assert first.get("/readyz").status_code == 200
    first.program.kill()

    third = stage.daemon()
    assert third.get("/readyz").status_code == 200


def test_sockets_that_systemd_holds_are_served(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as public, socket.create_server(("127.0.0.1", 0)) as admin:
        fds = (public.fileno(), admin.fileno())
        command = [sys.executable, str(HERE / "as_systemd_does.py"), *map(str, fds), "run"]
        nowhere = stage.settings(listen="127.0.0.1:1", admin_listen="127.0.0.1:1")  # would be refused
        daemon = stage.up(stage.launch("tracker", command, nowhere, pass_fds=fds))
        assert daemon.public == "http://{}:{}".format(*public.getsockname())
        assert daemon.admin == "http://{}:{}".format(*admin.getsockname())
        assert daemon.get("/readyz").status_code == 200
        body = b'{"event_type": "video_translate.success", "event_data": {"video_translate_id": "abc-es"}}'
        answer = httpx.post(
            daemon.webhooks, content=body, headers={"Signature": sign(body, SECRET)}, trust_env=False
        )
        assert answer.status_code == 200
        assert stage.database.statuses() == {"abc-es": "success"}
        assert daemon.program.terminate() == 0
        # The sockets live on, and whoever comes meanwhile waits for the next process.
        socket.create_connection(public.getsockname(), timeout=5).close()


@pytest.mark.parametrize("setting", ["listen", "admin_listen"])
def test_an_address_in_use_is_named(stage: Stage, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        program = stage.start("tracker", "run", **(stage.settings() | {setting: address}))
        assert program.wait() == 3
    assert f"error: cannot listen on {address}: Address already in use" in said(program)


@pytest.mark.parametrize(
    ("loss", "told"),
    [("store", "store"), ("scheduler", "poller"), ("webhooks", "webhooks"), ("database", "poller")],
)
def test_the_daemon_never_runs_on_without_one_of_its_parts(stage: Stage, loss: str, told: str) -> None:
    command = [sys.executable, str(HERE / "failing_daemon.py"), loss]
    program = stage.launch("tracker", command, stage.settings(stop_timeout=3))
    program.until_event("tracker is up")
    assert program.wait() == 1
    assert "Traceback" not in program.output
    died = program.events_named("a component failed; stopping")
    assert [(one["part"], one["level"]) for one in died] == [(told, "critical")]
    check_invariants(stage.database)


def test_no_secret_and_no_url_query_is_ever_shown(stage: Stage) -> None:
    simulator = stage.simulator(
        fates=[{"webhook": "doubled"}, {"webhook": "lost"}, {"running_seconds": 600}],
    )
    simulator.client.set_keys(["simulator-key", SECRETS["heygen_api_key"]])
    daemon = stage.daemon(simulator, log_level="debug", webhook_secret=None, **SECRETS)
    simulator.client.set_webhook(daemon.webhooks, "whsec_new-and-private")
    hinted = f"{daemon.webhooks}/token-that-is-private"
    ids = [simulator.client.create(one, callback_url=hinted)[0] for one in ("es", "de", "fr")]
    stage.database.track(ids[1:])
    done = "SELECT 1 FROM translations WHERE status = 'success' AND next_poll_at IS NULL"
    daemon.program.until(lambda: len(stage.database.query(done)) == 2, "two successes")
    simulator.client.set_faults("html")
    failing = "SELECT 1 FROM translations WHERE last_error IS NOT NULL"
    daemon.program.until(lambda: stage.database.query(failing), "a failed poll")
    simulator.client.set_faults("unauthorized")
    daemon.program.until_event("polling paused")

    shown = []
    with httpx.Client(trust_env=False, headers={"authorization": "Bearer admin-who-is-private"}) as http:
        for path in ("/readyz", "/metrics", "/healthz", "/no-such-page", "/api/translations?limit=x"):
            shown.append(http.get(f"{daemon.admin}{path}").text)
        shown.append(http.post(f"{daemon.admin}/api/translations", json=[1]).text)
    refused = {"authorization": "Bearer guessed"}
    with httpx.Client(trust_env=False) as http:
        shown.append(http.get(f"{daemon.admin}/readyz", headers=refused).text)
        for body in (b"{}", b"not JSON", b"x" * 1_100_000):
            for url in (daemon.webhooks, hinted, f"{daemon.webhooks}/another-token"):
                shown.append(http.post(url, content=body, headers={"Signature": "0" * 64}).text)
        shown.append(http.put(daemon.webhooks).text)
    assert all(shown)
    assert daemon.program.terminate() == 0
    checked = stage.start("check-config", "check-config", **(stage.settings(webhook_secret=None) | SECRETS))
    assert checked.wait() == 0
    everything = "\n".join([*shown, daemon.program.output, checked.output])
    assert PRIVATE.findall(everything) == []
    assert "***" in checked.output
    assert stage.database.query(
        "SELECT 1 FROM translations WHERE url LIKE '%Signature=%'"
    )  # there was a query


def test_a_stop_does_not_wait_for_senders_that_dawdle(stage: Stage) -> None:
    daemon = stage.daemon(stop_timeout=4)
    host, _, port = daemon.public.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as dawdler:
        dawdler.sendall(b"POST /webhooks/heygen HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert daemon.get("/healthz").status_code == 200
        assert daemon.program.terminate(patience=8) == 0


def test_a_reload_is_told_from_its_beginning_to_its_end(stage: Stage) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(stage.directory / "notify"))
        manager.settimeout(20)
        daemon = stage.up(
            stage.launch("tracker", [*PROGRAM, "run"], stage.settings(), NOTIFY_SOCKET=manager.getsockname())
        )
        heard = until_told(manager, "READY=1")
        assert "STATUS=" in heard
        assert "RELOADING" not in heard

        daemon.program.process.send_signal(signal.SIGHUP)

        heard = until_told(manager, "READY=1")
        assert heard.index("RELOADING=1\nMONOTONIC_USEC=") < heard.index("READY=1")
        daemon.program.until_event("settings reloaded")
        assert daemon.program.terminate() == 0
        assert "EXTEND_TIMEOUT_USEC=" in until_told(manager, "STOPPING=1")


def until_told(manager: socket.socket, what: str) -> str:
    """Everything that the manager is told, up to this."""
    heard = ""
    while what not in heard:
        heard += manager.recv(4096).decode() + "\n"
    return heard


def test_an_interrupt_from_the_keyboard_is_a_clean_stop(stage: Stage) -> None:
    daemon = stage.daemon()
    daemon.program.process.send_signal(2)
    assert daemon.program.wait() == 0
    assert daemon.program.events[-1]["event"] == "stopped"


def test_a_stop_before_the_daemon_is_up_leaves_a_good_database(stage: Stage) -> None:
    program = stage.start("tracker", "run", **stage.settings())
    program.until_event("schema migrated")
    assert program.terminate() == 0
    check_invariants(stage.database)
