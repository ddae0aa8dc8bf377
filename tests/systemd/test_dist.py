"""`make dist`: what is in the wheel and in the sdist, and that one makes the other."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from .machine import ROOT
from .service import TrackerBox

UNITS = sorted(path.name for path in (ROOT / "systemd").iterdir())
MIGRATIONS = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))


def _build(tree: Path, into: Path, *targets: str) -> Path:
    """Build as `make dist` does; gives the one file that was made."""
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "--directory", str(into)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    [made] = into.iterdir()
    return made


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def test_the_wheel_holds_the_units_and_the_migrations(wheel: Path) -> None:
    names = _contents(wheel)

    assert {f"tracker/units/{name}" for name in UNITS} <= names.keys()
    assert {f"tracker/migrations/versions/{name}" for name in MIGRATIONS} <= names.keys()
    assert "tracker/migrations/env.py" in names
    assert [name for name in names if name.startswith("tests/") or "__pycache__" in name] == []


def test_the_sdist_holds_the_units_the_migrations_and_the_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {f"systemd/{name}" for name in UNITS} <= names
    assert {f"migrations/versions/{name}" for name in MIGRATIONS} <= names
    assert {"README.md", "LICENSE", "Makefile", "requirements.txt", "tests/systemd/sysbox"} <= names
    assert [name for name in names if name.startswith((".venv", "dist/", ".git/"))] == []


def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    subprocess.run(["tar", "--extract", "--file", sdist, "--directory", tmp_path / "tree"], check=True)
    [tree] = (tmp_path / "tree").iterdir()

    again = _build(tree, tmp_path / "again", "wheel")

    assert _contents(again) == _contents(wheel)


def test_make_dist_builds_both() -> None:
    recipe = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "dist"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    assert recipe.stdout.splitlines()[-1].endswith("-m hatchling build")


def test_what_is_installed_has_its_units_and_migrations(box: TrackerBox) -> None:
    program = "/opt/tracker/bin/tracker"

    assert (
        "ExecStart=/opt/tracker/bin/tracker run"
        in box.shell(f"{program} units --print tracker.service").stdout
    )
    migrated = box.shell(f"cd /run; TRACKER_DATABASE_URL=sqlite:///new.db {program} migrate").stdout
    assert MIGRATIONS[-1][:4] in migrated
