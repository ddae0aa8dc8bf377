"""docs/installing.md, followed word for word on a machine that has nothing of tracker's."""

import json
import re
from pathlib import Path

import pytest

from tests.builders import as_body, event, signature
from tests.house.pages import ROOT, blocks, section
from tests.systemd.box import Box
from tests.systemd.machine import need
from tests.systemd.newer import NEW, OLD

PAGE = ROOT / "docs" / "installing.md"
CHECKOUT = "/usr/src/tracker"
BUILD = "make dist\n"  # the wheels are built before, outside of the box
KEY, SECRET = "sk_the_api_key", "whsec_of_the_page"
UNITS = ("tracker.service", "tracker.socket", "tracker-admin.socket")
FOLLOWED = (
    "Install",
    "Webhooks",
    "Look at it",
    "Verbs",
    "Change settings",
    "Backup",
    "Upgrade",
    "Rollback",
    "Restore",
    "Stop",
    "Uninstall",
)
THEN = {  # what is tracked when the backup is made
    "first-es": "success",
    "7544c0b52ada44fda693a15b1181b5b4-es": "pending",
    "8655d1c63beb55feb704b26c2292c6c5-de": "pending",
}


class Operator:
    """Somebody who does what the page says, as root, in the folder of the checkout."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def follow(self, heading: str, stdin: str = "") -> str:
        """Every command of a section; what is asked for on standard input is `stdin`."""
        commands = [block for block in blocks(section(PAGE, f"## {heading}"), "sh") if block != BUILD]
        return "".join(self.do(block, stdin) for block in commands)

    def do(self, commands: str, stdin: str = "") -> str:
        return self.box.shell(f"cd {CHECKOUT}\n{commands}", input=stdin).stdout

    def receive(self, video_translate_id: str) -> str:
        """A signed webhook that tells of a success; the HTTP status of the answer."""
        body = as_body(event(video_translate_id=video_translate_id))
        name, value = signature(body, SECRET)
        return self.do(
            f"curl --silent --output /dev/null --write-out '%{{http_code}}' --header '{name}: {value}' "
            "--data-binary @- http://127.0.0.1:8321/webhooks/heygen || true",
            body.decode(),
        )

    def tracked(self) -> dict[str, str]:
        rows = json.loads(self.do("tracker list --json"))
        return {row["video_translate_id"]: row["status"] for row in rows}

    def columns(self) -> list[str]:
        look = "import sqlite3; print(sqlite3.connect('/var/lib/tracker/tracker.db').execute(\"PRAGMA "
        look += 'table_info(translations)").fetchall())'
        return re.findall(r"'(\w+)'", self.do(f"/opt/tracker/bin/python - <<'END'\n{look}\nEND"))

    def is_active(self) -> bool:
        return all(self.do(f"systemctl is-active {unit} || true") == "active\n" for unit in UNITS)


@pytest.fixture
def operator(both_wheels: Path, bare_box: Box) -> Operator:
    need("curl", "dbus-daemon")
    for wheel in both_wheels.iterdir():
        bare_box.put(wheel, f"{CHECKOUT}/dist")
    return Operator(bare_box)


def test_every_command_of_the_page_is_followed() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)

    with_commands = [one for one in headings if blocks(section(PAGE, f"## {one}"), "sh")]
    assert sorted(with_commands) == sorted(FOLLOWED)
    assert blocks(section(PAGE, "## Install"), "sh")[0] == BUILD


def test_the_page_leads_from_nothing_to_a_service_and_back_to_nothing(operator: Operator) -> None:
    """Each step finds what the one before has left."""
    install(operator)
    add_webhooks(operator)
    look_and_use_verbs(operator)
    change_settings(operator)
    back_up(operator)
    upgrade(operator)
    roll_back(operator)
    restore(operator)
    uninstall(operator)
    restore_on_a_new_machine(operator)


def install(operator: Operator) -> None:
    said = operator.follow("Install", f"{KEY}\n")

    assert 'Status: "0 open, 0 overdue' in said
    assert '"status": "ready"' in said
    assert operator.is_active()
    assert operator.do("stat -c '%a %U' /etc/tracker/credentials /etc/tracker/credentials/*") == (
        "700 root\n600 root\n"
    )
    assert operator.do("stat -c '%a %G' /var/lib/tracker/tracker.db") == "660 tracker\n"
    assert KEY not in operator.do("journalctl --no-pager -o export")


def add_webhooks(operator: Operator) -> None:
    assert operator.receive("too-early") == "503"  # no secret is known yet

    operator.follow("Webhooks", f"{SECRET}\n")

    assert operator.receive("first-es") == "200"
    assert operator.tracked() == {"first-es": "success"}


def look_and_use_verbs(operator: Operator) -> None:
    said = operator.follow("Look at it")
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
    assert "tracker is up" in events
    assert re.search(r"Overall exposure level for tracker.service: (0\.\d|1\.[0-3])", said), said[-400:]

    said = operator.follow("Verbs")
    assert operator.tracked() == THEN
    assert "order-42" in said


def change_settings(operator: Operator) -> None:
    operator.do("sed -i 's/^#rate_limit = 5/rate_limit = 3/' /etc/tracker/tracker.toml")
    operator.follow("Change settings")
    assert '"3"' in operator.do("tracker check-config --json | grep -A1 TRACKER_RATE_LIMIT")

    operator.do("sed -i 's/^rate_limit = 3/rate_limit = \"fast\"/' /etc/tracker/tracker.toml")
    commands = "".join(blocks(section(PAGE, "## Change settings"), "sh"))
    assert "TRACKER_RATE_LIMIT: " in operator.do(f"({commands}) 2>&1 || echo refused")
    assert operator.is_active()
    operator.do("sed -i 's/^rate_limit = .*/rate_limit = 3/' /etc/tracker/tracker.toml")


def back_up(operator: Operator) -> None:
    operator.box.drop_in("[Service]\nEnvironment=OF_THE_SITE=yes\n")

    operator.follow("Backup")

    [backup] = operator.do("ls -d /var/backups/tracker/*").split()
    assert operator.do(f"stat -c %a {backup}") == "700\n"
    assert operator.do(f"cat {backup}/version") == f"tracker {OLD}\n"
    kept = operator.do(f"cd {backup}; find . -type f | sort").split()
    assert kept == [
        "./etc/credentials/heygen_api_key",
        "./etc/credentials/webhook_secret",
        "./etc/tracker.toml",
        "./state/tracker.db",
        "./units/tracker.service.d/test.conf",
        "./version",
    ]


def upgrade(operator: Operator) -> None:
    assert operator.receive("second-de") == "200"
    assert "priority" not in operator.columns()

    said = operator.follow("Upgrade")

    assert f"Successfully installed heygen-tracker-{NEW}" in said
    assert operator.do("tracker --version") == f"tracker {NEW}\n"
    assert operator.is_active()
    assert "priority" in operator.columns()
    assert operator.receive("third-fr") == "200"
    assert {"first-es", "second-de", "third-fr"} < set(operator.tracked())


def roll_back(operator: Operator) -> None:
    said = operator.follow("Rollback")

    assert "data that only" in said
    assert operator.do("tracker --version") == f"tracker {OLD}\n"
    assert operator.is_active()
    assert "priority" not in operator.columns()
    assert operator.receive("fourth-it") == "200"
    assert {"first-es", "second-de", "third-fr", "fourth-it"} < set(operator.tracked())


def restore(operator: Operator) -> None:
    operator.do("rm /etc/tracker/credentials/webhook_secret; echo '# lost' > /etc/tracker/tracker.toml")

    operator.follow("Restore")

    assert operator.is_active()
    assert operator.tracked() == THEN
    assert operator.receive("fourth-it") == "200"
    owners = operator.do("stat -c '%U %G' /var/lib/tracker /var/lib/tracker/*").splitlines()
    assert set(owners) == {"tracker tracker"}
    assert operator.do("stat -c %A /var/lib/tracker/tracker.db").startswith("-rw-rw")


def uninstall(operator: Operator) -> None:
    operator.follow("Stop")
    assert operator.receive("nobody-listens") == "000"
    operator.follow("Uninstall")

    assert operator.do("systemctl list-units --all --no-legend 'tracker*'").strip() == ""
    assert operator.do("systemctl list-unit-files --no-legend 'tracker*' || true").strip() == ""
    assert operator.do("getent passwd tracker || echo nobody") == "nobody\n"
    left = operator.do(
        "find /etc /opt /run /usr/local /var /root /tmp -xdev -iname '*tracker*' "
        "-not -path '/var/backups/*' -not -path '/var/log/*' | sort"
    )
    assert left == ""


def restore_on_a_new_machine(operator: Operator) -> None:
    """The program is installed, and was never started."""
    [_, program, *_] = blocks(section(PAGE, "## Install"), "sh")
    operator.do(program)

    operator.follow("Restore")

    assert operator.is_active()
    assert operator.tracked() == THEN
    assert operator.receive("anew-pt") == "200"
    assert "OF_THE_SITE=yes" in operator.box.show("Environment")


def test_a_restore_without_a_backup_changes_nothing(bare_box: Box) -> None:
    bare_box.write("/etc/tracker/tracker.toml", "# as it was")
    pasted = "".join(blocks(section(PAGE, "## Restore"), "sh"))

    said = bare_box.run(
        "bash", "-i", input=pasted
    ).stderr  # where a line fails, the next one comes all the same

    assert said.count("backup: there is none") == 3
    files = bare_box.shell("find /etc/tracker /var/lib -ipath '*tracker*' -type f").stdout
    assert files == "/etc/tracker/tracker.toml\n"
