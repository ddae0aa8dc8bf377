"""What the settings put together: the parts that ask HeyGen, and what is remembered of its API."""

import pytest

from tracker.daemon.database import clock
from tracker.daemon.heygen_wiring import HEYGEN_API
from tracker.tracking.recorder import registration

from .conftest import Open

pytestmark = pytest.mark.anyio


async def test_without_a_key_nothing_is_there_that_would_ask_heygen(opened: Open) -> None:
    services = await opened(heygen_api_key=None)
    assert services.heygen is None
    polling = services.polling
    assert (polling.paused, polling.api, polling.mode, polling.staleness) == ("no_api_key", None, None, None)


async def test_v2_has_neither_an_event_log_nor_a_list(opened: Open) -> None:
    services = await opened(heygen_api="v2", discover_interval=3600)
    assert services.heygen is not None
    assert (services.heygen.catch_up, services.heygen.sweeps) == (None, None)
    assert services.polling.api == "v2"


@pytest.mark.parametrize(("interval", "swept"), [(None, False), (3600, True)])
async def test_the_list_is_swept_only_where_a_setting_says_so(
    opened: Open, interval: int | None, *, swept: bool
) -> None:
    services = await opened(heygen_api="auto", discover_interval=interval)
    assert services.heygen is not None
    assert services.heygen.catch_up is not None
    assert services.heygen.sweeps is not None
    await services.heygen.sweeps.tick()
    assert (services.heygen.sweeps.last is not None) == swept


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
    services = await opened(heygen_api=setting)
    assert services.polling.api == api


async def test_the_figures_tell_the_plan_and_the_promise(opened: Open) -> None:
    services = await opened(heygen_api="v3", rate_limit=0.001, max_staleness=100)
    assert services.heygen is not None
    await services.tracker.register([registration(clock(), video_translate_id=f"{n:032x}") for n in range(9)])
    before, _ = await services.exposition()
    assert 'tracker_staleness_seconds{kind="planned"} NaN' in before.decode()

    await services.heygen.planner.tick()
    text, content_type = await services.exposition()
    assert content_type.startswith("text/plain")
    lines = text.decode().splitlines()
    assert (
        'tracker_staleness_seconds{kind="planned"} 180.0' in lines
    )  # 9, and a bulk takes half of 0.1 a second
    assert 'tracker_staleness_seconds{kind="promised"} 100.0' in lines
    assert 'tracker_polling_mode{mode="saturated"} 1.0' in lines
    assert 'tracker_translations{attention="none",status="pending"} 9.0' in lines
