"""A core that goes on with other settings, as it does at a reload."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tracker.daemon.database import clock
from tracker.daemon.wiring import Services
from tracker.domain.retention import Keep
from tracker.polling.gate import Reason
from tracker.settings import Settings
from tracker.tracking.recorder import registration

from .conftest import Open

pytestmark = pytest.mark.anyio

DEADLINE = 10.0


@pytest.fixture
async def heygen_url() -> AsyncIterator[str]:
    """A HeyGen that knows the key `new` alone, and for which everything is running."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        is_known = "x-api-key: new\r\n" in request
        body = json.dumps({"data": {"status": "running"}} if is_known else {}).encode()
        status = "200 OK" if is_known else "401 Unauthorized"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def adopt(services: Services, **changed: Any) -> None:
    wanted = services.settings.model_dump(exclude_unset=True) | changed
    services.adopt(services.settings.reloaded(Settings.model_validate(wanted)).settings)


async def track(services: Services, count: int = 1, *, age: timedelta = timedelta()) -> None:
    at = clock() - age
    await services.tracker.register([registration(at, video_translate_id=f"{n:032x}") for n in range(count)])


async def test_a_new_key_is_tried_at_once_where_the_old_one_was_rejected(
    opened: Open, heygen_url: str
) -> None:
    given = {"heygen_api": "v2", "heygen_base_url": heygen_url, "heygen_api_key": "old"}
    services = await opened(**given, concurrency=1)
    await track(services, 2)  # one is asked about and put off, the other is due
    await services.poller.run_once()
    assert services.polling.paused == Reason.KEY_REJECTED

    adopt(services, heygen_api_key="old")
    assert await services.poller.run_once() == {}
    adopt(services, heygen_api_key="new")
    assert await services.poller.run_once() == {"running": 1}
    assert services.polling.paused is None


async def test_a_higher_rate_limit_holds_for_the_next_question_and_the_next_plan(
    opened: Open, heygen_url: str
) -> None:
    given = {"heygen_api": "v2", "heygen_base_url": heygen_url, "heygen_api_key": "new"}
    services = await opened(**given, rate_limit=0.001)
    assert services.heygen is not None
    await track(services, 3)
    await services.heygen.planner.tick()
    assert services.polling.mode == "saturated"

    adopt(services, rate_limit=1000)
    await services.heygen.planner.tick()
    assert services.polling.mode == "eager"
    async with asyncio.timeout(DEADLINE):  # at the old one they would take half an hour
        assert await services.poller.run_once() == {"running": 3}


async def test_intervals_and_the_promise_hold_for_every_part(opened: Open) -> None:
    services = await opened(poll_min_interval=15, poll_max_interval=600, max_staleness=60)
    assert services.heygen is not None
    assert services.heygen.catch_up is not None

    adopt(services, poll_min_interval=20, poll_max_interval=90, max_staleness=30, give_up_after=7200)

    schedule = services.tracker.schedule
    assert (schedule.min_interval, schedule.max_interval) == (timedelta(seconds=20), timedelta(seconds=90))
    assert schedule.give_up_after == timedelta(hours=2)
    assert services.poller.gate.schedule == schedule
    assert schedule.max_staleness == timedelta(seconds=30)
    assert services.polling.promised == 30


async def test_what_counts_as_overdue_follows(opened: Open) -> None:
    services = await opened(overdue_after=86_400)
    await track(services, age=timedelta(hours=2))
    await services.poller.flag_overdue()
    assert (await services.repository.health())["overdue"] == 0

    adopt(services, overdue_after=3600)
    await services.poller.flag_overdue()
    assert (await services.repository.health())["overdue"] == 1


async def test_secrets_that_were_added_count_and_those_removed_do_not(opened: Open) -> None:
    services = await opened(webhook_secrets={"old": "whsec_a"})
    adopt(services, webhook_secrets={"new": "whsec_b"}, webhook_secret="whsec_c")
    assert services.webhook_secrets.secrets() == {"new": "whsec_b", "main": "whsec_c"}


async def test_how_long_rows_are_kept_follows(opened: Open) -> None:
    services = await opened(heygen_api_key=None)
    assert await services.retention.backlog() == {"delivery_bodies": 0, "deliveries": 0}

    adopt(services, keep_delivery_bodies=86_400, keep_deliveries=2 * 86_400, keep_finished=3 * 86_400)
    one, two, three = (timedelta(days=days) for days in (1, 2, 3))
    assert services.retention.keep == Keep(delivery_bodies=one, deliveries=two, finished=three)
    text, _ = await services.exposition()
    assert 'tracker_retention_backlog{kind="translations"} 0.0' in text.decode().splitlines()


async def test_sweeps_begin_and_end_as_the_setting_comes_and_goes(opened: Open) -> None:
    services = await opened()
    assert services.heygen is not None
    sweeps = services.heygen.sweeps
    assert sweeps is not None

    adopt(services, discover_interval=3600)
    await sweeps.tick()
    first = sweeps.last
    assert first is not None
    adopt(services, discover_interval=None)
    await sweeps.tick()
    assert sweeps.last is first
    adopt(services, discover_interval=7200)
    await sweeps.tick()
    assert sweeps.last is not first


async def test_without_a_key_all_but_the_asking_follows(opened: Open) -> None:
    services = await opened(heygen_api_key=None)
    adopt(services, heygen_api_key="new", webhook_secret="whsec_c", max_staleness=30)
    assert services.polling.paused == Reason.NO_API_KEY
    assert services.settings.heygen_api_key is None
    assert services.webhook_secrets.secrets() == {"main": "whsec_c"}
    assert services.tracker.schedule.max_staleness == timedelta(seconds=30)


@pytest.mark.parametrize("freshness", ["off", "always", "on_demand"])
async def test_links_are_kept_fresh_as_the_new_settings_say(opened: Open, freshness: str) -> None:
    services = await opened(keep_links_fresh="always" if freshness == "off" else "off")
    adopt(services, keep_links_fresh=freshness)
    assert services.links.freshness == freshness
    assert services.heygen is not None
    assert services.heygen.renewals.is_on == (freshness == "always")
