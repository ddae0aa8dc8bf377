"""The useful queries of docs/database.md, and those of docs/links.md, give the right answers.

On both engines, and over the same rows.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from tests.copies import sqlite_database
from tests.house.pages import DATABASE, LINKS, blocks, section
from tests.postgres import Server
from tracker.store.engine import open_engines
from tracker.store.tables import changes, deliveries, delivery_bodies, link_changes, submissions, translations

TALK = "7544c0b52ada44fda693a15b1181b5b4"
ENGINES = {"sqlite": "-- SQLite\n", "postgresql": "-- PostgreSQL\n"}

Ask = Callable[[str], list[tuple[Any, ...]]]


def ended(
    number: int,
    name: str,
    begin: datetime,
    language: str,
    *,
    status: str = "success",
    callback_id: str = "order-1",
    minutes: float = 10,
    **more: Any,
) -> dict[str, Any]:
    """A translation that ended so many minutes after its beginning."""
    end = begin + timedelta(minutes=minutes)
    row = {"title": "Talk", "poll_count": 1, "next_poll_at": None, "duration_seconds": None, "url": None}
    row |= {"srt_url": None, "srt_url_expires_at": None, "renew_links_at": None, "failing_since": None}
    row |= {"url_expires_at": None, "message": None, "attention": None, "attention_since": None}
    row |= {"submission_id": None, "last_error": None, "last_polled_at": end, "poll_failures": 0}
    row |= {"id": number, "video_translate_id": name, "callback_id": callback_id, "status": status}
    row |= {"output_language": language, "provider_created_at": begin, "created_at": begin}
    return row | {"finished_at": end} | more


OLD_PLACE = "https://resource2.heygen.ai/video_translate"
NO_VOICE, NO_FACE = "No voice was recognised", "No face was recognised"
ENDS = (  # translation, status, source, delivery, seconds late, note
    (1, "success", "webhook", 1, 2, None),
    (2, "success", "poll", None, 40, None),
    (3, "failed", "webhook", 2, 4, None),
    (4, "success", "webhook", 3, 6, None),
    (5, "failed", "poll", None, 90, None),
    (8, "success", "poll", None, 20, None),
    (10, "failed", "event_log", None, 3600, "conflict settled by the status endpoint"),
)
SUBMISSIONS = (
    {"id": 1, "idempotency_key": "a", "request": '{"title": "Talk"}', "state": "done", "attempts": 1},
    {"id": 2, "idempotency_key": "b", "request": '{"title": "Ad"}', "state": "sent", "attempts": 2},
)


def moment(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def about(number: float, give: float = 0.06) -> Any:
    return pytest.approx(number, abs=give)


class Story:
    """What has happened until `now`."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.day_1 = (now - timedelta(days=3)).replace(hour=10, minute=0, second=0, microsecond=0)
        self.day_2 = self.day_1 + timedelta(days=1)

    def link(self, hours: float) -> dict[str, Any]:
        """Renewed a day before its end; one that has ended, HeyGen has not renewed since."""
        end = self.now + timedelta(hours=hours)
        told = {"url": f"https://files.example/{hours}", "url_expires_at": end}
        if hours > 0:
            return told | {"renew_links_at": end - timedelta(days=1)}
        return told | {"renew_links_at": self.now, "poll_failures": 3, "failing_since": end}

    def still_open(
        self, number: int, name: str | None, hours: float, language: str, **more: Any
    ) -> dict[str, Any]:
        """One that was tracked so many hours ago and has not ended."""
        row = ended(number, name or "", self.now - timedelta(hours=hours), language, status="running")
        row |= {
            "video_translate_id": name,
            "finished_at": None,
            "next_poll_at": self.now + timedelta(hours=1),
        }
        return row | {"last_polled_at": self.now - timedelta(minutes=1)} | more

    @cached_property
    def translations(self) -> list[dict[str, Any]]:
        return [
            ended(
                1,
                f"{TALK}-es",
                self.day_1,
                "Spanish",
                duration_seconds=120,
                submission_id=1,
                **self.link(100),
            ),
            ended(
                2,
                f"{TALK}-de",
                self.day_1,
                "German",
                duration_seconds=90,
                submission_id=1,
                **self.link(36),
                minutes=20,
            ),
            ended(3, f"{TALK}-fr", self.day_1, "French", status="failed", message=NO_VOICE, submission_id=1),
            ended(
                4,
                "ad-es",
                self.day_2,
                "Spanish",
                callback_id="order-2",
                duration_seconds=60,
                **self.link(12),
                minutes=5,
            ),
            ended(5, "ad-fr", self.day_2, "French", callback_id="order-2", status="failed", message=NO_VOICE),
            self.still_open(
                6,
                "ad-de",
                3,
                "German",
                callback_id="order-2",
                attention="overdue",
                attention_since=self.now - timedelta(hours=2),
                last_error="HTTP 500",
                poll_count=40,
                poll_failures=4,
            ),
            self.still_open(
                7, None, 2, "Polish", callback_id="order-3", status="pending", submission_id=2, poll_count=0
            ),
            ended(
                8,
                "again-es",
                self.day_2,
                "Spanish",
                minutes=30,
                **self.link(-5),
                srt_url=f"{OLD_PLACE}/a.srt",
                srt_url_expires_at=self.now - timedelta(hours=4),
            ),
            self.still_open(
                9,
                "new-pt",
                0.1,
                "Portuguese",
                callback_id="order-4",
                next_poll_at=self.now - timedelta(seconds=50),
            ),
            ended(
                10,
                "face-fr",
                self.day_2,
                "French",
                status="failed",
                message=NO_FACE,
                callback_id="order-5",
                attention="conflict",
                attention_since=self.now - timedelta(hours=5),
            ),
        ]

    @cached_property
    def deliveries(self) -> list[tuple[Any, ...]]:
        return [  # id, translation, type, outcome, signed by, error, received, last received, times
            (
                1,
                f"{TALK}-es",
                "video_translate.success",
                "applied",
                "heygen-before",
                None,
                self.day_1,
                self.day_1,
                1,
            ),
            (
                2,
                f"{TALK}-fr",
                "video_translate.fail",
                "applied",
                "heygen-before",
                None,
                self.day_1,
                self.day_1,
                1,
            ),
            (
                3,
                "ad-es",
                "video_translate.success",
                "applied",
                "heygen",
                None,
                self.day_2,
                self.now - timedelta(minutes=9),
                3,
            ),
            (
                4,
                None,
                "video_translate.success",
                "error",
                "heygen",
                "the event names no translation",
                self.day_2,
                self.day_2,
                1,
            ),
            (5, None, "avatar_video.success", "ignored", "heygen", None, self.day_2, self.day_2, 1),
            (6, "face-fr", "video_translate.success", "unknown", None, None, self.day_2, self.day_2, 2),
        ]

    def row(self, number: int) -> dict[str, Any]:
        """The translation of that number, its times as they are shown."""
        [found] = [one for one in self.translations if one["id"] == number]
        return {
            name: moment(value) if isinstance(value, datetime) else value for name, value in found.items()
        }

    @cached_property
    def answers(self) -> dict[str, list[tuple[Any, ...]]]:
        told_at = moment(self.day_1 + timedelta(minutes=10, seconds=2))
        return {
            "What needs a person": [
                ("conflict", self.row(10)["attention_since"], "face-fr", "order-5", None),
                ("overdue", self.row(6)["attention_since"], "ad-de", "order-2", "HTTP 500"),
            ],
            "What is stuck": [
                ("ad-de", "order-2", "German", "running", about(3), "HTTP 500"),
                (None, "order-3", "Polish", "pending", about(2), None),
            ],
            "Who waits for an id": [(7, "order-3", "Polish", self.row(7)["created_at"], "sent", "HTTP 502")],
            "The history of one translation": [
                (told_at, "pending", "success", "webhook", None, "heygen-before", 1),
            ],
            "Your own orders, joined by `callback_id`": [
                ("order-1", "Ada", 4, 3, 1),
                ("order-2", "Grace", 3, 1, 1),
                ("order-9", "Edsger", 0, 0, 0),
            ],
            "Requests whose languages have all ended": [("order-1", 4, 1), ("order-5", 1, 1)],
            "Failures with their reasons, by language": [
                ("French", NO_VOICE, 2, self.row(5)["finished_at"]),
                ("French", NO_FACE, 1, self.row(10)["finished_at"]),
            ],
            "Lag by source": [
                ("event_log", 1, about(3600), about(3600), 1),
                ("poll", 3, about(50), about(90), 1),
                ("webhook", 3, about(4), about(6), 0),
            ],
            "Webhooks that never came": [
                (f"{TALK}-de", "order-1", "success", self.row(2)["finished_at"]),
                ("ad-fr", "order-2", "failed", self.row(5)["finished_at"]),
                ("again-es", "order-1", "success", self.row(8)["finished_at"]),
            ],
            "Webhooks that came more than once": [
                (
                    "ad-es",
                    "video_translate.success",
                    3,
                    moment(self.day_2),
                    moment(self.now - timedelta(minutes=9)),
                ),
                ("face-fr", "video_translate.success", 2, moment(self.day_2), moment(self.day_2)),
            ],
            "Webhooks that could not be used": [
                (moment(self.day_2), "video_translate.success", "unknown", None, 2),
                (moment(self.day_2), "video_translate.success", "error", "the event names no translation", 1),
            ],
            "What a webhook said": [(moment(self.day_1), "applied", '{"title": "Übung 1"}')],
            "Which secret signs": [
                ("heygen", 3, moment(self.now - timedelta(minutes=9))),
                (None, 1, moment(self.day_2)),
                ("heygen-before", 2, moment(self.day_1)),
            ],
            "Paid for twice": [
                ("order-1", "Spanish", 2, self.row(1)["created_at"], self.row(8)["created_at"])
            ],
            "Cost by language": [("German", 1, 1.5, 0.75, 0), ("Spanish", 3, 3, 1.5, 1)],
            "Throughput by day": [
                (self.day_1.date().isoformat(), 2, 1),
                (self.day_2.date().isoformat(), 2, 2),
            ],
            "How long HeyGen takes, by language": [("German", 1, 20, 20), ("Spanish", 3, 15, 30)],
            "Links that end within two days": [
                ("again-es", "order-1", self.row(8)["url"], self.row(8)["url_expires_at"]),
                ("ad-es", "order-2", self.row(4)["url"], self.row(4)["url_expires_at"]),
                (f"{TALK}-de", "order-1", self.row(2)["url"], self.row(2)["url_expires_at"]),
            ],
            "Links to download first": [
                ("again-es", "video", about(-5)),
                ("again-es", "srt", about(-4)),
                ("ad-es", "video", about(12)),
            ],
            "Links that led elsewhere": [
                ("ad-es", "video", f"{OLD_PLACE}/a.mp4", f"{OLD_PLACE}/b.mp4", moment(self.day_2)),
                ("ad-es", "srt", f"{OLD_PLACE}/a.srt", f"{OLD_PLACE}/b.srt", moment(self.day_2)),
            ],
            "What costs the most questions": [
                ("ad-de", "running", 40, 4, "HTTP 500"),
                *(
                    (self.row(number)["video_translate_id"], self.row(number)["status"], 1, 0, None)
                    for number in (1, 2, 3, 4)
                ),
            ],
            "Submissions that HeyGen has not answered": [
                (2, "sent", "v3", 2, "HTTP 502", moment(self.day_1), moment(self.now), '{"title": "Ad"}'),
            ],
            "How far each submission has come": [(1, "done", 3, 0, 0, 1), (2, "sent", 1, 1, 1, 0)],
            "Health at a glance": [
                (
                    3,
                    1,
                    0,
                    0,
                    0,
                    1,
                    about(50, 300),
                    moment(self.now - timedelta(minutes=9)),
                    self.row(9)["last_polled_at"],
                ),
            ],
        }

    @cached_property
    def answers_about_links(self) -> list[list[tuple[Any, ...]]]:
        """In the order of docs/links.md."""
        again = self.row(8)
        days = Counter(self.row(number)["renew_links_at"][:10] for number in (1, 2, 4, 8))
        return [
            [("srt", 1), ("video", 1)],
            sorted(days.items()),
            [("again-es", again["url_expires_at"], 3, again["failing_since"], again["renew_links_at"])],
        ]


