"""The two engines that the store's contract is tested on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.openers import Database, open_postgresql, open_sqlite
from tracker.store import slow_counts


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    monkeypatch.setattr(slow_counts, "REST", 0.0)  # on a busy machine every look takes long
    on_sqlite = request.param == "sqlite"
    opener = open_sqlite(tmp_path) if on_sqlite else open_postgresql(request.getfixturevalue("postgresql"))
    with opener as database:
        yield database
