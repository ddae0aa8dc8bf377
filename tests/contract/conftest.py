"""The two engines that the store's contract is tested on, and the fake for what the core asks of it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.contract.openers import Opened, open_postgresql, open_sqlite
from tests.contract.scene import Scene, open_fake


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with _engine(request, tmp_path) as opened:
        yield opened


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    if request.param == "fake":
        with open_fake() as fake:
            yield fake
    else:
        with _engine(request, tmp_path) as opened:
            yield opened


def _engine(request: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[Opened]:
    if request.param == "sqlite":
        return open_sqlite(folder)
    return open_postgresql(request.getfixturevalue("postgresql"))
