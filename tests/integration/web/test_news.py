"""News on the admin listener: the real app, sockets and stores of both engines."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.openers import NOON, Database, open_postgresql, open_sqlite
from tests.integration.web.served import Client, served
from tests.postgres import Server
from tests.streams import DEADLINE, PATH, Page
from tracker.domain.links import Link
from tracker.domain.poller_state import PollerState
from tracker.domain.schedule import Schedule
from tracker.observability.metrics import Metrics
from tracker.tracking.recorder import Recorder
from tracker.web.admin import Admin, create_admin_app
from tracker.web.live_updates import LiveUpdates

SOON = 2.0  # seconds; it takes a tenth of that
CHANGE = (
    "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at)"
    " VALUES (1, 'pending', 'running', 'manual', '2026-11-23 12:00:00')"
)
LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN tracker_changes' AND datname = current_database()"
)


@dataclass
class House:
    """An admin listener over a store, and another program's view of that."""

    client: Client
    live_updates: LiveUpdates
    sql: Callable[[str], list[tuple[Any, ...]]]
    _pages: ExitStack

    @property
    def address(self) -> str:
        return "{}:{}".format(*self.client.address)

    def page(self, **headers: str) -> Page:
        """One that is open, and misses nothing from now on."""
        page = self._pages.enter_context(Page(self.address, headers))
        assert page.answer.status == 200
        page.until_told()
        return page

    def change(self) -> None:
        """As any other program would."""
        self.sql(CHANGE)


@contextmanager
def house_of(opened: Database, *, most: int = 3, token: str | None = None) -> Iterator[House]:
    async def expose() -> tuple[bytes, str]:
        return b"", "text/plain"

    async def no_link(_number: int, _kind: object) -> Link:
        raise AssertionError("nobody asks for links here")

    opened.sql("INSERT INTO translations (id, video_translate_id) VALUES (1, 'a')")
    live_updates = LiveUpdates(opened.store, most=most)
    tracker = Recorder(opened.store, Schedule(), Metrics())
    admin = Admin(
        opened.store, tracker, lambda: NOON, lambda: PollerState(NOON), expose, live_updates, no_link
    )
    app = create_admin_app(admin, token=lambda: token, any_host=False)
    with served(app) as client, ExitStack() as pages:
        yield House(client, live_updates, opened.sql, pages)


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    given = request.param == "sqlite"
    opener = open_sqlite(tmp_path) if given else open_postgresql(request.getfixturevalue("postgresql"))
    with opener as opened:
        yield opened


@pytest.fixture
def house(opened: Database) -> Iterator[House]:
    with house_of(opened) as house:
        yield house


@pytest.fixture
def on_postgresql(postgresql: Server) -> Iterator[House]:
    with open_postgresql(postgresql) as opened, house_of(opened) as house:
        yield house


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def test_a_change_that_any_program_stores_is_told_at_once_to_every_page(house: House) -> None:
    pages = [house.page() for _ in range(3)]

    for _ in range(3):
        house.change()
        assert max(page.until_told() for page in pages) < SOON


def test_what_is_told_can_be_read(house: House) -> None:
    page = house.page()
    house.sql("UPDATE translations SET status = 'running' WHERE id = 1")
    house.change()
    page.until_told()

    assert house.client.request("GET", "/api/translations/a").json()["status"] == "running"


def test_a_page_that_reads_late_misses_nothing(house: House) -> None:
    eager, late = house.page(), house.page()
    for _ in range(3):
        house.change()
        eager.until_told()

    assert late.until_told() < SOON


def test_more_pages_than_there_is_room_for_are_told_so_until_one_is_closed(house: House) -> None:
    first, *_ = [house.page() for _ in range(3)]
    answer = house.client.request("GET", PATH)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "3 pages at most; close one or try again later" in answer.json()["error"]

    first.close()
    until(lambda: is_let_in(house), "the place of the closed page")


def is_let_in(house: House) -> bool:
    with Page(house.address) as page:
        return page.answer.status == 200


def test_the_headers_alone_take_no_place(house: House) -> None:
    pages = [house.page() for _ in range(3)]
    answer = house.client.request("HEAD", PATH)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert len(pages) == 3


def test_a_browsers_password_opens_the_stream_as_it_opens_the_page(opened: Database) -> None:
    with house_of(opened, token="open-sesame") as house:
        assert house.client.request("GET", PATH).status == 401
        page = house.page(Authorization="Basic eDpvcGVuLXNlc2FtZQ==")
        house.change()

        assert page.until_told() < SOON


# On PostgreSQL


def test_all_pages_share_one_connection_that_ends_with_the_last(on_postgresql: House) -> None:
    house = on_postgresql
    assert house.sql(LISTENERS) == []

    pages = [house.page() for _ in range(3)]
    assert len(house.sql(LISTENERS)) == 1

    for page in pages:
        page.close()
    until(lambda: house.sql(LISTENERS) == [], "the end of the connection")


def test_a_lost_connection_is_opened_anew_while_the_page_stays(on_postgresql: House) -> None:
    house = on_postgresql
    page = house.page()
    [(lost,)] = house.sql(LISTENERS)

    house.sql(f"SELECT pg_terminate_backend({lost})")

    page.until_told()  # to look: something may have been missed
    [(opened,)] = house.sql(LISTENERS)
    assert opened != lost
    house.change()
    assert page.until_told() < SOON
