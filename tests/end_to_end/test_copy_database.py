"""From SQLite to PostgreSQL and on: no translation is lost, and nothing is asked twice."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.copies import postgresql_database
from tests.postgres import Server

from .processes import SECRET, Daemon, Row, Stage
from .truths import FINAL, check_invariants

SHORT, LONG = 0.3, 1000.0  # seconds that a translation runs; LONG only ends where the clock is moved
ENDED, OPEN = 12, 12


@pytest.fixture
def server_url(postgresql: Server) -> Iterator[str]:
    with postgresql_database(postgresql, migrated=False) as url:
        yield url


def query(url: str, sql: str) -> list[Row]:
    with psycopg.connect(url, row_factory=dict_row) as server:
        return list(server.execute(sql.encode()))


def asked(stage_truth: Any, ids: list[str]) -> list[int]:
    """How often the status endpoint was asked about each."""
    return [stage_truth.requests.status_by_id.get(one, 0) for one in ids]


def all_have_ended(daemon: Daemon, rows: Any, count: int) -> None:
    wanted = f"SELECT id FROM translations WHERE status IN {FINAL} AND next_poll_at IS NULL"
    daemon.program.until(lambda: len(rows(wanted)) == count, f"{count} translations to have ended")


def test_a_daemon_goes_on_in_postgresql_where_it_stopped_in_sqlite(stage: Stage, server_url: str) -> None:
    fates = [{"running_seconds": SHORT, "webhook": "prompt" if n % 2 else "lost"} for n in range(ENDED)]
    fates += [{"running_seconds": LONG, "outcome": "failed" if n % 3 else "success"} for n in range(OPEN)]
    simulator = stage.simulator(fates=fates)
    daemon = stage.daemon(simulator)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    ended = simulator.client.create([f"language-{n}" for n in range(ENDED)], callback_id="first")
    still_open = simulator.client.create([f"language-{n}" for n in range(OPEN)], callback_id="second")
    stage.database.track([*ended, *still_open])
    all_have_ended(daemon, stage.database.query, ENDED)
    assert daemon.program.terminate() == 0
    check_invariants(stage.database)
    before = simulator.truth()

    said = stage.done("copy-database", "--to", server_url, **stage.settings(simulator))

    assert "copied from sqlite to postgresql and verified" in said
    again = stage.daemon(simulator, database_url=server_url)
    simulator.client.set_webhook(again.webhooks, SECRET)
    simulator.client.advance(2 * LONG)
    all_have_ended(again, lambda sql: query(server_url, sql), ENDED + OPEN)
    assert again.program.terminate() == 0
    after = simulator.truth()
    assert asked(after, ended) == asked(before, ended)
    assert after.requests.status_overlaps == 0
    rows = {row["video_translate_id"]: row for row in query(server_url, "SELECT * FROM translations")}
    assert {name: row["status"] for name, row in rows.items()} == {
        one.video_translate_id: one.outcome for one in after.translations
    }
    assert set(rows) == {*ended, *still_open}
    ends = query(server_url, f"SELECT translation_id FROM changes WHERE new_status IN {FINAL}")
    assert sorted(row["translation_id"] for row in ends) == sorted(row["id"] for row in rows.values())
    for kept in stage.database.query("SELECT * FROM changes"):
        [same] = query(server_url, f"SELECT * FROM changes WHERE id = {kept['id']}")
        assert (same["translation_id"], same["new_status"], same["source"]) == (
            kept["translation_id"],
            kept["new_status"],
            kept["source"],
        )
    numbers = [row["id"] for row in query(server_url, "SELECT id FROM changes ORDER BY id")]
    assert numbers == sorted(set(numbers))
