"""What these tests share: a core as the settings put it together."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.databases import write_migrated
from tests.integration.look_alike import receiver_fixture, start_fixture  # noqa: F401 - fixtures
from tracker.daemon.database import open_database
from tracker.daemon.wiring import Services, open_services
from tracker.settings import Settings

Open = Callable[..., Coroutine[Any, Any, Services]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a core over one database, with these settings; nothing listens where its HeyGen should be."""
    write_migrated(tmp_path / "tracker.db")
    async with AsyncExitStack() as stack:

        async def open_with(**given: Any) -> Services:
            common = {
                "database_url": f"sqlite:///{tmp_path / 'tracker.db'}",
                "heygen_base_url": "http://127.0.0.1:9",
                "heygen_api_key": "a-key",
            }
            settings = Settings.model_validate(common | given)
            return await open_services(settings, open_database(settings), stack)

        yield open_with