def fill(url: str, story: Story) -> None:
    engines = open_engines(url)
    kept = [column.name for column in deliveries.columns if column.name not in ("event_id", "callback_id")]
    with engines.writer.begin() as connection:
        whole = {"created_at": story.day_1, "next_attempt_at": None, "error": None, "api_version": "v3"}
        connection.execute(insert(submissions), [whole | row for row in SUBMISSIONS])
        connection.execute(
            submissions.update()
            .where(submissions.c.id == 2)
            .values(error="HTTP 502", next_attempt_at=story.now)
        )
        connection.execute(insert(translations), story.translations)
        for number, name, kind, outcome, signed_by, error, first, last, times in story.deliveries:
            values = (number, f"{number:064x}", kind, name, signed_by, outcome, error, first, last, times)
            connection.execute(insert(deliveries), [dict(zip(kept, values, strict=True))])
            body = {"delivery_id": number, "headers": "[]", "body": f'{{"title": "Übung {number}"}}'.encode()}
            connection.execute(insert(delivery_bodies), [body])
        for about, status, source, delivery, late, note in ENDS:
            [end] = [row["finished_at"] for row in story.translations if row["id"] == about]
            told = {"source": source, "observed_at": end, "recorded_at": end + timedelta(seconds=late)}
            change = {"translation_id": about, "old_status": "pending", "new_status": status, "note": note}
            connection.execute(insert(changes), [told | change | {"delivery_id": delivery}])
        for kind, ending in (("video", "mp4"), ("srt", "srt")):
            places = {"old_url": f"{OLD_PLACE}/a.{ending}", "new_url": f"{OLD_PLACE}/b.{ending}"}
            move = {"translation_id": 4, "kind": kind, "source": "poll", "observed_at": story.day_2}
            connection.execute(insert(link_changes), [move | places])
    engines.dispose()


