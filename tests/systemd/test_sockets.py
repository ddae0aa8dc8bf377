"""The listeners are systemd's: they start the daemon, and outlive whatever becomes of it."""

import threading
from collections.abc import Callable

from .box import Answer
from .service import ADMIN, PUBLIC, TrackerBox

FAILURES = 30  # systemd's own limits would be reached after 5 starts, and after 20 by the socket


def test_the_first_webhook_starts_the_daemon_and_is_stored(box: TrackerBox) -> None:
    box.listen()
    assert box.show("ActiveState") == "inactive"

    answer = box.webhook("starts-it")

    assert answer.status == 200
    box.wait_for(lambda: box.show("ActiveState") == "active", why="READY=1")
    row = box.row("starts-it")
    assert row is not None
    assert row["status"] == "success"


def test_an_admin_page_starts_the_daemon_and_each_listener_serves_its_own_whatever_their_order(
    box: TrackerBox,
) -> None:
    box.systemctl("start", "tracker-admin.socket")
    box.systemctl("start", "tracker.socket")

    assert box.request("GET", "/metrics", port=ADMIN).status == 200
    box.wait_for(lambda: box.show("ActiveState") == "active", why="READY=1")
    assert box.request("GET", "/metrics", port=PUBLIC).status == 404


def test_however_often_the_start_fails_the_listener_stays_and_loses_nothing(box: TrackerBox) -> None:
    box.drop_in("[Service]\nRestartSec=10ms\nExecStart=\nExecStart=false\n")
    box.listen()
    waiting = Asked(lambda: box.webhook("waits", timeout=120))

    while box.restarts < FAILURES:
        box.connect(PUBLIC).close()  # raises where it is refused
        box.connect(ADMIN).close()
        assert box.show("ActiveState", "tracker.socket") == "active"
    box.drop_in("[Service]\nRestartSec=10ms\n")

    assert waiting.answer().status == 200
    row = box.row("waits")
    assert row is not None
    assert row["status"] == "success"


def test_a_killed_daemon_is_started_again_and_a_webhook_waits_meanwhile(box: TrackerBox) -> None:
    box.start()
    assert box.webhook("before").status == 200
    first = box.main_pid

    box.systemctl("kill", "--signal=KILL", "tracker.service")
    box.wait_for(lambda: box.main_pid != first, why="its end")
    answer = box.webhook("meanwhile")

    assert answer.status == 200
    assert box.restarts == 1
    rows = box.query("SELECT video_translate_id FROM translations ORDER BY id")
    assert [row["video_translate_id"] for row in rows] == ["before", "meanwhile"]


class Asked:
    """A question whose answer is waited for in a thread."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(ask()))
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join(120)
        [answer] = self._answers
        return answer
