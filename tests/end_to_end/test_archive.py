"""The archive of the real program against the look-alike's files: broken, expired, killed in the middle."""

import hashlib
import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rich.filesize import decimal

from tests.postgres import Server

from .processes import PROGRAM, Program, Row, Simulator, Stage

LARGE = 24_000_000  # bytes of a video: several pieces that are durable
SLOW = 4_000_000  # bytes a second


class Archive:
    """A stage with a look-alike that has files, and a folder for them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.root = stage.directory / "archive"
        self.root.mkdir()

    def simulator(self, **scenario: object) -> Simulator:
        return self.stage.simulator(serve_files=True, **scenario)

    def settings(self, simulator: Simulator, **more: object) -> dict[str, object]:
        host = urlsplit(simulator.client.base_url).netloc
        given = {"archive": self.root, "archive_min_free": "1MB", "file_hosts_unsafe": json.dumps([host])}
        return self.stage.settings(simulator, **given | more)

    def daemon(self, simulator: Simulator, **more: object) -> Program:
        return self.stage.up(self.stage.start("tracker", "run", **self.settings(simulator, **more))).program

    def rows(self) -> list[Row]:
        return self.stage.database.query(
            "SELECT t.video_translate_id AS name, f.* FROM archived_files f"
            " JOIN translations t ON t.id = f.translation_id ORDER BY t.id, f.kind"
        )

    def are_there(self, count: int) -> bool:
        rows = self.rows()
        return len(rows) == count and all(row["state"] == "archived" for row in rows)

    def named(self) -> list[Path]:
        """What stands under a name."""
        return [one for one in self.root.rglob("*") if one.is_file() and ".parts" not in one.parts]

    def check(self, simulator: Simulator) -> None:
        """Every row is true: the file is there, and its bytes are those that HeyGen's host has."""
        sums = {
            (one.video_translate_id, file.sha256)
            for one in simulator.truth().translations
            for file in one.files.values()
        }
        rows = self.rows()
        for row in rows:
            data = Path(row["location"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
            assert (row["name"], row["sha256"]) in sums
        assert sorted(map(str, self.named())) == sorted(row["location"] for row in rows)
        assert list((self.root / ".parts").iterdir()) == []


@pytest.fixture
def archive(stage: Stage) -> Archive:
    return Archive(stage)


def test_every_file_of_a_success_is_kept_whatever_the_host_does(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[200_000, 400_000], file_error_rate=0.3, failure_rate=0.2)
    names = simulator.client.create([f"language-{number}" for number in range(8)], caption=True)

    daemon = archive.daemon(simulator, archive_concurrency=4)
    archive.stage.database.track(names)

    def all_there() -> bool:
        ended = archive.stage.database.query("SELECT status, COUNT(*) AS count FROM translations GROUP BY 1")
        success = {row["status"]: row["count"] for row in ended}.get("success", 0)
        rows = archive.rows()
        return success > 3 and len(rows) >= success and all(row["state"] == "archived" for row in rows)

    daemon.until(all_there, "every file to be archived", patience=90)
    archive.check(simulator)
    assert daemon.terminate() == 0
    assert "Signature" not in daemon.output


def test_a_kill_in_the_middle_of_a_download_is_gone_on_with(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[LARGE, LARGE], file_bytes_per_second=SLOW)
    [name] = simulator.client.create(["German"])
    settings = {"archive_kinds": "video"}
    daemon = archive.daemon(simulator, **settings)
    archive.stage.database.track([name])

    def noted() -> int:
        notes = list((archive.root / ".parts").glob("*.json"))
        return json.loads(notes[0].read_text())["durable"] if notes else 0

    daemon.until(lambda: noted() >= 8_000_000, "a part of it")
    daemon.kill()
    durable, sent = noted(), simulator.truth().requests.file_bytes
    assert durable < LARGE
    assert archive.named() == []

    again = archive.daemon(simulator, **settings)
    again.until(lambda: archive.are_there(1), "the whole file", patience=60)

    archive.check(simulator)
    assert simulator.truth().requests.file_bytes - sent <= LARGE - durable
    assert again.terminate() == 0


def test_of_two_trackers_on_one_server_one_is_killed_and_no_file_is_lost_or_there_twice(
    archive: Archive, postgresql: Server
) -> None:
    simulator = archive.simulator(file_bytes=[3_000_000, 3_000_000], file_bytes_per_second=1_000_000)
    names = simulator.client.create([f"language-{number}" for number in range(6)])
    with postgresql.migrated() as database:

        def start() -> Program:
            return archive.daemon(
                simulator, database_url=postgresql.url(database), archive_kinds="video", rate_limit=20
            )

        def rows() -> list[tuple[Any, ...]]:
            asked = "SELECT state, location, sha256, COALESCE(claimed_by, '') FROM archived_files"
            return postgresql.execute(asked, database)

        first, second = start(), start()
        for name in names:
            postgresql.execute(f"INSERT INTO translations (video_translate_id) VALUES ('{name}')", database)
        second.until(lambda: len({row[3] for row in rows() if row[3]}) == 2, "both to download", patience=60)
        first.kill()
        postgresql.execute("UPDATE archived_files SET claimed_until = now() - interval '1 s'"
                           f" WHERE claimed_by LIKE '%:{first.process.pid}'", database)  # fmt: skip

        def is_all_there() -> bool:
            return [row[0] for row in rows()] == ["archived"] * len(names)

        second.until(is_all_there, "every file", patience=120)

        sums = {hashlib.sha256(Path(location).read_bytes()).hexdigest() for _, location, _, _ in rows()}
        assert sums == {sha256 for _, _, sha256, _ in rows()}
        assert sorted(map(str, archive.named())) == sorted(location for _, location, _, _ in rows())
        assert len(sums) == len(names)
        assert list((archive.root / ".parts").iterdir()) == []
        assert second.terminate() == 0


def test_a_stop_in_the_middle_of_a_download_loses_nothing_of_it(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[LARGE, LARGE], file_bytes_per_second=SLOW)
    [name] = simulator.client.create(["German"])
    daemon = archive.daemon(simulator, archive_kinds="video")
    archive.stage.database.track([name])
    daemon.until(lambda: simulator.truth().requests.file_bytes > 2_000_000, "a part of it")

    assert daemon.terminate(patience=10) == 0

    [row] = archive.rows()
    assert (row["state"], row["claimed_by"], row["attempts"]) == ("waiting", None, 0)
    [part] = (archive.root / ".parts").glob("*.part")
    assert part.stat().st_size > 1_000_000


def test_a_link_that_has_expired_is_renewed_and_the_file_is_kept(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[100_000, 100_000])
    [name] = simulator.client.create(["German"])
    tracked = archive.stage.daemon(simulator)  # with the archive off
    archive.stage.database.track([name])
    tracked.program.until(lambda: archive.stage.database.statuses()[name] == "success", "its end")
    assert tracked.program.terminate() == 0
    simulator.client.revoke_links()

    program = archive.stage.start("archive", "archive", name, **archive.settings(simulator))

    assert program.wait() == 0, program.output
    archive.check(simulator)


# The verb


@pytest.fixture
def ended(archive: Archive) -> tuple[Simulator, list[str]]:
    """Three successes from before the archive was on."""
    simulator = archive.simulator(file_bytes=[100_000, 200_000])
    names = simulator.client.create(["German", "French", "Urdu"])
    daemon = archive.stage.daemon(simulator)
    archive.stage.database.track(names)
    daemon.program.until(lambda: set(archive.stage.database.statuses().values()) == {"success"}, "their ends")
    assert daemon.program.terminate() == 0
    assert archive.rows() == []
    return simulator, names


def test_the_verb_keeps_what_it_is_told(archive: Archive, ended: tuple[Simulator, list[str]]) -> None:
    simulator, names = ended

    said = archive.stage.done("archive", names[0], **archive.settings(simulator))

    rows = archive.rows()
    assert {row["name"] for row in rows} == {names[0]}
    assert said.splitlines() == [
        f"{row['name']} {row['kind']} archived: {row['location']} ({row['bytes']} bytes)" for row in rows
    ]
    archive.check(simulator)


def test_the_verb_keeps_the_whole_history_beside_a_daemon(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, _ = ended
    daemon = archive.daemon(simulator)

    said = archive.stage.done("archive", "--all", "--json", **archive.settings(simulator))

    assert json.loads(said) == []
    assert len(archive.rows()) >= 3
    assert archive.are_there(len(archive.rows()))
    archive.check(simulator)
    assert daemon.terminate() == 0


def test_the_whole_history_gets_a_line_for_each_file_and_a_sum(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, _ = ended

    said = archive.stage.done("archive", "--all", **archive.settings(simulator)).splitlines()

    rows = archive.rows()
    size = sum(row["bytes"] for row in rows)
    lines = {
        f"{row['name']} {row['kind']} archived: {row['location']} ({row['bytes']} bytes)" for row in rows
    }
    assert set(said[1:-1]) == lines
    assert (said[0], said[-1]) == (
        f"{len(rows)} files are to be archived",
        f"{len(rows)} files archived by this command, {decimal(size)}",
    )


def test_on_a_terminal_the_bars_end_with_all_files(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    """What the log says on the way stands above them, in lines of its own."""
    simulator, _ = ended
    simulator.client.set_file_faults("500", times=1)
    command = shlex.join([*PROGRAM, "archive", "--all"])

    program = archive.stage.launch(
        "terminal",
        ["script", "--quiet", "--return", "--command", f"stty cols 120; {command}", "/dev/null"],
        archive.settings(simulator),
        TERM="xterm-256color",
    )

    assert program.wait() == 0, program.output
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", program.output)
    rows = archive.rows()
    size = decimal(sum(row["bytes"] for row in rows))
    assert re.search(rf"all files \S+ {len(rows)} of {len(rows)} files, {size} ", said), said
    assert f"{len(rows)} files archived by this command, {size}" in said
    assert re.search(r'^\{.*HTTP 500", "event": "file not archived yet".*\}\s*$', said, re.MULTILINE), said
    for row in rows:
        assert f"{row['name']} {row['kind']} archived: {row['location']} ({row['bytes']} bytes)\n" in said


@pytest.mark.parametrize("which", ["--all", "named"])
def test_the_verb_ends_where_heygen_refuses_the_key_and_tries_at_once_with_a_better_one(
    archive: Archive, ended: tuple[Simulator, list[str]], which: str
) -> None:
    simulator, names = ended
    simulator.client.revoke_links()
    what = ("--all",) if which == "--all" else tuple(names)

    program = archive.stage.start(
        "refused", "archive", *what, **archive.settings(simulator, heygen_api_key="wrong")
    )

    assert program.wait() == 3, program.output
    assert "key_rejected" in program.output
    assert archive.named() == []
    with closing(sqlite3.connect(archive.stage.database.path)) as connection, connection:
        connection.execute("DELETE FROM tracker_state")  # the account's rest is over
    archive.stage.done("archive", *what, **archive.settings(simulator))
    archive.check(simulator)


def test_the_verb_waits_for_no_file_of_a_translation_that_has_not_ended(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, names = ended
    settings = archive.settings(simulator, archive_kinds="video")
    archive.stage.done("reopen", names[0], **settings)
    with closing(sqlite3.connect(archive.stage.database.path)) as connection, connection:
        connection.execute(
            "INSERT INTO archived_files (translation_id, kind, finished_at, next_attempt_at)"
            " SELECT id, 'video', '2026-11-23 12:00:00.000000', '2026-11-23 12:00:00.000000'"
            f" FROM translations WHERE video_translate_id = '{names[0]}'"
        )

    archive.stage.done("archive", "--all", **settings)

    assert [(row["name"], row["state"]) for row in archive.rows()] == [
        (names[0], "waiting"),
        (names[1], "archived"),
        (names[2], "archived"),
    ]


def test_the_verb_says_where_there_is_nothing_to_archive(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, names = ended
    with closing(sqlite3.connect(archive.stage.database.path)) as connection, connection:
        connection.execute("UPDATE translations SET vtt_url = NULL")

    program = archive.stage.start(
        "archive", "archive", names[0], **archive.settings(simulator, archive_kinds="vtt")
    )

    assert program.wait() == 1
    assert f"nothing to archive: {names[0]}" in program.output


def test_the_verb_says_what_is_not_there_and_why(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, names = ended
    settings = archive.settings(simulator, archive_max_bytes=1000, archive_kinds="video")

    program = archive.stage.start("archive", "archive", names[0], "--json", **settings)

    assert program.wait() == 1
    assert "TRACKER_ARCHIVE_MAX_BYTES" in program.output
    [row] = archive.rows()
    assert (row["state"], row["location"]) == ("failed", None)
    assert archive.named() == []


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        ((), {}, 2, "name translations, or all with --all"),
        (("x", "--all"), {}, 2, "name translations, or all with --all"),
        (("--all", "--again"), {}, 2, "--again needs the ids"),
        (("nobody",), {}, 2, "'nobody' is not tracked"),
        (("--all",), {"archive": ""}, 2, "TRACKER_ARCHIVE is not set"),
        (("--all",), {"archive": "/no/such/folder"}, 3, "is no folder; make it, or mount its disk"),
        (("--all", "--timeout", "0"), {}, 4, "not all were archived after 0 s"),
    ],
)
def test_the_verb_ends_with_a_clear_word(
    archive: Archive,
    ended: tuple[Simulator, list[str]],
    arguments: tuple[str, ...],
    settings: dict[str, object],
    code: int,
    said: str,
) -> None:
    simulator, _ = ended

    program = archive.stage.start("archive", "archive", *arguments, **archive.settings(simulator, **settings))

    assert (program.wait(), said in program.output) == (code, True), program.output
    assert "Traceback" not in program.output


def test_the_figures_tell_what_is_archived_and_what_is_not(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[100_000, 100_000])
    names = simulator.client.create(["German", "French"])
    daemon = archive.stage.up(
        archive.stage.start("tracker", "run", **archive.settings(simulator, archive_kinds="video"))
    )
    archive.stage.database.track(names)
    daemon.program.until(lambda: archive.are_there(2), "both files")
    with closing(sqlite3.connect(archive.stage.database.path)) as connection, connection:
        connection.execute(
            "UPDATE archived_files SET state = 'failed', archived_at = NULL, next_attempt_at = NULL"
            " WHERE translation_id = 1"
        )

    text = daemon.get("/metrics").text

    assert 'tracker_archived_files_total{kind="video"} 2.0' in text
    assert "tracker_archived_bytes_total 200000.0" in text
    assert 'tracker_archive_files{state="failed"} 1.0' in text
    assert "tracker_archive_oldest_waiting_seconds 0.0" not in text
    assert daemon.program.terminate() == 0
