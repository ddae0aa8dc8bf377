"""A store that most units are tested with: a real one, on a SQLite file of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.openers import Database, open_sqlite
from tracker.store import slow_counts


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(slow_counts, "REST", 0.0)  # on a busy machine every look takes long
    with open_sqlite(tmp_path) as database:
        yield database
