"""The two engines that every contract of the store is tested on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.openers import Opened, open_postgresql, open_sqlite


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    opener = (
        open_sqlite(tmp_path)
        if request.param == "sqlite"
        else open_postgresql(request.getfixturevalue("postgresql"))
    )
    with opener as opened:
        yield opened
