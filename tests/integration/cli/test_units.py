"""`tracker units`: files in a folder. As a whole it is proven in tests/systemd/, on a machine of its own."""

import shlex
import sys
from pathlib import Path

import pytest

from tracker.cli.units import (
    FILES,
    FIRST_SEVERAL,
    FIRST_START,
    MAKE_USER,
    MARK,
    PACKAGE,
    RELOAD,
    RESTART,
    RESTART_SEVERAL,
    RESTART_SOCKETS,
    RESTART_SOCKETS_SEVERAL,
    TEMPLATES,
    UNITS,
    _put,
    next_steps,
    refuse_hidden,
    shipped,
    this_program,
    what_it_runs_from,
    write,
)
from tracker.errors import InputError

from .conftest import Program

PROGRAM = Path("/srv/tracker/bin/tracker")
USER = "/srv/tracker/bin/tracker units --print sysusers.conf | systemd-sysusers --root=/ -"


def commands(text: str) -> list[str]:
    whole = text.replace("\\\n", " ").splitlines()  # a command may go on in the next line
    lines = [line.partition("=")[2] for line in whole if line.startswith("Exec")]
    return [line for line in lines if "tracker" in line]


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_three_units_are_written_with_the_program_s_path(tmp_path: Path) -> None:
    assert write(tmp_path, PROGRAM) == dict.fromkeys(UNITS, "written")

    found = contents(tmp_path)
    assert set(found) == set(UNITS)
    assert [str(PROGRAM) in line.split() for line in commands(found["tracker.service"])] == [True, True]
    assert "/opt/tracker" not in "".join(found.values())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, PROGRAM)
    before = {path: path.stat().st_ino for path in tmp_path.iterdir()}

    assert write(tmp_path, PROGRAM) == dict.fromkeys(UNITS, "unchanged")
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_only_what_differs_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, PROGRAM)
    (tmp_path / "tracker.socket").write_text(f"{MARK} By an older version.\n")
    (tmp_path / "tracker-admin.socket").unlink()

    assert write(tmp_path, PROGRAM) == {
        "tracker.service": "unchanged",
        "tracker.socket": "updated",
        "tracker-admin.socket": "written",
    }
    assert contents(tmp_path) == {name: shipped(name, PROGRAM) for name in UNITS}


@pytest.mark.parametrize("kind", ["another's", "empty", "masked", "a folder", "dangling"])
def test_what_somebody_else_wrote_is_refused_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tracker-admin.socket"
    match kind:
        case "another's":
            path.write_text("[Socket]\n# Written by `tracker units`.\n")
        case "empty":
            path.touch()
        case "masked":
            path.symlink_to("/dev/null")
        case "a folder":
            path.mkdir()
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(InputError) as refused:
        write(tmp_path, PROGRAM)

    assert str(refused.value).startswith(f"{path} was not written by `tracker units`, so nothing was changed")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_write_that_fails_midway_leaves_nothing_behind(tmp_path: Path) -> None:
    texts = {"tracker.service": "first", "tracker.socket": "\ud800"}  # no encoding has this

    with pytest.raises(UnicodeEncodeError):
        _put(tmp_path, texts)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^/proc/self cannot be written: .*; run this as root"):
        write(Path("/proc/self"), PROGRAM)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/opt/tracker/bin/tracker", "/opt/tracker/bin/tracker"),
        ("/srv/my tracker/bin/tracker", '"/srv/my tracker/bin/tracker"'),
        ("/srv/100%/bin/tracker", '"/srv/100%%/bin/tracker"'),
        ("/srv/a\"b\\c'd/tracker", '"/srv/a\\"b\\\\c\'d/tracker"'),
        ("/srv/gr\u00fcn;x/tracker", '"/srv/gr\u00fcn;x/tracker"'),
    ],
)
def test_a_path_is_written_as_systemd_reads_it(path: str, written: str) -> None:
    assert {
        line.removesuffix(" run --config /etc/tracker/tracker.toml")
        for line in commands(shipped("tracker.service", Path(path)))[:1]
    } == {written}


@pytest.mark.parametrize("path", ["/srv/two\nlines/tracker", "/srv/$HOME/tracker"])
def test_a_path_that_no_unit_can_hold_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="cannot be written into a unit"):
        shipped("tracker.service", Path(path))


def test_the_wrapper_has_the_path_as_a_shell_reads_it() -> None:
    program = Path("/srv/my $tracker/bin/tracker")

    [line] = [line for line in shipped("tracker.sh", program).splitlines() if line.startswith("program=")]

    assert shlex.split(line) == [f"program={program}"]


