"""A stage for each test; when it fails, what its processes said stands below."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .processes import Stage

SHOWN = 8000  # characters of each process


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    try:
        yield stage
    finally:
        stage.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and isinstance(stage, Stage):
        for program in stage.programs:
            report.sections.append((f"output of {program.name}", program.output[-SHOWN:]))
    return report
