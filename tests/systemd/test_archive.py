"""docs/archive.md, for a service: where the sandbox lets it keep files, and who can read them then."""

import json
from typing import Any

from tests.house.pages import ROOT, blocks, section

from .service import HEYGEN, STATE, HeyGen, TrackerBox, simulator_in

TEXT = section(ROOT / "docs" / "archive.md", "### Under systemd")
OWN_FOLDER, GROUP_AND_FOLDER, RESTART = blocks(TEXT, "sh")
[DROP_IN] = blocks(TEXT, "ini")
DROP_IN_PATH = DROP_IN.splitlines()[0].removeprefix("# ")
WAY_OUT = "under systemd ReadWritePaths= as well: docs/archive.md has the commands"
OWN, ELSEWHERE = f"{STATE}/archive", "/srv/heygen"
ROWS = "SELECT kind, state, location, sha256 FROM archived_files ORDER BY translation_id, kind"


def archiving(box: TrackerBox, folder: str) -> HeyGen:
    """A look-alike with files, and settings that take them; the service runs, as after an installation."""
    heygen = simulator_in(box, {"serve_files": True, "file_bytes": [200_000, 300_000]})
    box.start()
    hosts = [f"127.0.0.1:{HEYGEN}"]
    box.configure(archive=folder, archive_kinds="video", archive_min_free="1MB", file_hosts_unsafe=hosts)
    return heygen


def archived(box: TrackerBox, count: int = 1) -> list[dict[str, Any]]:
    """The rows of so many files, once they are there."""

    def look() -> list[dict[str, Any]] | None:
        rows = box.query(ROWS)
        return rows if [row["state"] for row in rows] == ["archived"] * count else None

    return box.wait_for(look, 60, why="the files to be archived")


def modes(box: TrackerBox, folder: str) -> set[str]:
    """Kind, mode and group of all that lies below."""
    found = box.run("find", folder, "-mindepth", "1", "-printf", "%y %m %g\\n", check=True).stdout
    return set(found.splitlines())


def read_by(box: TrackerBox, location: str, *groups: str) -> str:
    """The checksum that somebody in these groups gets; what is refused is empty."""
    who = [
        "--reuid=nobody",
        "--regid=nogroup",
        f"--groups={','.join(groups)}" if groups else "--clear-groups",
    ]
    return box.run("setpriv", *who, "sha256sum", location).stdout.partition(" ")[0]


def true_sums(heygen: HeyGen) -> set[str]:
    return {one["files"]["original.mp4"]["sha256"] for one in heygen.truth()["translations"]}


def test_a_folder_of_its_own_is_for_the_service_alone(box: TrackerBox) -> None:
    heygen = archiving(box, OWN)
    box.shell(OWN_FOLDER)
    box.shell(RESTART)

    heygen.create()

    [row] = archived(box)
    assert box.shell(f"sha256sum '{row['location']}'").stdout[:64] == row["sha256"]
    assert {row["sha256"]} == true_sums(heygen)
    assert {one.split()[1] for one in modes(box, "/var/lib/private/tracker/archive")} == {"700", "600"}
    assert read_by(box, row["location"]) == ""


def test_a_folder_elsewhere_needs_the_drop_in_and_then_its_group_can_read(box: TrackerBox) -> None:
    heygen = archiving(box, ELSEWHERE)
    box.shell(GROUP_AND_FOLDER)
    box.shell(RESTART)
    heygen.create()

    reason = box.event("archive paused")["reason"]
    assert (f"the archive needs to write to {ELSEWHERE}; its user" in reason, WAY_OUT in reason) == (
        True,
        True,
    )
    assert box.run("ls", "-A", ELSEWHERE).stdout == ""

    box.write(DROP_IN_PATH, DROP_IN)
    box.shell(RESTART)

    [row] = archived(box)
    assert {row["sha256"]} == true_sums(heygen) == {read_by(box, row["location"], "films")}
    assert read_by(box, row["location"]) == ""
    assert modes(box, ELSEWHERE) == {"d 2750 films", "f 640 films"}


def test_the_verb_writes_as_the_service_does(box: TrackerBox) -> None:
    heygen = archiving(box, ELSEWHERE)
    box.shell(GROUP_AND_FOLDER)
    box.write(DROP_IN_PATH, DROP_IN)
    box.systemctl("daemon-reload")
    [name] = heygen.create()  # the running daemon does not know the archive yet
    box.wait_for(lambda: (box.row(name) or {}).get("status") == "success", why="its end")
    assert box.query(ROWS) == []

    told = json.loads(box.tracker("archive", name, "--json").stdout)

    assert [(row["kind"], row["state"]) for row in told] == [("video", "archived")]
    assert read_by(box, told[0]["location"], "films") == told[0]["sha256"]
    assert modes(box, ELSEWHERE) == {"d 2750 films", "f 640 films"}


def test_a_folder_that_rights_or_the_sandbox_close_is_named_with_the_way_out(box: TrackerBox) -> None:
    """Where others may write, the sandbox alone refuses, and says so in other words."""
    heygen = archiving(box, OWN)
    box.shell(OWN_FOLDER.splitlines()[0])
    box.shell(RESTART)
    heygen.create()

    of_roots = box.event("archive paused")["reason"]
    assert ("Permission denied" in of_roots, WAY_OUT in of_roots) == (True, True)

    box.configure(archive=ELSEWHERE)
    box.shell(f"install -d -m 777 {ELSEWHERE}")
    box.shell(RESTART)

    of_everyone = box.event("archive paused", count=2)["reason"]
    assert ("Read-only file system" in of_everyone, WAY_OUT in of_everyone) == (True, True)
