"""WatchdogSec=: whoever hangs is ended, shows where it hung, and is started again."""

import pytest

from .service import TrackerBox

PATIENCE = 2  # seconds of the watchdog
LONGER = 5  # where it must not fire, however busy the machine
PERIODS = 2


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("block_the_loop", "in block_the_loop"),
        ("hang_in_the_poller", "Current thread"),  # the loop lives
        ("lose_the_poller", "Current thread"),
        ("hang_in_the_store", "in _wait_for_ever"),
    ],
)
def test_a_daemon_that_hangs_is_ended_and_started_again(box: TrackerBox, how: str, shown: str) -> None:
    box.misbehave(how, f"WatchdogSec={PATIENCE}s\nRestartSec=100ms\n")
    box.start()
    first = box.main_pid

    box.wait_for_restart()

    assert box.main_pid != first
    said = [str(record["MESSAGE"]) for record in box.journal()]
    assert any("Watchdog timeout" in line for line in said), said
    assert any("status=6/ABRT" in line for line in said), said
    assert any(shown in line for line in said), said  # the stack, as Python's fault handler shows it
    assert box.webhook("after-the-restart").status == 200


def test_a_daemon_that_is_well_is_left_alone(box: TrackerBox) -> None:
    box.drop_in(f"[Service]\nWatchdogSec={LONGER}s\n")
    box.start()
    first = box.main_pid
    up = int(box.show("ActiveEnterTimestampMonotonic"))

    def is_fed_for_long() -> bool:
        return int(box.show("WatchdogTimestampMonotonic")) - up > PERIODS * LONGER * 1_000_000

    box.wait_for(is_fed_for_long, seconds=3 * PERIODS * LONGER, why="food for the watchdog")
    assert (box.main_pid, box.restarts) == (first, 0)
