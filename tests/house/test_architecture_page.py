"""docs/architecture.md is the house as it is."""

import ast
import re
import tomllib

import pytest

from tests.house.pages import ARCHITECTURE, ROOT, blocks, rows, section
from tracker.store.tables import metadata

MODULES = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "tracker").rglob("*.py")
    if path.name != "__init__.py" or path.parent.name == "cli"
}
NOT_ROOMS = {"__init__.py", "__pycache__", "py.typed"}
README = ROOT / "README.md"
STEP = re.compile(r"^\d+\. .*?(?=^\d+\. |^$|\Z)", re.MULTILINE | re.DOTALL)
# Class.method, a class, a public function with a _ in its name; plain words may be values
NAME = re.compile(r"`([A-Z]\w+\.\w+|[A-Z]\w+|[a-z]+(?:_[a-z]+)+)`")
FOLLOWED = re.findall(r"^## .+, followed$", ARCHITECTURE.read_text(), re.MULTILINE)


def test_every_module_has_a_row_and_no_other() -> None:
    assert set(rows(section(ARCHITECTURE, "## Modules"))) == MODULES | {"migrations/"}


def test_both_maps_list_the_rooms_of_which_there_are_15_at_most() -> None:
    top = [path for path in (ROOT / "tracker").iterdir() if path.name not in NOT_ROOMS]
    rooms = {f"tracker/{path.name}{'/' if path.is_dir() else ''}" for path in top}

    assert len(rooms) <= 15
    assert set(rows(section(ARCHITECTURE, "## The rooms"))) == rooms
    assert {name for name in rooms if name.endswith("/")} <= set(rows(section(README, "## The map")))


def test_every_path_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:tracker|migrations|tests|docs)/[\w./-]*)`", ARCHITECTURE.read_text()))

    assert named
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_the_import_rule_is_the_one_that_is_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract for contract in contracts if contract["type"] == "layers"]

    told = [block.split("\n")[:-1] for block in blocks(section(ARCHITECTURE, "## The rooms"), "")]
    assert layers["exhaustive"]
    assert told == [layers["layers"]]


@pytest.mark.parametrize("heading", FOLLOWED)
def test_every_name_on_the_way_exists_and_stands_in_a_file_of_its_step(heading: str) -> None:
    known = set().union(*map(_defined, MODULES)) | _columns()
    for step in STEP.findall(section(ARCHITECTURE, heading)):
        paths = re.findall(r"`(tracker/[\w/]+\.py)`", step)
        code = "\n".join((ROOT / path).read_text() for path in paths)
        for name in NAME.findall(step):
            assert name in known, f"no such name: {name}"
            short = name.rpartition(".")[2]
            assert not paths or re.search(rf"\b{short}\b", code), f"{name} is not in {paths}"


def test_the_page_follows_the_main_ways_by_public_names() -> None:
    assert {"## A webhook, followed", "## A poll, followed", "## A file, followed"} <= set(FOLLOWED)
    assert re.findall(r"`(?:\w+\.)?_[a-z]\w*`", ARCHITECTURE.read_text()) == []


def _defined(path: str) -> set[str]:
    """The classes and functions of a file; methods by their own name and as Class.method."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def _columns() -> set[str]:
    return {column.name for table in metadata.tables.values() for column in table.columns}
