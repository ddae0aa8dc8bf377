"""After 30 hours of silence: the look-alike over HTTP, a real database, and everything is right again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import NOON
from tests.databases import write_migrated
from tracker.daemon.database import open_database
from tracker.daemon.heygen_wiring import HeyGen
from tracker.daemon.wiring import Services, open_services
from tracker.domain.observation import Observation
from tracker.domain.ports import Clock
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.settings import Settings
from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running
from tracker.tracking.recorder import registration

pytestmark = pytest.mark.anyio

COUNT = 500  # five pages of the log
SILENCE = 30 * 3600
STATED_SECONDS = 60.0  # for 2,000 of them, at 1,000 requests a second; a rate limit of 5 adds 2,000 / 5 s
SPREAD = {"pending_seconds": (60, 50_000), "running_seconds": (60, 50_000), "failure_rate": 0.1}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """HeyGen's look-alike and a tracker's database; both live by the look-alike's clock."""

    heygen: SimulatorClient
    clock: Clock
    settings: Settings

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[tuple[Services, HeyGen]]:
        """The parts of a running daemon, as it opens and closes them."""
        async with AsyncExitStack() as stack:
            services = await open_services(self.settings, open_database(self.settings), stack, self.clock)
            assert services.heygen is not None
            yield services, services.heygen

    async def track(self, services: Services, ids: list[str]) -> None:
        await services.tracker.register([registration(self.clock(), video_translate_id=one) for one in ids])

    async def catch_up(self, services: Services, heygen: HeyGen) -> None:
        """What the daemon's ticks do at start, until nothing is due."""
        assert heygen.catch_up is not None
        await heygen.catch_up.tick()
        while await services.repository.oldest_due(self.clock()) is not None:
            assert (await services.poller.run_once()).total() > 0

    def calls(self) -> dict[str, int]:
        return dict(self.heygen.truth().requests.by_route)


@contextmanager
def stage(folder: Path, **scenario: Any) -> Iterator[Stage]:
    app = create_app(Scenario.model_validate(scenario), clock=lambda: NOON)
    with running(app) as url, SimulatorClient(url) as heygen:
        settings = Settings.model_validate(
            {
                "database_url": f"sqlite:///{folder / 'tracker.db'}",
                "heygen_api_key": "simulator-key",
                "heygen_base_url": url,
                "heygen_api": "v3",
                "rate_limit": 1000,
                "concurrency": 20,
            }
        )
        write_migrated(folder / "tracker.db")
        yield Stage(heygen, app.state.simulator.world.clock, settings)


async def rows_of(services: Services) -> dict[str, dict[str, Any]]:
    return {
        row["video_translate_id"]: row for row in await services.repository.list_translations(limit=10_000)
    }


def differences(rows: dict[str, dict[str, Any]], heygen: SimulatorClient) -> list[tuple[str, str, Any, Any]]:
    """What the rows say otherwise than HeyGen: nothing, once all is right."""
    found: list[tuple[str, str, Any, Any]] = []
    for truth in heygen.truth().translations:
        row = rows[truth.video_translate_id]
        wanted = {
            "status": truth.status,
            "title": truth.title,
            "output_language": truth.output_language,
            "callback_id": truth.callback_id,
            "message": truth.message,
            "next_poll_at": None,
            "attention": None,
            "last_error": None,
        }
        found += [
            (truth.video_translate_id, name, row[name], value)
            for name, value in wanted.items()
            if row[name] != value
        ]
        if (row["url"] is not None) is not truth.url_ready:
            found.append((truth.video_translate_id, "url", row["url"], truth.url_ready))
    return found


def without_times(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in row.items() if key != "updated_at"} for name, row in rows.items()
    }


