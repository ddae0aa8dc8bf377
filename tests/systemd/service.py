"""tracker as an operator sees it in a box: settings, credentials, `systemctl`, the journal, webhooks."""

import json
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tracker.simulator.delivery import sign

from .box import Answer, Box, BoxError, Record
from .machine import need
from .reset import reset

MISBEHAVING = Path(__file__).with_name("misbehaving.py")
SETTINGS = "/etc/tracker/tracker.toml"
CREDENTIALS = "/etc/tracker/credentials"
STATE = "/var/lib/tracker"
DATABASE = f"{STATE}/tracker.db"
SECRET = "whsec_of-the-box"
KEY = "simulator-key"
WEBHOOKS = "/webhooks/heygen"
PUBLIC, ADMIN, HEYGEN = 8321, 8322, 8399
UNITS = ("tracker.service", "tracker.socket", "tracker-admin.socket")
SOCKETS = UNITS[1:]
FIRST_SETTINGS = {
    "heygen_base_url": f"http://127.0.0.1:{HEYGEN}",
    "poll_min_interval": 1,
    "poll_max_interval": 5,
    "max_staleness": 5,
}


class TrackerBox(Box):
    """A box with tracker installed and set up, but not started."""

    settings: dict[str, object]
    was_used = False  # by a test

    def set_up(self, example: str) -> None:
        """What docs/operations.md has people do after `tracker units`."""
        self.example = example
        self.settings = dict(FIRST_SETTINGS)
        self.configure()
        self.run("install", "-d", "--mode=700", CREDENTIALS, check=True)
        self.credential("heygen_api_key", KEY)
        self.credential("webhook_secret", SECRET)

    def reset(self) -> None:
        """Make it again what it was after `set_up`, and `remember`."""
        reset(self)
        self.settings = dict(FIRST_SETTINGS)

    def configure(self, **settings: object) -> None:
        """Write /etc/tracker/tracker.toml: the example, with these and the earlier changes; None: not set."""
        self.settings |= settings
        text = self.example
        for name, value in self.settings.items():
            text = re.sub(rf"^#?{name} = .*\n", "", text, flags=re.MULTILINE)
            if value is not None:
                text += f"{name} = {json.dumps(value)}\n"
        self.write(SETTINGS, text)

    def credential(self, name: str, text: str) -> None:
        self.write(f"{CREDENTIALS}/{name}", f"{text}\n", mode=0o600)

    # systemctl

    def start(self) -> None:
        """As after an installation: listeners and daemon."""
        self.systemctl("start", *reversed(UNITS))

    def listen(self) -> None:
        """The listeners alone; the first webhook starts the daemon."""
        self.systemctl("start", *SOCKETS)

    @property
    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    @property
    def status(self) -> str:
        """The line that `systemctl status` shows."""
        return self.show("StatusText")

    @property
    def restarts(self) -> int:
        return int(self.show("NRestarts"))

    def wait_for_restart(self, seconds: float = 30, since: int = 0) -> None:
        """Wait until systemd has started it once more, and it is up again."""

        def is_up_again() -> bool:
            return self.restarts > since and self.show("ActiveState") == "active"

        self.wait_for(is_up_again, seconds, "a restart")

    def tracker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A verb, run as /usr/local/bin/tracker runs it."""
        need("dbus-daemon")
        return self.run("/usr/local/bin/tracker", *arguments, check=check, timeout=120)

    def misbehave(self, how: str, more: str = "") -> None:
        """The daemon will once misbehave, in one of the ways of misbehaving.py; `more` changes the unit."""
        self.write("/srv/misbehaving.py", MISBEHAVING.read_text())
        command = f"/opt/tracker/bin/python3 /srv/misbehaving.py {how}"
        self.drop_in(f"[Service]\nExecStart=\nExecStart={command}\n{more}")

    # The journal

    def events(self, event: str | None = None) -> list[Record]:
        """The daemon's log: the records that are its JSON lines, or those with this event."""
        said = [str(record["MESSAGE"]) for record in self.journal() if "_SYSTEMD_UNIT" in record]
        parsed = [json.loads(line) for line in said if line.startswith("{")]
        return [one for one in parsed if event in (None, one["event"])]

    def event(self, event: str, count: int = 1) -> Record:
        """The log's event of this name (the `count`th), once it is there."""

        def look() -> Record | None:
            found = self.events(event)
            return found[count - 1] if len(found) >= count else None

        return self.wait_for(look, why=f"the log's {event!r}")

    # HTTP

    def webhook(self, video_translate_id: str, secret: str = SECRET, *, timeout: float = 20) -> Answer:
        """HeyGen tells that this translation has succeeded."""
        body = success(video_translate_id)
        headers = {"Content-Type": "application/json", "Signature": sign(body, secret)}
        return self.request("POST", WEBHOOKS, body, headers, port=PUBLIC, timeout=timeout)

    def add(self, video_translate_id: str) -> None:
        """Track a translation, through the admin API."""
        body = json.dumps({"video_translate_id": video_translate_id}).encode()
        answer = self.request("POST", "/api/translations", body, {"Content-Type": "application/json"})
        if answer.status not in (200, 201):
            raise BoxError(f"adding {video_translate_id}: {answer}")

    def row(self, video_translate_id: str) -> dict[str, Any] | None:
        """What the admin API knows of a translation."""
        answer = self.request("GET", f"/api/translations/{video_translate_id}")
        return dict(answer.json()) if answer.status == 200 else None

    def query(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Ask a copy of the database, whether the daemon runs or not."""
        copy = "/run/copy.db"
        vacuum = f"import sqlite3; sqlite3.connect('{DATABASE}').execute('VACUUM INTO ?', ['{copy}'])"
        self.run("rm", "-f", copy, check=True)
        self.run("/usr/bin/python3", "-c", vacuum, check=True)
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(self.outside(copy).read_bytes())
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]


class HeyGen:
    """The look-alike, running in a box."""

    def __init__(self, box: Box, program: subprocess.Popen[str]) -> None:
        self.box, self.program = box, program

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One of its routes, HeyGen's own or `/simulator/...`; BoxError where it refuses."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "x-api-key": KEY}
        answer = self.box.request(method, path, content, headers, port=HEYGEN)
        if answer.status != 200:
            raise BoxError(f"{method} {path}: {answer}")
        return answer.json()

    def create(self, count: int = 1) -> list[str]:
        """The ids of new translations."""
        return list(self.ask("POST", "/simulator/translations", {"count": count})["ids"])

    def truth(self) -> dict[str, Any]:
        """Everything it knows."""
        return dict(self.ask("GET", "/simulator/truth"))


def simulator_in(box: Box, scenario: Mapping[str, object] | None = None, *flags: str) -> HeyGen:
    """Start the look-alike; its webhooks go to tracker's public listener."""
    quick = {"pending_seconds": 0, "running_seconds": 0, "retry_seconds": 0.3}
    box.write("/run/scenario.json", json.dumps({**quick, **(scenario or {})}))
    webhooks = ("--webhook-url", f"http://127.0.0.1:{PUBLIC}{WEBHOOKS}", "--webhook-secret", SECRET)
    command = ("simulate", "--listen", f"127.0.0.1:{HEYGEN}", "--scenario", "/run/scenario.json")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    heygen = HeyGen(box, box.popen("/opt/tracker/bin/tracker", *command, *webhooks, *flags, **quiet))

    def answers() -> bool:
        try:
            return bool(heygen.truth())
        except OSError:
            return False

    box.wait_for(answers, why="the look-alike")
    return heygen


def success(video_translate_id: str) -> bytes:
    """HeyGen's webhook about a translation that has succeeded."""
    url = f"https://resource2.heygen.ai/video_translate/{video_translate_id}/original.mp4"
    data = {"video_translate_id": video_translate_id, "url": url, "output_language": "Spanish"}
    return json.dumps({"event_type": "video_translate.success", "event_data": data}).encode()
