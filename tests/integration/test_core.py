"""What the settings put together: the parts that ask HeyGen, and what is remembered of its API."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tracker.core import HEYGEN_API, Core, clock, open_core, open_database
from tracker.settings import Settings
from tracker.store import schema
from tracker.tracking import registration

pytestmark = pytest.mark.anyio

Open = Callable[..., Coroutine[Any, Any, Core]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a core over one database, with these settings; nothing listens where its HeyGen should be."""
    async with AsyncExitStack() as stack:

        async def open_with(**given: Any) -> Core:
            common = {
                "database_url": f"sqlite:///{tmp_path / 'tracker.db'}",
                "heygen_base_url": "http://127.0.0.1:9",
                "heygen_api_key": "a-key",
            }
            settings = Settings.model_validate(common | given)
            engines = open_database(settings)
            schema.migrate(engines.writer)
            return await open_core(settings, engines, stack)

        yield open_with


async def test_without_a_key_nothing_is_there_that_would_ask_heygen(opened: Open) -> None:
    core = await opened(heygen_api_key=None)
    assert core.heygen is None
    polling = core.polling
    assert (polling.paused, polling.api, polling.mode, polling.staleness) == ("no_api_key", None, None, None)


async def test_v2_has_neither_an_event_log_nor_a_list(opened: Open) -> None:
    core = await opened(heygen_api="v2", discover_interval=3600)
    assert core.heygen is not None
    assert (core.heygen.catch_up, core.heygen.sweeps) == (None, None)
    assert core.polling.api == "v2"


@pytest.mark.parametrize(("interval", "sweeps"), [(None, False), (3600, True)])
async def test_the_list_is_swept_only_where_a_setting_says_so(
    opened: Open, interval: int | None, *, sweeps: bool
) -> None:
    core = await opened(heygen_api="auto", discover_interval=interval)
    assert core.heygen is not None
    assert (core.heygen.catch_up is not None, core.heygen.sweeps is not None) == (True, sweeps)


@pytest.mark.parametrize(
    ("setting", "known", "api"),
    [("auto", None, "v2"), ("auto", "v3", "v3"), ("v2", "v3", "v2"), ("v3", None, "v3")],
)
async def test_auto_goes_on_with_the_api_that_an_earlier_run_found(
    opened: Open, setting: str, known: str | None, api: str
) -> None:
    earlier = await opened(heygen_api_key=None)
    if known is not None:
        await earlier.repository.remember(HEYGEN_API, known)
    core = await opened(heygen_api=setting)
    assert core.polling.api == api


async def test_the_figures_tell_the_plan_and_the_promise(opened: Open) -> None:
    core = await opened(heygen_api="v3", rate_limit=0.001, max_staleness=100)
    assert core.heygen is not None
    await core.tracker.register([registration(clock(), video_translate_id=f"{n:032x}") for n in range(9)])
    before, _ = await core.exposition()
    assert 'tracker_staleness_seconds{kind="planned"} NaN' in before.decode()

    await core.heygen.planner.tick()
    text, content_type = await core.exposition()
    assert content_type.startswith("text/plain")
    lines = text.decode().splitlines()
    assert (
        'tracker_staleness_seconds{kind="planned"} 180.0' in lines
    )  # 9, and a bulk takes half of 0.1 a second
    assert 'tracker_staleness_seconds{kind="promised"} 100.0' in lines
    assert 'tracker_polling_mode{mode="saturated"} 1.0' in lines
    assert 'tracker_translations{attention="none",status="pending"} 9.0' in lines
