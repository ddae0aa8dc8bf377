"""Pages that are open while the real daemon works, stops, starts again and takes another token."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import httpx
import pytest

from tests.copies import postgresql_database
from tests.streams import Page
from tracker.simulator.delivery import sign
from tracker.web.live_updates import MOST_STREAMS

from .processes import PATIENCE, SECRET, Daemon, Program, Stage, address_of

STOP_TIMEOUT = 20  # half of which the listeners have
SHORT_STOP = 2.0  # it takes half a second
FAILED = (
    b'{"event_type": "video_translate.fail", "event_data": {"video_translate_id": "film", "message": "no"}}'
)


@dataclass
class House:
    """A database that one translation is in, and what runs on it."""

    stage: Stage
    url: str
    pages: ExitStack

    def start(self, **more: object) -> Daemon:
        """A daemon that receives, and asks nobody."""
        settings: dict[str, object] = {"heygen_api_key": None, "stop_timeout": STOP_TIMEOUT, **more}
        return self.stage.daemon(None, database_url=self.url, **settings)

    def run(self, *arguments: str) -> None:
        """Another process on the same database."""
        self.stage.done(*arguments, database_url=self.url)

    def page(self, daemon: Daemon) -> Page:
        """One that misses nothing from now on."""
        page = self.pages.enter_context(Page(address_of(daemon.admin), deadline=PATIENCE))
        assert page.answer.status == 200, page.answer.read()
        page.until_told()
        return page


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, stage: Stage) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{stage.database.path}"
        return
    with postgresql_database(request.getfixturevalue("postgresql"), migrated=True) as url:
        yield url


@pytest.fixture
def house(stage: Stage, url: str) -> Iterator[House]:
    with ExitStack() as pages:
        yield House(stage, url, pages)


def seconds_of_stop(program: Program) -> float:
    """From the signal's arrival to the end, as the log tells."""
    first, last = (program.until_event(event)["timestamp"] for event in ("stopping", "stopped"))
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def fail(daemon: Daemon) -> None:
    """HeyGen says that the film has failed."""
    headers = {"Signature": sign(FAILED, SECRET)}
    answer = httpx.post(daemon.webhooks, content=FAILED, headers=headers, trust_env=False, timeout=PATIENCE)
    assert answer.status_code == 200


def test_a_change_that_this_or_another_process_stores_is_pushed_and_can_be_read(house: House) -> None:
    daemon = house.start()
    house.run("add", "film", "--title", "The Film")
    pages = [house.page(daemon) for _ in range(2)]

    fail(daemon)
    for page in pages:
        page.until_told()
    assert '<td class="failed">' in daemon.get("/").text

    house.run("reopen", "film")
    for page in pages:
        page.until_told()
    assert '<td class="pending">' in daemon.get("/").text


def test_a_stop_ends_the_streams_and_waits_for_no_browser(house: House) -> None:
    daemon = house.start()
    pages = [house.page(daemon) for _ in range(MOST_STREAMS)]

    assert daemon.program.terminate() == 0

    assert seconds_of_stop(daemon.program) < SHORT_STOP
    assert {page.next_event() for page in pages} == {None}


def test_after_a_restart_the_page_is_told_again(house: House) -> None:
    first = house.start()
    house.run("add", "film")
    where = {"listen": address_of(first.public), "admin_listen": address_of(first.admin)}
    house.page(first)
    assert first.program.terminate() == 0

    second = house.start(**where)
    page = house.page(second)
    fail(second)

    page.until_told()
    assert second.program.terminate() == 0
    assert seconds_of_stop(second.program) < SHORT_STOP


def test_one_page_too_many_is_told_so_and_the_others_stay(house: House) -> None:
    daemon = house.start()
    house.run("add", "film")
    pages = [house.page(daemon) for _ in range(MOST_STREAMS)]

    answer = daemon.get("/api/news")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert f"{MOST_STREAMS} pages at most" in answer.json()["error"]
    assert daemon.get("/").status_code == 200
    fail(daemon)
    for page in pages:
        page.until_told()


def test_another_token_ends_the_streams_that_the_old_one_opened(stage: Stage) -> None:
    config = stage.directory / "tracker.toml"
    config.write_text('admin_token = "the-old-one"\n')
    settings = stage.settings(heygen_api_key=None)
    program = stage.start("tracker", "run", "--config", str(config), **settings)
    admin = str(program.until_event("tracker is up")["admin"])
    with ExitStack() as pages:
        old = Page(address_of(admin), bearer("the-old-one"), deadline=PATIENCE)
        pages.enter_context(old).until_told()

        config.write_text('admin_token = "the-new-one"\n')
        program.process.send_signal(signal.SIGHUP)

        assert old.next_event() is None
        for token, status in (("the-old-one", 401), ("the-new-one", 200)):
            page = pages.enter_context(Page(address_of(admin), bearer(token), deadline=PATIENCE))
            assert page.answer.status == status


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
