"""Links that never go stale: the real daemon, the look-alike, and people who ask at the same time."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from .processes import Daemon, Simulator, Stage

ENDED = "2026-01-01 00:00:00.000000"


def finished(stage: Stage, simulator: Simulator, daemon: Daemon, count: int) -> list[str]:
    """So many translations that have ended and are settled."""
    ids = simulator.client.create_many(count)
    stage.database.track(ids)
    settled = (
        "SELECT id FROM translations WHERE status = 'success' AND next_poll_at IS NULL AND url IS NOT NULL"
    )
    daemon.program.until(lambda: len(stage.database.query(settled)) == count or None, "all ends")
    return ids


def urls(stage: Stage) -> list[str]:
    return [row["url"] for row in stage.database.query("SELECT url FROM translations ORDER BY id")]


def polls_of(stage: Stage) -> list[int]:
    return [
        row["poll_count"] for row in stage.database.query("SELECT poll_count FROM translations ORDER BY id")
    ]


def metric(daemon: Daemon, name: str) -> float:
    lines = [line for line in daemon.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(lines[0].rpartition(" ")[2])


def test_a_crowd_that_asks_the_daemon_and_a_verb_for_one_video_ask_heygen_once(stage: Stage) -> None:
    simulator = stage.simulator(latency_seconds=[0.5, 0.5])
    daemon = stage.daemon(simulator)
    [one, _] = finished(stage, simulator, daemon, 2)
    before = polls_of(stage)
    stage.database.execute("UPDATE translations SET url_expires_at = ?", [(ENDED,)])

    verb = stage.start("url", "url", one, **stage.settings(simulator))
    with ThreadPoolExecutor(8) as crowd:
        asked = [crowd.submit(httpx.get, f"{daemon.admin}/api/translations/{one}/video") for _ in range(8)]
        answers = [one.result() for one in asked]
    assert verb.wait() == 0

    [fresh, other] = urls(stage)
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(302, fresh)}
    assert verb.output.strip() == fresh
    assert polls_of(stage) == [before[0] + 1, before[1]]
    assert fresh != other
    assert metric(daemon, 'tracker_links_renewed_total{cause="on_demand"}') <= 1  # or the verb was quicker
    assert fresh.partition("?")[2] not in daemon.program.output


def test_links_are_renewed_before_they_end_where_a_setting_says_so(stage: Stage) -> None:
    """Also those of which an earlier release had said only until when the video's works."""
    simulator = stage.simulator()
    daemon = stage.daemon(simulator, keep_links_fresh="always")
    finished(stage, simulator, daemon, 6)
    before, polls = urls(stage), polls_of(stage)
    assert metric(daemon, 'tracker_links_renewed_total{cause="always"}') == 0

    stage.database.execute("UPDATE translations SET renew_links_at = ? WHERE id <= 2", [(ENDED,)])
    soon = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '+20 hours')"
    old = f"UPDATE translations SET renew_links_at = NULL, url_expires_at = {soon} WHERE id IN (3, ?)"
    stage.database.execute(old, [(4,)])

    daemon.program.until(
        lambda: (urls(stage)[:4] != before[:4] and polls_of(stage)[3] > polls[3]) or None, "four"
    )
    daemon.program.until(
        lambda: metric(daemon, 'tracker_links_renewed_total{cause="always"}') == 4 or None, "four renewals"
    )
    assert [old != new for old, new in zip(before, urls(stage), strict=True)] == [True] * 4 + [False] * 2
    assert polls_of(stage) == [count + (number < 4) for number, count in enumerate(polls)]
    rows = stage.database.query(
        "SELECT status, next_poll_at, renew_links_at, url_expires_at FROM translations"
    )
    assert all(row["status"] == "success" and row["next_poll_at"] is None for row in rows)
    assert all("2026-01-02" < row["renew_links_at"] < row["url_expires_at"] for row in rows)
    assert stage.database.query("SELECT * FROM link_changes") == []


def test_on_demand_renews_nothing_by_itself(stage: Stage) -> None:
    simulator = stage.simulator()
    daemon = stage.daemon(simulator)
    [one] = finished(stage, simulator, daemon, 1)
    before = polls_of(stage)
    stage.database.execute("UPDATE translations SET renew_links_at = ?", [(ENDED,)])
    ids = simulator.client.create_many(1)  # what is open is polled meanwhile, so that ticks went by
    stage.database.track(ids)
    daemon.program.until(lambda: stage.database.row(ids[0])["url"], "another end")
    assert stage.database.row(one)["poll_count"] == before[0]
