"""`tracker units --several`: two trackers on one PostgreSQL, which knows them by their user."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.omissions import leave_out

from .machine import need
from .service import PUBLIC, SECRET, WEBHOOKS, TrackerBox
from .test_zero_loss import STREAM, STREAM_IN_BOX, Sent

URL = "postgresql://tracker@/tracker?host=/run/of-the-test"  # a machine may have a server of its own
INSTANCES = ("tracker@1", "tracker@2")
RESTARTS = 3
PEER_SERVER = """
data=/var/lib/postgresql/tracker
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
install -d -o postgres -g postgres /run/of-the-test
install -d -m 700 -o postgres -g postgres "$data"
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as_postgres "$programs/initdb" --no-sync --auth=peer --pgdata="$data" > /dev/null
cat > /etc/systemd/system/postgresql.service <<END
[Service]
Type=notify
User=postgres
ExecStart=$programs/postgres -D $data -k /run/of-the-test -c listen_addresses= -c fsync=off
END
systemctl daemon-reload
systemctl start postgresql.service || { journalctl --no-pager -u postgresql.service; exit 1; }
as_postgres psql --quiet --host=/run/of-the-test --dbname=postgres \
    --command='CREATE ROLE tracker LOGIN' --command='CREATE DATABASE tracker OWNER tracker'
"""


@pytest.fixture
def templates(box: TrackerBox) -> TrackerBox:
    """The units of several trackers, in place of those of one."""
    box.shell(
        "rm /etc/systemd/system/tracker*; /opt/tracker/bin/tracker units --several; systemctl daemon-reload"
    )
    return box


@pytest.fixture
def several(templates: TrackerBox) -> TrackerBox:
    """The templates, a migrated database whose server is stopped, and settings that name it."""
    need("psql", "curl", "dbus-daemon")
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        leave_out("no PostgreSQL of Debian's", "apt-get install postgresql")
    templates.shell(PEER_SERVER)
    templates.configure(database_url=URL)
    assert "the schema is now" in templates.tracker("migrate").stdout
    templates.systemctl("stop", "postgresql.service")
    return templates


def ask(box: TrackerBox, sql: str) -> list[str]:
    psql = "setpriv --reuid=postgres --regid=postgres --clear-groups psql -At --host=/run/of-the-test tracker"
    return box.shell(f'{psql} --command="{sql}"').stdout.splitlines()


def are_active(box: TrackerBox) -> bool:
    return all(box.show("ActiveState", f"{one}.service") == "active" for one in INSTANCES)


def test_two_start_before_their_database_and_one_is_restarted_unseen(several: TrackerBox) -> None:
    several.systemctl("start", "--no-block", *(f"{one}.service" for one in INSTANCES))
    several.wait_for(
        lambda: "waiting for the database" in several.show("StatusText", "tracker@2.service"), why="the wait"
    )
    several.systemctl("start", "postgresql.service")
    several.wait_for(lambda: are_active(several), why="both to be up")
    assert [several.show("NRestarts", f"{one}.service") for one in INSTANCES] == ["0", "0"]
    several.wait_for(
        lambda: ask(several, "SELECT count(*) FROM tracker_instances") == ["2"], why="two trackers"
    )

    sent = restarted_under_load(several)

    assert sent.failed == {}
    assert len(sent.acknowledged) == sent.sent > 0
    stored = ask(several, "SELECT video_translate_id FROM deliveries")
    assert set(sent.acknowledged) <= set(stored)
    metrics = "curl -sf --unix-socket /run/tracker/admin-2.sock http://tracker/metrics"
    several.wait_for(  # its next heartbeat: it may last have looked in the middle of a restart
        lambda: "tracker_instances 2.0" in several.shell(metrics).stdout, why="two trackers again"
    )


def restarted_under_load(box: TrackerBox) -> Sent:
    """What became of 100 webhooks a second while one of the two is restarted again and again."""
    box.write(STREAM_IN_BOX, STREAM.read_text())
    order = {"rate": 100, "prefix": "shared", "port": PUBLIC, "path": WEBHOOKS, "secret": SECRET}
    pipe = subprocess.PIPE
    program = box.popen("/usr/bin/python3", STREAM_IN_BOX, json.dumps(order), stdin=pipe, stdout=pipe)
    for _ in range(RESTARTS):
        box.systemctl("restart", "tracker@1.service", timeout=60)
    said, _ = program.communicate(timeout=120)
    sent = Sent()
    vars(sent).update(json.loads(said))
    return sent


def test_systemd_finds_nothing_wrong_with_the_templates(templates: TrackerBox) -> None:
    done = templates.run("systemd-analyze", "verify", "--man=no", *(f"{one}.service" for one in INSTANCES))

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
