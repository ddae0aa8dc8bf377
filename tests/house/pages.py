"""The documents as the tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
DATABASE = ROOT / "docs" / "database.md"
LINKS = ROOT / "docs" / "links.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level or a higher one."""
    level = heading.partition(" ")[0]
    text = page.read_text()
    prose = re.sub(r"^```.*?^```$", lambda block: " " * len(block[0]), text, flags=re.MULTILINE | re.DOTALL)
    start = re.search(rf"^{re.escape(heading)}$", prose, re.MULTILINE)
    assert start is not None, f"{page.name} has no {heading!r}"
    end = re.search(rf"^#{{1,{len(level)}}} ", prose[start.end() :], re.MULTILINE)
    return text[start.end() :][: end.start() if end else None]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the tables in `text`: the first cell, without backticks, and all the others."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            assert first not in found, f"told twice: {first}"
            found[first.strip("`")] = others
    return found


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
