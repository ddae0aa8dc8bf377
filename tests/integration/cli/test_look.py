"""`tracker list`, `show`, `reopen` and `wait`: what is in the database, for people and for programs."""

import os
import pty
import re
import subprocess
import threading
from contextlib import suppress
from queue import SimpleQueue

import pytest

from .conftest import PATIENCE, TERMINAL, Program


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["new-es", "going-de", "good-fr", "bad-it"]),
        (("--status", "failed"), ["bad-it"]),
        (("--callback-id", "order [1]", "--limit", "2"), ["new-es", "going-de"]),
        (("--callback-id", "another"), []),
        (("--attention", "overdue"), []),
    ],
)
def test_a_list_for_programs_is_an_array_of_the_columns(
    house: Program, arguments: tuple[str, ...], ids: list[str]
) -> None:
    ran = house("list", "--json", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert [row["video_translate_id"] for row in ran.json] == ids
    columns = [row["name"] for row in house.query("PRAGMA table_info(translations)")]
    assert all(list(row) == columns for row in ran.json)


def test_a_list_for_people_is_a_table(house: Program) -> None:
    [head, *lines] = house("list").out.splitlines()
    assert re.split(r"  +", head.strip())[:2] == ["id", "callback id"]
    assert [line.split()[0] for line in lines if line[0] != " "] == [
        "new-es",
        "going-de",
        "good-fr",
        "bad-it",
    ]
    assert all("order [1]" in line for line in lines)


def test_an_empty_list_says_so(migrated: Program) -> None:
    assert migrated("list").out == "no translations\n"
    assert migrated("list", "--json").json == []


def test_a_status_that_does_not_exist_is_refused(house: Program) -> None:
    ran = house("list", "--status", "completed")
    assert (ran.code, ran.out) == (2, "")
    assert "completed" in ran.err
    assert "success" in ran.err


def test_one_translation_is_an_object_of_its_columns(house: Program) -> None:
    ran = house("show", "bad-it", "--json")
    assert ran.code == 0
    columns = [row["name"] for row in house.query("PRAGMA table_info(translations)")]
    assert list(ran.json) == [*columns, "changes"]
    assert (ran.json["status"], ran.json["message"]) == ("failed", "No speech [at all]")
    assert [(one["old_status"], one["new_status"], one["source"]) for one in ran.json["changes"]] == [
        ("pending", "failed", "poll")
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", ran.json["created_at"])


def test_people_read_who_changed_it_when(house: Program) -> None:
    ran = house("show", "bad-it")
    assert "No speech [at all]" in ran.out
    assert re.search(r"pending +failed +poll", ran.out)
    assert house("show", "new-es").out.endswith("no status changes yet\n")


@pytest.mark.parametrize("verb", ["show", "reopen", "wait"])
def test_what_is_not_tracked_is_told(house: Program, verb: str) -> None:
    ran = house(verb, "stranger")
    assert (ran.code, ran.out) == (2, "")
    assert "error: 'stranger' is not tracked; track it with `tracker add`" in ran.err


def test_reopening_an_end_is_a_change_by_hand(house: Program) -> None:
    assert house("reopen", "bad-it").out == "bad-it is pending again\n"
    shown = house("show", "bad-it", "--json").json
    assert (shown["status"], shown["message"], shown["finished_at"]) == ("pending", None, None)
    assert [(one["new_status"], one["source"]) for one in shown["changes"]] == [
        ("failed", "poll"),
        ("pending", "manual"),
    ]
    assert house("reopen", "good-fr", "--json").json["status"] == "pending"


def test_only_what_has_ended_is_reopened(house: Program) -> None:
    ran = house("reopen", "going-de")
    assert ran.code == 2
    assert "going-de is running; only finished translations can be reopened" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (("good-fr",), 0, "good-fr success\n"),
        (("good-fr", "bad-it", "good-fr"), 1, "good-fr success\nbad-it failed: No speech [at all]\n"),
        (("good-fr", "going-de", "--timeout", "0.1"), 4, "going-de running\ngood-fr success\n"),
        (("new-es", "--timeout", "0"), 4, "new-es pending\n"),
        (("good-fr", "--timeout", "soon"), 2, ""),
        ((), 2, ""),
    ],
)
def test_waiting_answers_with_its_exit_code(
    house: Program, arguments: tuple[str, ...], code: int, out: str
) -> None:
    ran = house("wait", *arguments)
    assert (ran.code, ran.out) == (code, out)
    assert ("not all translations finished within" in ran.err) == (code == 4)


def test_programs_wait_for_rows(house: Program) -> None:
    ran = house("wait", "bad-it", "good-fr", "--json")
    assert ran.code == 1
    assert [(row["video_translate_id"], row["status"]) for row in ran.json] == [
        ("bad-it", "failed"),
        ("good-fr", "success"),
    ]


def test_waiting_warns_where_no_daemon_runs(house: Program) -> None:
    assert "no `tracker run` uses this database" in house("wait", "good-fr").err


def test_without_a_terminal_each_change_is_a_line(house: Program) -> None:
    wait = ("wait", "new-es", "--timeout", "20")
    with house.process(*wait, stderr=subprocess.DEVNULL, variables={"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "new-es pending\n"
        house.execute("UPDATE translations SET status = 'running' WHERE video_translate_id = 'new-es'")
        assert process.stdout.readline() == "new-es running\n"
        house.execute("UPDATE translations SET status = 'success' WHERE video_translate_id = 'new-es'")
        assert process.stdout.read() == "new-es success\n"
        assert process.wait(PATIENCE) == 0


def test_on_a_terminal_each_translation_has_a_bar(house: Program) -> None:
    terminal, other_end = pty.openpty()
    wait = ("wait", "new-es", "good-fr", "--timeout", "20")
    process = house.process(*wait, stdout=other_end, stderr=subprocess.DEVNULL, variables=TERMINAL)
    os.close(other_end)
    screen = Screen(terminal)
    screen.until("pending")
    house.execute("UPDATE translations SET status = 'success' WHERE video_translate_id = 'new-es'")
    assert process.wait(PATIENCE) == 0
    text = screen.rest()
    assert "━" in text
    assert re.search(r"new-es .*success", text)
    assert re.search(r"good-fr .*success", text)


class Screen:
    """What was written to a pseudo-terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal, self._text = terminal, ""
        self._parts: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the program has gone, and so has its end of the terminal
        with os.fdopen(self._terminal, "rb", buffering=0) as screen, suppress(OSError):
            while part := screen.read(4096):
                self._parts.put(part.decode(errors="replace"))
        self._parts.put(None)

    def until(self, words: str) -> None:
        while words not in self._text:
            part = self._parts.get(timeout=PATIENCE)
            assert part is not None, self._text
            self._text += part

    def rest(self) -> str:
        while (part := self._parts.get(timeout=PATIENCE)) is not None:
            self._text += part
        self._reader.join(PATIENCE)
        return self._text
