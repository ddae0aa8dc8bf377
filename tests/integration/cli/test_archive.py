"""`tracker archive`: which files it keeps, what it prints, and how it ends."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from rich.filesize import decimal

from tests.kept_files import KeptFiles
from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

from .conftest import Program, Ran

KEY = "simulator-key"


class Archive:
    """The verb, three successes from before the archive was on, and a folder."""

    def __init__(self, program: Program, simulator: SimulatorClient) -> None:
        self.program, self.simulator = program, simulator
        self.root = program.directory / "archive"
        self.root.mkdir()
        self.kept = KeptFiles(self.root, program.path)
        self.names = simulator.create(["German", "French", "Urdu"])
        program.track(*self.names)
        assert self.run("poll").out == "3 polls: 3 success\n"

    def run(self, *arguments: str, **settings: object) -> Ran:
        given: dict[str, Any] = {
            "heygen_base_url": self.simulator.base_url,
            "heygen_api_key": KEY,
            "rate_limit": 500,
            "archive": self.root,
            "archive_min_free": "1MB",
            "file_hosts_unsafe": json.dumps([urlsplit(self.simulator.base_url).netloc]),
        }
        return self.program(*arguments, **given | settings)

    def __call__(self, *arguments: str, **settings: object) -> Ran:
        return self.run("archive", *arguments, **settings)

    def check(self) -> None:
        self.kept.check(self.simulator.truth())


@pytest.fixture
def archive(migrated: Program) -> Iterator[Archive]:
    scenario = Scenario(
        pending_seconds=(0, 0), running_seconds=(0, 0), serve_files=True, file_bytes=(100_000, 200_000)
    )
    with running(create_app(scenario)) as url, SimulatorClient(url) as client:
        archive = Archive(migrated, client)
        migrated.execute("DELETE FROM archived_files")  # of a time without an archive
        yield archive


def test_named_translations_are_kept_with_a_line_for_each_file(archive: Archive) -> None:
    ran = archive(archive.names[0])

    assert ran.code == 0
    assert {row["name"] for row in archive.kept.rows()} == {archive.names[0]}
    assert ran.out.splitlines() == archive.kept.lines()
    archive.check()


def test_the_whole_history_gets_a_line_for_each_file_and_a_sum(archive: Archive) -> None:
    ran = archive("--all")

    rows = archive.kept.rows()
    size = sum(row["bytes"] for row in rows)
    assert len(rows) >= 3
    assert sorted(ran.out.splitlines()) == sorted(archive.kept.lines())
    assert ran.err.splitlines() == [
        f"{len(rows)} files to archive",
        f"{len(rows)} files archived by this command, {decimal(size)}",
    ]


def test_an_expired_link_is_renewed_and_the_file_is_kept(archive: Archive) -> None:
    archive.simulator.revoke_links()

    assert archive(archive.names[0]).code == 0
    archive.check()


@pytest.mark.parametrize("which", ["--all", "named"])
def test_a_refused_key_ends_the_verb_and_a_better_one_is_tried_at_once(archive: Archive, which: str) -> None:
    archive.simulator.revoke_links()
    what = ("--all",) if which == "--all" else tuple(archive.names)

    ran = archive(*what, heygen_api_key="wrong")

    assert ran.code == 3
    assert "key_rejected" in ran.err
    assert archive.kept.named() == []
    archive.program.execute("DELETE FROM tracker_state")  # the account's rest is over
    assert archive(*what).code == 0
    archive.check()


def test_a_reopened_translation_holds_up_no_other(archive: Archive) -> None:
    name, *others = archive.names
    assert archive.run("reopen", name).code == 0
    archive.program.execute(
        "INSERT INTO archived_files (translation_id, kind, finished_at, next_attempt_at)"
        " SELECT id, 'video', '2026-11-23 12:00:00.000000', '2026-11-23 12:00:00.000000'"
        f" FROM translations WHERE video_translate_id = '{name}'"
    )

    assert archive("--all", archive_kinds="video").code == 0

    states = {row["name"]: row["state"] for row in archive.kept.rows()}
    assert states == {name: "waiting", **dict.fromkeys(others, "archived")}


def test_a_translation_without_a_file_of_that_kind_is_named(archive: Archive) -> None:
    archive.program.execute("UPDATE translations SET vtt_url = NULL")

    ran = archive(archive.names[0], archive_kinds="vtt")

    assert ran.code == 1
    assert f"nothing to archive: {archive.names[0]}" in ran.err


def test_a_file_that_is_too_large_is_named_with_the_setting(archive: Archive) -> None:
    ran = archive(archive.names[0], "--json", archive_max_bytes=1000, archive_kinds="video")

    assert ran.code == 1
    assert "TRACKER_ARCHIVE_MAX_BYTES" in ran.err
    [row] = archive.kept.rows()
    assert (row["state"], row["location"]) == ("failed", None)
    assert archive.kept.named() == []


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "words"),
    [
        ((), {}, 2, "use either IDs or --all"),
        (("x", "--all"), {}, 2, "use either IDs or --all"),
        (("--all", "--again"), {}, 2, "--again: needs IDs"),
        (("nobody",), {}, 2, "'nobody' is not tracked"),
        (("--all",), {"archive": ""}, 2, "TRACKER_ARCHIVE is not set"),
        (("--all",), {"archive": "/no/such/folder"}, 3, "is no folder; make it, or mount its disk"),
        (("--all", "--timeout", "0"), {}, 4, "not all files were archived within 0 s"),
    ],
)
def test_wrong_input_ends_with_a_clear_error(
    archive: Archive, arguments: tuple[str, ...], settings: dict[str, object], code: int, words: str
) -> None:
    ran = archive(*arguments, **settings)

    assert (ran.code, words in ran.err) == (code, True), ran
