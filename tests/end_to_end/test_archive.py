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

from tests.kept_files import KeptFiles
from tests.postgres import Server

from .processes import PROGRAM, Program, Simulator, Stage

LARGE = 24_000_000  # bytes of a video: several pieces that are durable
SLOW = 4_000_000  # bytes a second


class Archive:
    """A stage with a look-alike that has files, and a folder for them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.root = stage.directory / "archive"
        self.root.mkdir()
        self.kept = KeptFiles(self.root, stage.database.path)

    def simulator(self, **scenario: object) -> Simulator:
        return self.stage.simulator(serve_files=True, **scenario)

    def settings(self, simulator: Simulator, **more: object) -> dict[str, object]:
        host = urlsplit(simulator.client.base_url).netloc
        given = {"archive": self.root, "archive_min_free": "1MB", "file_hosts_unsafe": json.dumps([host])}
        return self.stage.settings(simulator, **given | more)

    def daemon(self, simulator: Simulator, **more: object) -> Program:
        return self.stage.up(self.stage.start("tracker", "run", **self.settings(simulator, **more))).program


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
        rows = archive.kept.rows()
        return success > 3 and len(rows) >= success and all(row["state"] == "archived" for row in rows)

    daemon.until(all_there, "every file to be archived", patience=90)
    archive.kept.check(simulator.truth())
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
    assert archive.kept.named() == []

    again = archive.daemon(simulator, **settings)
    again.until(lambda: archive.kept.are_there(1), "the whole file", patience=60)

    archive.kept.check(simulator.truth())
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
        assert sorted(map(str, archive.kept.named())) == sorted(location for _, location, _, _ in rows())
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

    [row] = archive.kept.rows()
    assert (row["state"], row["claimed_by"], row["attempts"]) == ("waiting", None, 0)
    [part] = (archive.root / ".parts").glob("*.part")
    assert part.stat().st_size > 1_000_000


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
    assert archive.kept.rows() == []
    return simulator, names


def test_the_verb_keeps_the_whole_history_beside_a_daemon(
    archive: Archive, ended: tuple[Simulator, list[str]]
) -> None:
    simulator, _ = ended
    daemon = archive.daemon(simulator)

    said = archive.stage.done("archive", "--all", "--json", **archive.settings(simulator))

    assert json.loads(said) == []
    assert len(archive.kept.rows()) >= 3
    assert archive.kept.are_there(len(archive.kept.rows()))
    archive.kept.check(simulator.truth())
    assert daemon.terminate() == 0


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
    rows = archive.kept.rows()
    size = decimal(sum(row["bytes"] for row in rows))
    assert re.search(rf"all files \S+ {len(rows)} of {len(rows)} files, {size} ", said), said
    assert f"{len(rows)} files archived by this command, {size}" in said
    assert re.search(
        r'^\{.*HTTP 500", "event": "file not archived; will be retried".*\}\s*$', said, re.MULTILINE
    ), said
    for line in archive.kept.lines():
        assert f"{line}\n" in said


def test_the_figures_tell_what_is_archived_and_what_is_not(archive: Archive) -> None:
    simulator = archive.simulator(file_bytes=[100_000, 100_000])
    names = simulator.client.create(["German", "French"])
    daemon = archive.stage.up(
        archive.stage.start("tracker", "run", **archive.settings(simulator, archive_kinds="video"))
    )
    archive.stage.database.track(names)
    daemon.program.until(lambda: archive.kept.are_there(2), "both files")
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
