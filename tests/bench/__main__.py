"""`make bench`: what polling costs and how late it is, with real processes against the look-alike.

No webhook is sent, so that every end has to be found by asking. Intervals are a fifth of the defaults, so
that a run ends in minutes; the figures to quote are the ratios, all of one run.
"""

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import intake, scale, sizes
from tests.bench.figures import cpu_seconds, peak_megabytes
from tests.end_to_end.processes import Daemon, Simulator, Stage
from tracker.simulator.truth import Truth

SHORTEST = 3.0  # seconds: TRACKER_POLL_MIN_INTERVAL, a fifth of its default
PROMISED = 12.0  # TRACKER_MAX_STALENESS, likewise
LOOP_SECONDS = 2.0  # a plain loop asks about each open translation so often: a fifth of ten seconds
LOOK_SECONDS = 0.5
PATIENCE = 600.0
UNSETTLED = "SELECT count(*) AS n FROM translations WHERE finished_at IS NULL OR next_poll_at IS NOT NULL"
OPEN = "SELECT count(*) AS n FROM translations WHERE finished_at IS NULL"
ENDS = """
    SELECT t.video_translate_id AS id, c.recorded_at AS at FROM changes c
    JOIN translations t ON t.id = c.translation_id WHERE c.new_status IN ('success', 'failed')
"""


@dataclass(frozen=True, slots=True)
class Case:
    """So many translations, which end within `ends` seconds of their creation."""

    api: str
    translations: int
    rate_limit: int
    ends: tuple[float, float]

    @property
    def name(self) -> str:
        return f"{self.api} {self.translations:,}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one case came to; times in seconds."""

    case: Case
    calls: int
    bulk: int
    lags: Sequence[float]
    loop_calls: int
    settled_after: float
    cpu: float
    memory: float

    def lag(self, share: float) -> float:
        ordered = sorted(self.lags)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    @property
    def row(self) -> dict[str, str]:
        count = self.case.translations
        return {
            "case": self.case.name,
            "rate limit": f"{self.case.rate_limit}/s",
            "calls": f"{self.calls:,}",
            "of them bulk": f"{self.bulk:,}",
            "calls per finished": f"{self.calls / count:.2f}",
            "plain loop / ours": f"{self.loop_calls / self.calls:.1f}",
            "lag p50": f"{self.lag(0.5):.1f} s",
            "lag p99": f"{self.lag(0.99):.1f} s",
            "p99 / shortest interval": f"{self.lag(0.99) / SHORTEST:.1f}",
            "links after last end": f"{self.settled_after:.0f} s",
            "CPU": f"{self.cpu:.0f} s",
            "memory": f"{self.memory:.0f} MB",
        }


CASES = (
    Case("v3", 1_000, 25, (15, 75)),
    Case("v2", 1_000, 25, (15, 75)),
    Case("v3", 10_000, 100, (30, 180)),
)


def run(case: Case, directory: Path) -> Figures:
    """One case, with processes and a database of its own."""
    stage = Stage(directory)
    try:
        simulator = stage.simulator(running_seconds=list(case.ends), webhook_lost=1)
        ids = simulator.client.create_many(case.translations)
        stage.start("migrate", "migrate", **stage.settings()).wait()
        stage.database.track(ids)
        daemon = stage.daemon(
            simulator,
            heygen_api=case.api,
            rate_limit=case.rate_limit,
            poll_min_interval=SHORTEST,
            max_staleness=PROMISED,
            poll_max_interval=120,
            request_timeout=15,
        )
        _wait(stage, OPEN, case)
        ended = time.monotonic()
        _wait(stage, UNSETTLED, case)
        return _measure(case, stage, simulator, daemon, time.monotonic() - ended)
    finally:
        stage.close()


def _wait(stage: Stage, sql: str, case: Case) -> None:
    deadline = time.monotonic() + PATIENCE
    while left := stage.database.query(sql)[0]["n"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{case.name}: {left} are still to do after {PATIENCE:g} s")
        print(f"\r{case.name}: {left:6,} to go ", end="", file=sys.stderr, flush=True)
        time.sleep(LOOK_SECONDS)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)


def _measure(case: Case, stage: Stage, simulator: Simulator, daemon: Daemon, settled: float) -> Figures:
    truth = simulator.truth()
    ended = {one.video_translate_id: one.finished_at for one in truth.translations}
    stored = {
        row["id"]: datetime.fromisoformat(row["at"]).replace(tzinfo=UTC) for row in stage.database.query(ENDS)
    }
    _check(stage, truth)
    calls = truth.requests.by_route
    process = daemon.program.process.pid
    return Figures(
        case=case,
        calls=sum(count for route, count in calls.items() if not route.endswith("create")),
        bulk=calls.get("v3.statuses", 0),
        lags=[(stored[one] - at).total_seconds() for one, at in ended.items()],
        loop_calls=sum(
            math.ceil((one.finished_at - one.created_at).total_seconds() / LOOP_SECONDS)
            for one in truth.translations
        ),
        settled_after=settled,
        cpu=cpu_seconds(process),
        memory=peak_megabytes(process),
    )


def _check(stage: Stage, truth: Truth) -> None:
    """Quick and wrong would be no figure at all."""
    stored = stage.database.statuses()
    wrong = [one for one in truth.translations if stored.get(one.video_translate_id) != one.outcome]
    if wrong or len(stored) != len(truth.translations):
        raise SystemExit(f"{len(wrong)} translations are not what the look-alike says")


def show(figures: Sequence[Figures]) -> None:
    """The table, a column a case, and the ratio that the bulk questions make."""
    rows = [one.row for one in figures]
    for name in rows[0]:
        print(f"{name:>24}" + "".join(f"{row[name]:>14}" for row in rows))
    by_name = {one.case.name: one for one in figures}
    if (bulk := by_name.get("v3 1,000")) and (single := by_name.get("v2 1,000")):
        print("\nv2 / v3, 1,000 translations, the same rate limit:")
        print(f"{single.calls / bulk.calls:.1f} times the calls,")
        print(f"{single.lag(0.99) / bulk.lag(0.99):.1f} times the p99 lag")


def main() -> None:
    """All cases, or those whose names are given: `python -m tests.bench "v3 1,000" sizes`."""
    wanted = sys.argv[1:]
    figures = []
    for case in CASES:
        if not wanted or case.name in wanted:
            with tempfile.TemporaryDirectory() as directory:
                figures.append(run(case, Path(directory)))
    if figures:
        show(figures)
    if not wanted or "intake" in wanted:
        intake.main()
    if not wanted or "sizes" in wanted:
        sizes.main()
    for word in wanted:
        name, _, share = word.partition("=")
        if name == "scale":
            scale.main(float(share or 1))


if __name__ == "__main__":
    main()
