"""`tracker url`: links that work, and HeyGen asked no more often than needed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tracker.simulator.app import create_app
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.scenario import Scenario
from tracker.simulator.server import running

from .conftest import PATIENCE, Program, Ran

KEY = "simulator-key"
ENDED = "2026-01-01 00:00:00.000000"


def url(
    tracker: Program,
    simulator: SimulatorClient,
    *arguments: str,
    key: str | None = KEY,
    freshness: str | None = None,
) -> Ran:
    return tracker(
        "url",
        *arguments,
        heygen_base_url=simulator.base_url,
        heygen_api_key=key,
        keep_links_fresh=freshness,
        rate_limit=200,
    )


def stored(tracker: Program, column: str = "url") -> list[str]:
    return [row[column] for row in tracker.query(f"SELECT {column} FROM translations ORDER BY id")]


def asked(simulator: SimulatorClient, route: str = "v2.status") -> int:
    return simulator.truth().requests.by_route.get(route, 0)


@pytest.fixture
def ended(migrated: Program, simulator: SimulatorClient) -> tuple[str, str]:
    """Two translations that have ended, with links that live for a week."""
    ids = simulator.create(["es", "de"], caption=True)
    migrated.track(*ids)
    ran = migrated("poll", heygen_base_url=simulator.base_url, heygen_api_key=KEY, rate_limit=200)
    assert ran.code == 0
    return ids[0], ids[1]


def end_links(tracker: Program, end: str = ENDED) -> None:
    tracker.execute("UPDATE translations SET url_expires_at = ?, caption_url_expires_at = ?", end, end)


def test_the_link_alone_is_printed(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    before = asked(simulator)
    ran = url(migrated, simulator, ended[0])
    assert (ran.code, ran.out, ran.err) == (0, f"{stored(migrated)[0]}\n", "")
    assert asked(simulator) == before


def test_several_ids_are_several_lines_in_their_order(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    ran = url(migrated, simulator, ended[1], ended[0])
    assert ran.out.splitlines() == stored(migrated)[::-1]


def test_a_link_that_has_ended_is_renewed(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    before, known = asked(simulator), stored(migrated)
    end_links(migrated)
    ran = url(migrated, simulator, ended[0], "--json", "--kind", "captions")
    [told] = json.loads(ran.out)
    [row] = migrated.query("SELECT * FROM translations WHERE video_translate_id = ?", ended[0])
    assert (told["video_translate_id"], told["kind"], told["url"]) == (
        ended[0],
        "captions",
        row["caption_url"],
    )
    assert told["url_expires_at"] > "2026-01-02"
    assert (asked(simulator), row["url"] == known[0]) == (before + 1, False)
    assert (row["status"], row["next_poll_at"], row["claimed_by"]) == ("success", None, None)
    assert migrated.query("SELECT * FROM link_changes") == []
    assert len(migrated.query("SELECT * FROM changes WHERE translation_id = ?", row["id"])) == 1


@pytest.fixture
def simulator_that_is_slow() -> Iterator[SimulatorClient]:
    scenario = Scenario(pending_seconds=(0, 0), running_seconds=(0, 0), latency_seconds=(1, 1))
    with running(create_app(scenario)) as address, SimulatorClient(address) as client:
        yield client


def test_processes_that_ask_at_once_ask_heygen_once(
    migrated: Program, simulator_that_is_slow: SimulatorClient
) -> None:
    simulator = simulator_that_is_slow
    ended = simulator.create("es")
    migrated.execute(
        "INSERT INTO translations (video_translate_id, status, url, url_expires_at, next_poll_at) "
        "VALUES (?, 'success', 'https://resource2.heygen.ai/a.mp4?old', ?, NULL)",
        ended[0],
        ENDED,
    )
    settings: dict[str, Any] = {
        "heygen_base_url": simulator.base_url,
        "heygen_api_key": KEY,
        "rate_limit": 200,
    }
    several = [migrated.process("url", ended[0], **settings) for _ in range(4)]
    said = [process.communicate(timeout=PATIENCE * 2) for process in several]
    assert [process.returncode for process in several] == [0] * 4, said
    assert {out for out, _ in said} == {f"{stored(migrated)[0]}\n"}
    assert asked(simulator) == 1


@pytest.mark.parametrize(
    ("name", "text"), [("new-es", "is pending: not finished yet"), ("bad-it", "has failed")]
)
def test_what_has_no_file_is_code_1_and_says_why(
    house: Program, simulator: SimulatorClient, name: str, text: str
) -> None:
    ran = url(house, simulator, name)
    assert (ran.code, ran.out) == (1, "")
    assert f"error: {name} {text}" in ran.err


def test_one_without_a_link_keeps_no_other_back(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    migrated.track("open")
    ran = url(migrated, simulator, "open", ended[1])
    assert (ran.code, ran.out) == (1, f"{stored(migrated)[1]}\n")
    assert "open is pending" in ran.err
    ran = url(migrated, simulator, ended[0], "--kind", "audio")
    assert (ran.code, ran.out) == (1, "")
    assert "has no audio" in ran.err


def test_a_stranger_is_code_2_before_anything_is_asked(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    end_links(migrated)
    before = asked(simulator)
    ran = url(migrated, simulator, ended[0], "stranger")
    assert (ran.code, ran.out) == (2, "")
    assert "'stranger' is not tracked" in ran.err
    assert asked(simulator) == before


def test_without_a_key_a_link_that_lives_is_given_and_another_is_code_3(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    assert url(migrated, simulator, ended[0], key=None).code == 0
    end_links(migrated)
    ran = url(migrated, simulator, ended[0], key=None)
    assert (ran.code, ran.out) == (3, "")
    assert "TRACKER_HEYGEN_API_KEY" in ran.err


def test_a_refused_key_is_code_3_and_makes_nothing_due(
    migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]
) -> None:
    end_links(migrated)
    ran = url(migrated, simulator, ended[0], key="wrong-key")
    assert (ran.code, ran.out) == (3, "")
    assert "401" in ran.err
    assert "wrong-key" not in ran.err
    assert migrated.query("SELECT * FROM translations WHERE next_poll_at IS NOT NULL") == []


def test_off_asks_nobody(migrated: Program, simulator: SimulatorClient, ended: tuple[str, str]) -> None:
    end_links(migrated)
    before = asked(simulator)
    ran = url(migrated, simulator, ended[0], freshness="off")
    assert (ran.code, ran.out) == (1, "")
    assert "TRACKER_KEEP_LINKS_FRESH is off" in ran.err
    assert asked(simulator) == before


def test_what_heygen_no_longer_knows_says_so_and_stays_what_it_is(
    migrated: Program, simulator: SimulatorClient
) -> None:
    migrated.execute(
        "INSERT INTO translations (video_translate_id, status, url, url_expires_at, next_poll_at) "
        "VALUES ('gone', 'success', 'https://resource2.heygen.ai/gone.mp4', ?, NULL)",
        ENDED,
    )
    ran = url(migrated, simulator, "gone")
    assert (ran.code, ran.out) == (1, "")
    assert "HeyGen does not know gone any more" in ran.err
    [row] = migrated.query("SELECT status, attention, next_poll_at FROM translations")
    assert tuple(row.values()) == ("success", None, None)
