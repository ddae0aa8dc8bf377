"""400 webhooks a second, while the daemon is restarted, upgraded and killed."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .newer import NEW
from .service import PUBLIC, SECRET, SOCKETS, WEBHOOKS, HeyGen, TrackerBox, simulator_in

pytestmark = pytest.mark.alone

STREAM = Path(__file__).with_name("stream.py")
STREAM_IN_BOX = "/srv/stream.py"
RATE = 400
RESTARTS, MANY_RESTARTS = 5, 15
KILLS = 3
RESTART_SECONDS = 2  # of the unit
CUT_OFF = {
    "ConnectionResetError(104, 'Connection reset by peer')",
    "IncompleteReadError('0 bytes read on a total of undefined expected bytes')",
}
OPEN = 40  # translations that are polled meanwhile
INTERVAL = 2  # seconds between the polls of one
LATE = 2  # seconds that one may come late on the average: there is a restart every three
SOONEST = 0.4  # of the interval: what is due within half of it fills a bulk question


@dataclass
class Sent:
    """What became of the webhooks of a stream."""

    sent: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.sent / self.seconds


@contextmanager
def streaming(box: TrackerBox, prefix: str) -> Iterator[Sent]:
    """Webhooks while the block runs; after it, what became of them."""
    box.write(STREAM_IN_BOX, STREAM.read_text())
    order = {"rate": RATE, "prefix": prefix, "port": PUBLIC, "path": WEBHOOKS, "secret": SECRET}
    command = ("/usr/bin/python3", STREAM_IN_BOX, json.dumps(order))
    program = box.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sent = Sent()
    yield sent
    said, _ = program.communicate(timeout=120)
    vars(sent).update(json.loads(said))


def stored(box: TrackerBox) -> set[str]:
    """Those whose webhook and whose end are both in the database."""
    rows = box.query(
        "SELECT d.video_translate_id FROM deliveries d JOIN translations t"
        " ON t.video_translate_id = d.video_translate_id WHERE t.status = 'success'"
    )
    return {row["video_translate_id"] for row in rows}


def restart(box: TrackerBox, number: int) -> None:
    """Restart, and wait until what has queued up is worked off."""
    box.systemctl("restart", "tracker.service", timeout=120)
    assert box.webhook(f"after-{number}", timeout=60).status == 200


def polling(box: TrackerBox) -> HeyGen:
    """tracker runs, and polls translations that do not end while the test lasts."""
    heygen = simulator_in(box, {"running_seconds": 3600})
    box.configure(
        heygen_api="v3",  # the ends that webhooks tell of want a question each; bulk polls go beside them
        rate_limit=50,
        poll_min_interval=INTERVAL,
        poll_max_interval=INTERVAL,
        max_staleness=60,
    )
    box.start()
    for video_translate_id in heygen.create(OPEN):
        box.add(video_translate_id)
    return heygen


@pytest.mark.parametrize("restarts", [RESTARTS, pytest.param(MANY_RESTARTS, marks=pytest.mark.long)])
def test_restarts_and_an_upgrade_lose_no_webhook_and_no_poll(
    fresh_box: TrackerBox, both_wheels: Path, restarts: int
) -> None:
    box, heygen = fresh_box, polling(fresh_box)
    [newer] = both_wheels.glob(f"*-{NEW}-*.whl")
    box.put(newer, "/srv/newer")
    with streaming(box, "zero-loss") as sent:
        for number in range(restarts):
            restart(box, number)
        box.shell("/opt/tracker/bin/pip install --no-deps /srv/newer/*.whl; systemctl daemon-reload")
        restart(box, restarts)
    box.systemctl("stop", *SOCKETS, "tracker.service")

    assert box.run("/opt/tracker/bin/tracker", "--version").stdout == f"tracker {NEW}\n"
    assert "priority" in box.query("SELECT * FROM translations LIMIT 1")[0]
    assert sent.rate == pytest.approx(RATE, rel=0.05)
    assert sent.failed == {}
    assert len(sent.acknowledged) == sent.sent
    assert set(sent.acknowledged) <= stored(box)
    polls_are_right(box, heygen, sent.seconds)
    assert not box.events("a component failed; stopping")
    assert box.restarts == 0


def test_a_kill_loses_only_what_was_not_acknowledged(box: TrackerBox) -> None:
    polling(box)
    with streaming(box, "killed") as sent:
        for number in range(KILLS):
            before = box.restarts
            box.kill(box.main_pid, signal.SIGKILL)
            box.wait_for_restart(since=before)
            assert box.webhook(f"after-{number}", timeout=60).status == 200
    box.systemctl("stop", *SOCKETS, "tracker.service")

    assert set(sent.acknowledged) <= stored(box)
    assert set(sent.failed.values()) <= CUT_OFF
    assert len(sent.acknowledged) + len(sent.failed) == sent.sent
    assert sent.slowest > RESTART_SECONDS  # whoever came while nobody ran has waited, and was answered


def polls_are_right(box: TrackerBox, heygen: HeyGen, seconds: float) -> None:
    """Each question that HeyGen was asked is one poll in the database, and they came in their time."""
    requests = heygen.truth()["requests"]
    asked = {row["video_translate_id"]: row["poll_count"] for row in open_rows(box)}
    told = {one: told_about(requests, one) for one in asked}
    assert len(asked) == OPEN
    assert asked == told  # none was asked whose answer was not stored
    assert min(asked.values()) >= seconds / (INTERVAL + LATE)
    assert requests["shortest_gap"] > INTERVAL * SOONEST  # and none twice at once


def told_about(requests: dict[str, Any], video_translate_id: str) -> int:
    return sum(requests[name].get(video_translate_id, 0) for name in ("status_by_id", "statuses_by_id"))


def open_rows(box: TrackerBox) -> list[dict[str, Any]]:
    return box.query("SELECT video_translate_id, poll_count FROM translations WHERE status = 'running'")
