"""The repository as a whole: links, commands, decision records, nothing of anybody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.house.pages import DECISIONS, PAGES, ROOT, blocks

# Put together here, so that this file does not hold them itself.
FORBIDDEN = tuple(
    "".join(parts)
    for parts in (("/wo", "rk/"), ("/ro", "ot/"), ("/fa", "rm"), ("pypi", ".org"), ("pythonhosted", ".org"))
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADINGS = ["## Status", "## Context", "## Decision", "## Consequences"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_relative_links_of_a_page_work(page: Path) -> None:
    targets = [link.partition("#") for link in LINK.findall(page.read_text()) if "://" not in link]

    broken = [path for path, _, _ in targets if path and not (page.parent / path).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_anchors_of_a_page_work(page: Path) -> None:
    targets = [link.partition("#") for link in LINK.findall(page.read_text()) if "://" not in link]

    broken = [
        anchor
        for path, _, anchor in targets
        if anchor and anchor not in _anchors((page.parent / path) if path else page)
    ]
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_make_targets_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    code = "\n".join([*blocks(text, "sh"), *blocks(text, "console"), *re.findall(r"`(make [^`]*)`", text)])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"^(?:\$ )?make ([a-z-]+)", code, re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_shows_the_two_commands(command: str) -> None:
    shown = "\n".join(blocks((ROOT / "README.md").read_text(), "sh"))

    assert re.search(rf"^{command}\b", shown, re.MULTILINE)


@pytest.mark.parametrize("record", DECISIONS, ids=lambda record: record.name)
def test_a_decision_record_has_its_four_headings_in_order(record: Path) -> None:
    lines = record.read_text().splitlines()

    assert re.fullmatch(rf"# {record.name[:4]}: .+", lines[0])
    assert [line for line in lines if line.startswith("## ")] == HEADINGS


def test_the_decision_records_are_numbered_without_a_gap() -> None:
    assert [int(record.name[:4]) for record in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_facts_about_heygen_have_every_section_that_is_cited() -> None:
    facts = (ROOT / "docs" / "heygen-api.md").read_text()
    sections = {int(number) for number in re.findall(r"^## (\d)\. ", facts, re.MULTILINE)}
    cited = {
        int(number)
        for path in [*(ROOT / "tracker").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
        for numbers in re.findall(r"heygen-api sections? (\d(?:-\d)?)", path.read_text())
        for number in numbers.split("-")
    }

    assert sections == {1, 2, 3, 4, 5}
    assert cited
    assert cited <= sections


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_no_file_holds_a_path_of_a_machine_or_the_address_of_a_registry(forbidden: str) -> None:
    holding = [name for name, text in _files() if forbidden in text]

    assert holding == []


def _files() -> list[tuple[str, str]]:
    """Every file that is in the repository, or would be after `git add`; what is not text is let through."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [(name, (ROOT / name).read_text(errors="replace")) for name in names]
