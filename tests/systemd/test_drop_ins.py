"""docs/installing.md, for who has installed: drop-ins, and the wrapper that runs verbs."""

import json
import re
import shlex
import subprocess
from pathlib import Path

from tests.house.pages import ROOT, blocks, section

from .machine import need
from .service import KEY, TrackerBox

PAGE = ROOT / "docs" / "installing.md"
SOCKETS = "systemctl restart tracker.socket tracker.service"


def do(box: TrackerBox, commands: str, stdin: str = "") -> str:
    return box.shell(f"cd /\n{commands}", input=stdin).stdout


def test_the_drop_ins_of_the_page_do_what_it_says(box: TrackerBox) -> None:
    need("curl", "dbus-daemon")
    box.start()
    text = section(PAGE, "## Changes of your own")
    found = {
        path.name: (path, block) for block in blocks(text, "ini") for path in [Path(block[2:].split()[0])]
    }

    def add(name: str) -> None:
        path, block = found.pop(name)
        do(box, f"mkdir -p {path.parent} && cat > {path}", block)
        start_again(box)

    def shown(unit: str, name: str) -> str:
        return do(box, f"systemctl show --property={name} --value {unit}").strip()

    add("port.conf")
    assert do(box, "curl -sf http://127.0.0.1:8080/healthz")
    do(box, "rm -r /etc/systemd/system/tracker.socket.d")

    add("senders.conf")
    assert "0.0.0.0/0" in shown("tracker.socket", "IPAddressDeny")
    add("postgresql.conf")
    assert "postgresql.service" in shown("tracker.service", "After")

    [encrypt] = re.findall(r"`(systemd-creds encrypt [^`]*)`", text)
    do(box, f"rm /etc/tracker/credentials/heygen_api_key\n{encrypt}", f"{KEY}\n")
    assert KEY not in do(box, "cat /etc/tracker/heygen_api_key.cred")
    add("encrypted.conf")
    settings = json.loads(do(box, "tracker check-config --json"))["settings"]
    [key] = [one for one in settings if one["variable"] == "TRACKER_HEYGEN_API_KEY"]
    assert key["origin"] == "credential"
    assert "no API key" not in do(box, "journalctl --no-pager -t tracker --output cat")

    assert found == {}
    complaints = do(box, "systemd-analyze verify tracker.service tracker.socket 2>&1 || true")
    assert "tracker" not in complaints, complaints


def start_again(box: TrackerBox) -> None:
    """As the page says of sockets."""
    text = section(PAGE, "## Changes of your own")
    for command in ("systemctl daemon-reload", SOCKETS):
        assert f"`{command}`" in text
        do(box, command)


def test_an_interrupted_verb_ends(box: TrackerBox) -> None:
    """Without a terminal nobody but the wrapper can tell it."""
    need("pgrep", "dbus-daemon")
    box.start()
    box.add("waited-for")
    # Whoever starts the tests in the background has them ignore Ctrl-C, and what they start, too.
    command = ("env", "--default-signal=INT", "setsid", "tracker", "wait", "waited-for")
    verb = box.popen(*command, stdout=subprocess.DEVNULL)
    box.wait_for(lambda: "tracker wait" in units(box), why="the verb")

    do(box, "kill -INT -- -$(pgrep --full --oldest '^/bin/sh /usr/local/bin/tracker wait')")  # Ctrl-C

    box.wait_for(lambda: verb.poll() is not None, why="the wrapper's end")
    assert verb.returncode != 0
    box.wait_for(lambda: "tracker wait" not in units(box), why="the verb's end")


def units(box: TrackerBox) -> str:
    return box.systemctl("list-units", "--no-legend", "tracker-verb-*")


def test_several_addresses_are_all_served(box: TrackerBox) -> None:
    need("curl")
    box.drop_in("[Socket]\nListenStream=127.0.0.1:8080\nListenStream=[::1]:8321\n", "tracker.socket")
    box.drop_in("[Socket]\nListenStream=\nListenStream=127.0.0.1:8333\n", "tracker-admin.socket")
    box.start()

    for address in ("127.0.0.1:8321", "127.0.0.1:8080", "[::1]:8321"):
        assert do(box, f"curl -sf -o /dev/null -w '%{{http_code}}' http://{address}/webhooks/heygen") == "200"
    assert do(box, "curl -sf http://127.0.0.1:8333/readyz")

    box.drop_in("[Socket]\nListenStream=\nListenStream=127.0.0.1:8334\n", "tracker-admin.socket")
    start_again(box)
    assert do(box, "curl -sf http://127.0.0.1:8334/readyz")


def test_the_wrapper_hands_words_input_and_exit_code_over_as_they_are(box: TrackerBox) -> None:
    need("script", "dbus-daemon")
    box.start()
    words = ["$HOME ${X} $$ 50% %n two  words '\"\\ gr\u00fcn", "ends in lines\n\n", "$", "*"]
    for number, word in enumerate(words):
        do(box, f"tracker add id-{number} --callback-id {shlex.quote(word)}")
    rows = json.loads(do(box, "tracker list --json"))
    assert sorted(row["callback_id"] for row in rows) == sorted(words)

    assert box.run("tracker", "show", "nobody", check=False).returncode == 2
    assert box.run("tracker", "wait", "id-0", "--timeout", "0.1", check=False).returncode == 4
    on_a_terminal = do(box, "script --quiet --return --command 'tracker show id-0' /dev/null")
    assert "50% %n" in on_a_terminal

    do(box, "mv /etc/tracker/credentials /etc/tracker/away")
    missing = box.run("tracker", "list", check=False)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "a credential cannot be loaded: is there a folder /etc/tracker/credentials?" in missing.stderr
    other = box.run("setpriv", "--reuid=65534", "--clear-groups", "tracker", "list", check=False)
    assert (other.returncode, "run this as root" in other.stderr) == (2, True)
