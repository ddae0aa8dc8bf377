"""docs/installing.md fits this version; its commands are run in tests/systemd/test_install.py."""

import re

from tests.house.pages import ROOT, blocks, rows, section
from tracker import __version__
from tracker.store.schema import revisions

PAGE = ROOT / "docs" / "installing.md"
README = ROOT / "README.md"
VERSION = __version__


def commands(text: str) -> list[str]:
    lines = "".join(blocks(text, "sh")).splitlines()
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def wheels(text: str) -> set[str]:
    return set(re.findall(r"heygen_tracker-([\d.]+)-py3-none-any\.whl", text))


def test_the_readme_s_commands_are_those_of_the_page_in_the_same_order() -> None:
    told = commands(section(README, "## Run it as a service"))
    page = iter(commands(section(PAGE, "## Install")))

    assert len(told) > 5
    assert [line for line in told if line not in page] == []  # an iterator goes on where it stopped


def test_the_wheels_are_those_of_this_version_and_of_a_newer_one() -> None:
    assert wheels(README.read_text()) == {VERSION}
    assert wheels(section(PAGE, "## Install")) == wheels(section(PAGE, "## Rollback")) == {VERSION}
    [newer] = wheels(section(PAGE, "## Upgrade"))
    assert [int(number) for number in newer.split(".")] > [int(number) for number in VERSION.split(".")]


def test_a_rollback_goes_to_the_schema_of_this_version() -> None:
    text = section(PAGE, "## Rollback")

    assert re.findall(rf"^\| {re.escape(VERSION)} \| `(\w+)` \|$", text, re.MULTILINE) == [
        revisions.needed_revision()
    ]
    assert f"tracker migrate --to {revisions.needed_revision()}" in commands(text)


def test_the_troubleshooting_names_the_exit_codes_of_a_service_that_does_not_start() -> None:
    told = " ".join(rows(section(PAGE, "## Troubleshooting")))

    assert {
        code for code in ("243/CREDENTIALS", "203/EXEC", "status=2", "status=3") if code not in told
    } == set()
