"""A core that goes on with other settings, as it does at a reload."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tracker.daemon.database import clock
from tracker.daemon.wiring import Core
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


def adopt(core: Core, **changed: Any) -> None:
    wanted = core.settings.model_dump(exclude_unset=True) | changed
    core.adopt(core.settings.reloaded(Settings.model_validate(wanted)).settings)


async def track(core: Core, count: int = 1, *, age: timedelta = timedelta()) -> None:
    at = clock() - age
    await core.tracker.register([registration(at, video_translate_id=f"{n:032x}") for n in range(count)])


async def test_a_new_key_is_tried_at_once_where_the_old_one_was_rejected(
    opened: Open, heygen_url: str
) -> None:
    given = {"heygen_api": "v2", "heygen_base_url": heygen_url, "heygen_api_key": "old"}
    core = await opened(**given, concurrency=1)
    await track(core, 2)  # one is asked about and put off, the other is due
    await core.poller.run_once()
    assert core.polling.paused == Reason.KEY_REJECTED

    adopt(core, heygen_api_key="old")
    assert await core.poller.run_once() == {}
    adopt(core, heygen_api_key="new")
    assert await core.poller.run_once() == {"running": 1}
    assert core.polling.paused is None


async def test_a_higher_rate_limit_holds_for_the_next_question_and_the_next_plan(
    opened: Open, heygen_url: str
) -> None:
    given = {"heygen_api": "v2", "heygen_base_url": heygen_url, "heygen_api_key": "new"}
    core = await opened(**given, rate_limit=0.001)
    assert core.heygen is not None
    await track(core, 3)
    await core.heygen.planner.tick()
    assert core.polling.mode == "saturated"

    adopt(core, rate_limit=1000)
    await core.heygen.planner.tick()
    assert core.polling.mode == "eager"
    async with asyncio.timeout(DEADLINE):  # at the old one they would take half an hour
        assert await core.poller.run_once() == {"running": 3}


async def test_intervals_and_the_promise_hold_for_every_part(opened: Open) -> None:
    core = await opened(poll_min_interval=15, poll_max_interval=600, max_staleness=60)
    assert core.heygen is not None
    assert core.heygen.catch_up is not None

    adopt(core, poll_min_interval=20, poll_max_interval=90, max_staleness=30, give_up_after=7200)

    cadence = core.tracker.cadence
    assert (cadence.min_interval, cadence.max_interval) == (timedelta(seconds=20), timedelta(seconds=90))
    assert cadence.give_up_after == timedelta(hours=2)
    assert core.poller.gate.cadence == cadence
    assert cadence.max_staleness == timedelta(seconds=30)
    assert core.polling.promised == 30


async def test_what_counts_as_overdue_follows(opened: Open) -> None:
    core = await opened(overdue_after=86_400)
    await track(core, age=timedelta(hours=2))
    await core.poller.flag_overdue()
    assert (await core.repository.health())["overdue"] == 0

    adopt(core, overdue_after=3600)
    await core.poller.flag_overdue()
    assert (await core.repository.health())["overdue"] == 1


async def test_secrets_that_were_added_count_and_those_removed_do_not(opened: Open) -> None:
    core = await opened(webhook_secrets={"old": "whsec_a"})
    adopt(core, webhook_secrets={"new": "whsec_b"}, webhook_secret="whsec_c")
    assert core.keyring.secrets() == {"new": "whsec_b", "main": "whsec_c"}


async def test_how_long_rows_are_kept_follows(opened: Open) -> None:
    core = await opened(heygen_api_key=None)
    assert await core.retention.backlog() == {"delivery_bodies": 0, "deliveries": 0}

    adopt(core, keep_delivery_bodies=86_400, keep_deliveries=2 * 86_400, keep_finished=3 * 86_400)
    one, two, three = (timedelta(days=days) for days in (1, 2, 3))
    assert core.retention.keep == Keep(delivery_bodies=one, deliveries=two, finished=three)
    text, _ = await core.exposition()
    assert 'tracker_retention_backlog{kind="translations"} 0.0' in text.decode().splitlines()


async def test_sweeps_begin_and_end_as_the_setting_comes_and_goes(opened: Open) -> None:
    core = await opened()
    assert core.heygen is not None
    sweeps = core.heygen.sweeps
    assert sweeps is not None

    adopt(core, discover_interval=3600)
    await sweeps.tick()
    first = sweeps.last
    assert first is not None
    adopt(core, discover_interval=None)
    await sweeps.tick()
    assert sweeps.last is first
    adopt(core, discover_interval=7200)
    await sweeps.tick()
    assert sweeps.last is not first


async def test_without_a_key_all_but_the_asking_follows(opened: Open) -> None:
    core = await opened(heygen_api_key=None)
    adopt(core, heygen_api_key="new", webhook_secret="whsec_c", max_staleness=30)
    assert core.polling.paused == Reason.NO_API_KEY
    assert core.settings.heygen_api_key is None
    assert core.keyring.secrets() == {"main": "whsec_c"}
    assert core.tracker.cadence.max_staleness == timedelta(seconds=30)


@pytest.mark.parametrize("freshness", ["off", "always", "on_demand"])
async def test_links_are_kept_fresh_as_the_new_settings_say(opened: Open, freshness: str) -> None:
    core = await opened(keep_links_fresh="always" if freshness == "off" else "off")
    adopt(core, keep_links_fresh=freshness)
    assert core.links.freshness == freshness
    assert core.heygen is not None
    assert core.heygen.renewals.is_on == (freshness == "always")
