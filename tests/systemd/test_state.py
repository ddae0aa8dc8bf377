"""StateDirectory=: a restart keeps the database, and a full disk is not the end."""

import itertools

from .service import STATE, TrackerBox

ROOM = "3m"


def test_a_restart_keeps_what_was_stored(box: TrackerBox) -> None:
    box.start()
    assert box.webhook("kept").status == 200

    box.systemctl("restart", "tracker.service")

    row = box.row("kept")
    assert row is not None
    assert row["status"] == "success"


def test_a_full_disk_refuses_webhooks_and_nothing_else_and_nothing_acknowledged_is_lost(
    box: TrackerBox,
) -> None:
    box.shell(f"mkdir -p -m 700 {STATE}; mount -t tmpfs -o size={ROOM},mode=700 tmpfs {STATE}")
    box.drop_in("[Service]\nWatchdogSec=5s\n")
    box.start()
    first = box.main_pid
    assert box.webhook("before").status == 200

    box.shell(f"dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null || true")
    acknowledged = ["before", *_acknowledged_until_refused(box)]
    up = int(box.show("WatchdogTimestampMonotonic"))
    box.wait_for(
        lambda: int(box.show("WatchdogTimestampMonotonic")) > up + 7_000_000, why="the watchdog's food"
    )
    assert box.webhook("refused-too").status == 503
    assert box.request("GET", "/healthz").status == 200
    box.shell(f"rm {STATE}/filler")

    box.wait_for(lambda: box.webhook("after").status == 200, why="webhooks to be stored again")
    box.wait_for(lambda: box.request("GET", "/readyz").status == 200, why="all to be well again")
    assert (box.main_pid, box.restarts) == (first, 0)
    stored = {row["video_translate_id"] for row in box.query("SELECT video_translate_id FROM translations")}
    assert stored >= {*acknowledged, "after"}


def _acknowledged_until_refused(box: TrackerBox) -> list[str]:
    """Send until the first 503, which has to come soon."""
    acknowledged: list[str] = []
    for name in map("full-{}".format, itertools.count()):
        answer = box.webhook(name)
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
            return acknowledged
        assert answer.status == 200
        acknowledged.append(name)
        assert len(acknowledged) < 500
    raise AssertionError("unreachable")


def test_a_start_on_a_full_disk_says_so_in_one_record_and_goes_on_once_there_is_room(box: TrackerBox) -> None:
    box.shell(f"mkdir -p -m 700 {STATE}; mount -t tmpfs -o size={ROOM},mode=700 tmpfs {STATE}")
    box.shell(f"dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null || true")

    box.run("systemctl", "start", "tracker.service")

    told = box.event("cannot start")
    assert "check the disk space" in told["error"]
    assert [one for one in box.journal() if "Traceback" in str(one["MESSAGE"])] == []
    box.shell(f"rm {STATE}/filler")
    box.wait_for(lambda: box.show("ActiveState") == "active", why="a start with room on the disk")