async def changes_of(services: Services, rows: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    told = [await services.repository.list_changes(row["id"]) for row in rows.values()]
    return [(one["old_status"], one["new_status"], one["source"]) for changes in told for one in changes]


async def ended_while_down(stage: Stage) -> list[str]:
    """A daemon that was up, knows the log, tracks what has just begun, and goes down for the SILENCE."""
    ids = await asyncio.to_thread(stage.heygen.create_many, COUNT, title="Tour", callback_id_prefix="order-")
    async with stage.daemon() as (services, heygen):
        await stage.track(services, ids)
        assert heygen.catch_up is not None
        await heygen.catch_up.tick()
    await asyncio.to_thread(stage.heygen.advance, SILENCE)
    return ids


async def test_after_thirty_hours_down_all_is_right_and_again_changes_nothing(tmp_path: Path) -> None:
    with stage(tmp_path, **SPREAD) as silent:
        ids = await ended_while_down(silent)
        before = silent.calls()
        began = time.monotonic()
        async with silent.daemon() as (services, heygen):
            await silent.catch_up(services, heygen)
            took = time.monotonic() - began
            rows = await rows_of(services)
            assert sorted(rows) == sorted(ids)
            assert differences(rows, silent.heygen) == []
            history = await changes_of(services, rows)
            assert len(history) == COUNT
            assert {source for *_, source in history} == {"event_log"}
            assert heygen.catch_up is not None
            report = heygen.catch_up.last
            assert report is not None
            assert (report.events, report.changed, report.reached) == (COUNT, COUNT, True)

        calls = {kind: count - before.get(kind, 0) for kind, count in silent.calls().items()}
        print(f"\n{COUNT} ends after {SILENCE // 3600} h: {took:.1f} s, calls {calls}")
        assert calls["v3.events"] <= COUNT // 100 + 2
        assert calls["v3.status"] <= COUNT + 5  # one each for what no event tells: title, links
        assert calls.get("v3.statuses", 0) <= 1
        assert took < STATED_SECONDS

        for _ in range(2):  # another start, of the same and of a next process
            async with silent.daemon() as (services, heygen):
                await silent.catch_up(services, heygen)
                again = await rows_of(services)
                assert await changes_of(services, again) == history
                assert without_times(again) == without_times(rows)
        after = silent.calls()
        assert after["v3.status"] - before.get("v3.status", 0) == calls["v3.status"]


async def test_what_the_log_does_not_know_is_found_by_bulk_polls(tmp_path: Path) -> None:
    scenario = {**SPREAD, "webhook_lost": 0.3, "event_log_complete": False}
    with stage(tmp_path, **scenario) as silent:
        ids = await ended_while_down(silent)
        before = silent.calls()
        async with silent.daemon() as (services, heygen):
            await silent.catch_up(services, heygen)
            rows = await rows_of(services)
            assert sorted(rows) == sorted(ids)
            assert differences(rows, silent.heygen) == []
            history = await changes_of(services, rows)
            lost = sum(one.fate.webhook == "lost" for one in silent.heygen.truth().translations)
            by_source = [source for *_, source in history]
            assert (by_source.count("poll"), by_source.count("event_log")) == (lost, COUNT - lost)
            assert lost > COUNT / 5
        calls = {kind: count - before.get(kind, 0) for kind, count in silent.calls().items()}
        assert calls["v3.events"] <= (COUNT - lost) // 100 + 2
        assert calls["v3.statuses"] <= lost // 100 + 2
        assert calls["v3.status"] <= COUNT + 5


async def test_a_reopened_translation_is_not_ended_by_its_old_event(tmp_path: Path) -> None:
    with stage(tmp_path, pending_seconds=(10, 10), running_seconds=(10, 10)) as silent:
        [one] = await asyncio.to_thread(silent.heygen.create_many, 1)
        async with silent.daemon() as (services, _heygen):
            await silent.track(services, [one])
            await asyncio.to_thread(silent.heygen.advance, 60)
            await services.poller.run_once()
            await asyncio.to_thread(silent.heygen.advance, 60)
            again = Observation(
                source=Source.MANUAL,
                observed_at=silent.clock(),
                video_translate_id=one,
                status=Status.PENDING,
            )
            await services.tracker.record([Record(observation=again)])
        async with silent.daemon() as (services, heygen):
            assert heygen.catch_up is not None
            assert (await heygen.catch_up.run()).changed == 0
            assert (await rows_of(services))[one]["status"] == "pending"
            await services.poller.run_once()  # HeyGen itself may end it
            assert (await rows_of(services))[one]["status"] == "success"


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_strangers_and_nonsense_in_the_log_do_no_harm(tmp_path: Path, order: str) -> None:
    with stage(tmp_path, pending_seconds=(10, 10), running_seconds=(10, 10)) as silent:
        ids = await asyncio.to_thread(silent.heygen.create_many, 3)
        moment = int(NOON.timestamp()) + 60
        nonsense = [
            {"event_type": "avatar_video.success", "event_data": {"video_id": "x"}, "created_at": moment},
            {"event_type": "video_translate.success", "event_data": {"video_translate_id": "no id"}},
            {"event_type": "video_translate.success"},
            *({}, None, 5, "text", [None]),
        ]
        silent.heygen.set_events(nonsense)
        silent.heygen.set_oddities(events_order=order)
        async with silent.daemon() as (services, heygen):
            await silent.track(services, ids)
            await asyncio.to_thread(silent.heygen.advance, 60)
            await silent.catch_up(services, heygen)
            assert differences(await rows_of(services), silent.heygen) == []
            assert heygen.catch_up is not None
            report = heygen.catch_up.last
            assert report is not None
            assert (report.events, report.changed, report.ignored, report.unreadable) == (3, 3, 1, 7)


@pytest.mark.parametrize("trouble", ["404", "410", "html", "redirect"])
async def test_an_account_without_a_log_polls_and_says_so_once(tmp_path: Path, trouble: str) -> None:
    with stage(tmp_path) as silent:
        silent.heygen.set_retirement(v3=trouble)  # type: ignore[arg-type]
        async with silent.daemon() as (_services, heygen):
            assert heygen.catch_up is not None
            with capture_logs() as told:
                await heygen.catch_up.tick()
                await asyncio.to_thread(silent.heygen.advance, 3600)
                await heygen.catch_up.tick()
        assert [one["event"] for one in told if one["log_level"] == "warning"] == ["event log not read"]
        assert silent.calls()["v3.events"] == 2


async def test_the_log_of_another_account_is_not_read(tmp_path: Path) -> None:
    with stage(tmp_path, pending_seconds=(10, 10), running_seconds=(10, 10)) as silent:
        await asyncio.to_thread(silent.heygen.create_many, 3)
        async with silent.daemon() as (services, heygen):
            assert heygen.catch_up is not None
            await heygen.catch_up.tick()  # sets the bookmark
            await silent.track(services, [f"{number:032x}" for number in range(5)])
            await services.poller.run_once()
            assert not services.polling.knows_translations
            await asyncio.to_thread(silent.heygen.advance, 2 * 3600)
            await heygen.catch_up.tick()
            assert len(await rows_of(services)) == 5
        assert silent.calls()["v3.events"] == 1


async def test_a_rejected_key_is_told_once_and_loses_nothing(tmp_path: Path) -> None:
    with stage(tmp_path, pending_seconds=(10, 10), running_seconds=(10, 10)) as silent:
        ids = await asyncio.to_thread(silent.heygen.create_many, 3)
        async with silent.daemon() as (services, heygen):
            await silent.track(services, ids)
            await asyncio.to_thread(silent.heygen.advance, 60)
            silent.heygen.set_keys(["another"])
            assert heygen.catch_up is not None
            with capture_logs() as told:
                for _ in range(2):
                    await heygen.catch_up.tick()
                    await asyncio.to_thread(silent.heygen.advance, 60)
            errors = [one for one in told if one["log_level"] == "error"]
            assert [one["event"] for one in errors] == ["event log not read"]
            assert "simulator-key" not in str(told)
            silent.heygen.set_keys(["simulator-key"])
            await silent.catch_up(services, heygen)
            assert differences(await rows_of(services), silent.heygen) == []