@pytest.mark.parametrize(
    "hidden", ["/home/anna/venv", "/root", "/run/user/1000/venv", "/tmp/venv", "/var/tmp/venv", "/home"]
)
def test_what_the_sandbox_hides_is_refused_with_the_way_out(hidden: str) -> None:
    with pytest.raises(InputError) as refused:
        refuse_hidden([Path("/usr"), Path(hidden)])

    assert f"runs from {hidden}, and the service's sandbox hides " in str(refused.value)
    assert "/usr/bin/python3 -m venv /opt/tracker" in str(refused.value)


def test_a_link_into_a_hidden_folder_is_refused(tmp_path: Path) -> None:
    link = Path("/var/lib") / "tracker-test-link"  # not made: only what it leads to counts
    refuse_hidden([link, Path("/opt/tracker"), Path("/homes/venv"), Path("/usr/bin/python3")])
    through = tmp_path / "opt"
    through.symlink_to("/home/anna")

    with pytest.raises(InputError, match="hides"):
        refuse_hidden([through])


def test_everything_that_it_runs_from_is_looked_at() -> None:
    looked = {path.resolve() for path in what_it_runs_from()}

    assert {Path(sys.prefix).resolve(), Path(sys.executable).resolve(), PACKAGE.resolve()} <= looked
    assert this_program().name == "tracker"


@pytest.mark.parametrize(
    ("states", "steps"),
    [
        (["written"] * 3, [USER, RELOAD, FIRST_START]),
        (["updated", "unchanged", "unchanged"], [USER, RELOAD, RESTART]),
        (["updated", "updated", "unchanged"], [USER, RELOAD, RESTART_SOCKETS]),
        (["unchanged", "unchanged", "updated"], [USER, RELOAD, RESTART_SOCKETS]),
        (["unchanged"] * 3, []),
    ],
)
def test_it_says_what_to_do_next(states: list[str], steps: list[str]) -> None:
    assert next_steps(dict(zip(UNITS, states, strict=True)), PROGRAM) == steps


@pytest.mark.parametrize(
    ("states", "steps"),
    [
        (["written"] * 3, [USER, RELOAD, FIRST_SEVERAL]),
        (["updated", "unchanged", "unchanged"], [USER, RELOAD, RESTART_SEVERAL]),
        (["unchanged", "unchanged", "updated"], [USER, RELOAD, RESTART_SOCKETS_SEVERAL]),
    ],
)
def test_of_templates_too(states: list[str], steps: list[str]) -> None:
    assert next_steps(dict(zip(TEMPLATES, states, strict=True)), PROGRAM) == steps


def test_templates_name_their_instance_and_share_the_port(tmp_path: Path) -> None:
    assert write(tmp_path, PROGRAM, tuple(TEMPLATES)) == dict.fromkeys(TEMPLATES, "written")

    found = contents(tmp_path)
    lines = [line for text in found.values() for line in text.splitlines() if not line.startswith("#")]
    named = [line for line in lines if ".service" in line or ".socket" in line]
    assert [line for line in named if "@%i." not in line and "postgresql" not in line] == []
    assert "ListenStream=127.0.0.1:8321\nReusePort=yes\n" in found["tracker@.socket"]
    assert "ListenStream=/run/tracker/admin-%i.sock\n" in found["tracker-admin@.socket"]


# The verb


@pytest.mark.parametrize("name", FILES)
def test_each_shipped_file_can_be_printed(tracker: Program, name: str) -> None:
    ran = tracker("units", "--print", name, database_url=None)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == shipped(name, this_program())
    assert tracker("units", "--print", name, "--json").json == {name: ran.out}


def test_another_file_is_not_printed(tracker: Program) -> None:
    ran = tracker("units", "--print", "../pyproject.toml")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(
        "error: there is no file ../pyproject.toml to print; choose one of tracker.service,"
    )


@pytest.mark.parametrize("folder", ["missing", "tracker.db"])
def test_a_folder_that_is_none_is_told(migrated: Program, folder: str) -> None:
    ran = migrated("units", folder)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: there is no folder {folder}; systemd looks in /etc/systemd/system\n"


def refusal() -> str:
    """Why this very checkout, or its interpreter, could not be a service; empty where it could."""
    try:
        refuse_hidden(what_it_runs_from())
    except InputError as error:
        return str(error)
    return ""


def test_the_verb_writes_them_or_says_why_this_checkout_cannot_be_a_service(
    tracker: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "units"
    folder.mkdir()

    ran = tracker("units", str(folder), "--json")

    if why := refusal():
        assert (ran.code, ran.out, ran.err) == (2, "", f"error: {why}\n")
        assert list(folder.iterdir()) == []
    else:
        assert ran.json["files"] == {str(folder / name): "written" for name in UNITS}
        assert ran.json["next"] == [MAKE_USER.format(shlex.quote(str(this_program()))), RELOAD, FIRST_START]
