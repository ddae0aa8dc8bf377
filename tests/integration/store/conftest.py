"""What these tests share: an empty database on either engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.store.places import OnPostgresql, OnSqlite, Storage
from tracker.store.engine import Engines, open_engines


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty database on either engine."""
    if request.param == "sqlite":
        yield OnSqlite(tmp_path / "tracker.db")
        return
    server = request.getfixturevalue("postgresql")
    with server.database() as name:
        yield OnPostgresql(server, name)


@pytest.fixture
def either(place: Storage) -> Iterator[Engines]:
    engines = open_engines(place.url)
    yield engines
    engines.dispose()
