"""The repository as a whole: links, commands, decision records, nothing of anybody's machine."""

import re
import subprocess
from pathlib import Path

from tests.house.pages import DECISIONS, PAGES, ROOT, blocks

# Put together here, so that this file does not hold them itself.
FORBIDDEN = tuple(
    "".join(parts)
    for parts in (("/wo", "rk/"), ("/ro", "ot/"), ("/fa", "rm"), ("pypi", ".org"), ("pythonhosted", ".org"))
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADINGS = ["## Status", "## Context", "## Decision", "## Consequences"]


def test_the_relative_links_of_the_pages_work() -> None:
    broken = [
        (page.name, path)
        for page in PAGES
        for path, _ in _relative_links(page)
        if path and not (page.parent / path).exists()
    ]
    assert broken == []


def test_the_anchors_of_the_pages_work() -> None:
    broken = [
        (page.name, path, anchor)
        for page in PAGES
        for path, anchor in _relative_links(page)
        if anchor and anchor not in _anchors((page.parent / path) if path else page)
    ]
    assert broken == []


def _relative_links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each."""
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    return [(path, anchor) for path, _, anchor in (link.partition("#") for link in links)]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = [(page.name, target) for page in PAGES for target in _make_targets(page) - targets]

    assert unknown == []


def _make_targets(page: Path) -> set[str]:
    text = page.read_text()
    code = "\n".join([*blocks(text, "sh"), *blocks(text, "console"), *re.findall(r"`(make [^`]*)`", text)])
    return set(re.findall(r"^(?:\$ )?make ([a-z-]+)", code, re.MULTILINE))


def test_the_readme_shows_the_two_commands() -> None:
    shown = "\n".join(blocks((ROOT / "README.md").read_text(), "sh"))

    assert re.search(r"^make demo\b", shown, re.MULTILINE)
    assert re.search(r"^make test\b", shown, re.MULTILINE)


def test_a_decision_record_has_its_four_headings_in_order() -> None:
    for record in DECISIONS:
        lines = record.read_text().splitlines()

        assert re.fullmatch(rf"# {record.name[:4]}: .+", lines[0]), record.name
        assert [line for line in lines if line.startswith("## ")] == HEADINGS, record.name


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


def test_no_file_holds_a_path_of_a_machine_or_the_address_of_a_registry() -> None:
    holding = [(name, word) for name, text in _files() for word in FORBIDDEN if word in text]

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