ORDERS = (
    "CREATE TABLE orders (number text PRIMARY KEY, customer text)",
    "INSERT INTO orders VALUES ('order-1', 'Ada'), ('order-2', 'Grace'), ('order-9', 'Edsger')",
)


@pytest.fixture(scope="module")
def story() -> Story:
    return Story(datetime.now(UTC))


@pytest.fixture(scope="module")
def on_sqlite(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    folder: Path = tmp_path_factory.mktemp("queries")
    with sqlite_database(folder, "tracker", migrated=True) as url:
        fill(url, story)
        with closing(sqlite3.connect(folder / "tracker.db")) as connection:
            for statement in ORDERS:
                connection.execute(statement)
            yield lambda query: connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def on_postgresql(story: Story, postgresql: Server) -> Iterator[Ask]:
    with postgresql.migrated() as name:
        fill(postgresql.url(name), story)
        for statement in ORDERS:
            postgresql.execute(statement, name)
        yield lambda query: postgresql.execute(query, name)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> tuple[str, Ask]:
    return request.param, request.getfixturevalue(f"on_{request.param}")


def queries() -> dict[str, dict[str, str]]:
    """Each query by its title and engine."""
    found: dict[str, dict[str, str]] = {}
    for part in re.split(r"^(?=\*\*)", section(DATABASE, "## Useful queries"), flags=re.MULTILINE)[1:]:
        title = re.sub(r"\s+", " ", part.split("**")[1]).strip(" ,:?")
        shown = blocks(part, "sql")
        both = {name: one for one in shown for name, mark in ENGINES.items() if one.startswith(mark)}
        found[title] = both or dict.fromkeys(ENGINES, *shown)
    return found


def test_every_query_of_the_page_has_an_answer_here(story: Story) -> None:
    assert list(queries()) == list(story.answers)
    assert len(story.answers) >= 15


@pytest.mark.parametrize("title", queries())
def test_a_useful_query_gives_the_right_answer(engine: tuple[str, Ask], story: Story, title: str) -> None:
    name, ask = engine

    assert [tuple(map(plain, found)) for found in ask(queries()[title][name])] == story.answers[title]


@pytest.mark.parametrize("number", range(3))
def test_a_query_about_links_gives_the_right_answer(
    engine: tuple[str, Ask], story: Story, number: int
) -> None:
    shown = blocks(section(LINKS, "## In SQL"), "sql")
    assert len(shown) == len(story.answers_about_links) == 3
    assert [tuple(map(plain, found)) for found in engine[1](shown[number])] == story.answers_about_links[
        number
    ]


def plain(value: Any) -> Any:
    """What both engines mean by it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value
