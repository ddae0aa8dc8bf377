"""`tracker demo`, as a newcomer runs it, and the look-alike's truth that it is judged by."""

import json
import subprocess
from pathlib import Path

from tracker.cli.demo_view import Row, report
from tracker.simulator.truth import Truth

from .processes import PROGRAM, clean_environment


def test_the_demo_brings_twelve_translations_home(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*PROGRAM, "demo", "--json"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    told = json.loads(ended.stdout)
    assert told["right"]
    assert len(told["translations"]) == 12
    assert sorted(one["status"] for one in told["translations"]).count("failed") == 2
    assert {one["source"] for one in told["translations"]} == {"webhook", "poll"}
    assert (tmp_path / ".demo" / "tracker.db").exists()


def test_the_demo_says_so_when_a_row_is_not_the_truth() -> None:
    assert report([_row()], TRUTH)["right"]
    assert not report([_row(status="failed")], TRUTH)["right"]
    assert not report([_row(url=None)], TRUTH)["right"]
    assert not report([_row(callback_id="another")], TRUTH)["right"]
    assert not report([], TRUTH)["right"]
    assert not report([_row(), _row(video_translate_id="stray")], TRUTH)["right"]


def _row(
    *,
    video_translate_id: str = "a-es",
    callback_id: str = "order",
    status: str = "success",
    url: str | None = "https://resource2.heygen.ai/a-es.mp4",
) -> Row:
    return Row(
        video_translate_id=video_translate_id,
        callback_id=callback_id,
        title=None,
        output_language="es",
        status=status,
        url=url,
        attention=None,
        source="poll",
        recorded_at="2026-11-23 12:00:10.000000",
    )


TRUTH = Truth.model_validate(
    {
        "now": "2026-11-23T12:01:00Z",
        "translations": [
            {
                "video_translate_id": "a-es",
                "callback_id": "order",
                "title": None,
                "output_language": "es",
                "status": "success",
                "created_at": "2026-11-23T12:00:00Z",
                "running_at": "2026-11-23T12:00:01Z",
                "finished_at": "2026-11-23T12:00:09Z",
                "url_at": "2026-11-23T12:00:09Z",
                "url_ready": True,
                "message": None,
                "fate": {
                    "outcome": "success",
                    "webhook": "lost",
                    "url": "at_once",
                    "pending_seconds": 1,
                    "running_seconds": 8,
                    "url_delay_seconds": 0,
                    "late_seconds": 0,
                    "not_found_seconds": 0,
                    "message": "",
                },
                "deliveries": [],
            }
        ],
        "other_deliveries": [],
        "requests": {
            "create_total": 1,
            "status_total": 1,
            "status_by_id": {},
            "status_by_answer": {},
            "status_in_flight_max": 1,
            "status_overlaps": 0,
        },
    }
)
