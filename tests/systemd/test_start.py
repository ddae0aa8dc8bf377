"""Type=notify, seen through systemctl: up means up, the status line, the end, and a start that takes long."""

import signal

from tests.house.pages import ROOT

from .box import Box
from .machine import need
from .service import PUBLIC, WEBHOOKS, TrackerBox, simulator_in

MIGRATIONS = "/opt/tracker/lib/python3*/site-packages/tracker/migrations/versions"
START_SECONDS = 8  # into which the start must fit, but for the migration
SLOW_SECONDS = 9
SLOW_MIGRATION = """
import time
revision, down_revision, branch_labels, depends_on = "9999", "{before}", None, None
def upgrade():
    time.sleep({seconds})
"""


def test_the_start_returns_when_all_is_up_and_then_the_status_line_tells_how_it_goes(box: TrackerBox) -> None:
    simulator_in(box, {"pending_seconds": 600})

    box.start()

    assert box.show("ActiveState") == "active"
    assert box.status == "0 open, 0 overdue, polling eager (v2)"  # so the poller has ticked
    assert box.request("GET", "/healthz", port=PUBLIC).status == 200
    assert box.request("GET", "/healthz").status == 200
    assert box.request("GET", "/readyz").status == 200

    box.add("tells-the-status")

    box.wait_for(lambda: box.status.startswith("1 open, 0 overdue, "), why="the status line")
    assert f'Status: "{box.status}"' in box.run("systemctl", "status", "tracker").stdout


def test_a_migration_may_take_longer_than_a_start(box: TrackerBox) -> None:
    box.drop_in(f"[Service]\nTimeoutStartSec={START_SECONDS}s\n")
    _add_slow_migration(box)

    box.start()

    took = int(box.show("ActiveEnterTimestampMonotonic")) - int(box.show("InactiveExitTimestampMonotonic"))
    assert took > SLOW_SECONDS * 1_000_000
    assert box.event("schema migrated")["after"] == "9999"
    assert box.restarts == 0


def test_while_it_migrates_the_status_line_says_so(box: TrackerBox) -> None:
    _add_slow_migration(box)

    box.systemctl("start", "--no-block", "tracker.service")

    box.wait_for(lambda: "schema" in box.status, why="the status line of a migration")
    assert box.show("ActiveState") == "activating"


def _add_slow_migration(box: Box) -> None:
    [*_, newest] = sorted((ROOT / "migrations" / "versions").glob("0*.py"))
    text = SLOW_MIGRATION.format(before=newest.name[:4], seconds=SLOW_SECONDS)
    box.shell(f"cat > $(echo {MIGRATIONS})/9999_slow.py", input=text)


def test_a_daemon_that_ends_by_itself_says_so_before_it_is_gone(box: TrackerBox) -> None:
    """Without STOPPING=1 systemd takes it for active until the process is gone."""
    need("ss")
    box.start()
    with box.connect(PUBLIC) as half_sent:
        half_sent.sendall(f"POST {WEBHOOKS} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        box.wait_for(lambda: len(_accepted(box)) == 1, why="the connection to be accepted")
        pid = box.main_pid

        box.kill(pid, signal.SIGTERM)

        box.wait_for(lambda: box.show("ActiveState") == "deactivating", why="STOPPING=1")
        assert box.main_pid == pid
    box.wait_for_restart()


def _accepted(box: Box) -> list[str]:
    """Connections to the public listener that a process has in hand."""
    lines = box.run("ss", "-Htnp", "state", "established", "sport", "=", f":{PUBLIC}", check=True).stdout
    return [line for line in lines.splitlines() if "users:" in line]


def test_a_stop_is_clean_and_leaves_the_listeners_to_systemd(box: TrackerBox) -> None:
    box.start()

    box.systemctl("stop", "tracker.service")

    assert (box.show("Result"), box.show("ExecMainStatus")) == ("success", "0")
    assert [one["event"] for one in box.events()][-2:] == ["stopping", "stopped"]
    assert box.show("ActiveState", "tracker.socket") == "active"


def test_stopping_the_public_socket_stops_everything(box: TrackerBox) -> None:
    box.start()

    box.systemctl("stop", "tracker.socket")

    states = [box.show("ActiveState", f"tracker{one}") for one in (".service", ".socket", "-admin.socket")]
    assert states == ["inactive", "inactive", "inactive"]
