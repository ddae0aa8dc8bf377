"""The figures, as Prometheus reads them."""

import math
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.builders import NOON
from tracker.domain.files.records import Missing
from tracker.domain.poller_state import PollerState
from tracker.observability.metrics import Metrics


def samples(metrics: Metrics, **now: Any) -> dict[str, float]:
    told: dict[str, Any] = {"counts": [], "oldest_due_age": 0.0, "poller": PollerState(NOON), "stretch": 1.0}
    told |= {"backlog": {}} | now
    text = metrics.expose(told.pop("counts"), **told)
    return {
        one.name + "".join(f"|{value}" for _, value in sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text.decode())
        for one in family.samples
    }


def test_changes_are_counted_by_source_and_new_status() -> None:
    metrics = Metrics()
    for source in ("webhook", "poll", "webhook"):
        metrics.changed("success", source)

    found = samples(metrics)

    assert found["tracker_changes_total|success|webhook"] == 2
    assert found["tracker_changes_total|success|poll"] == 1


def test_webhooks_are_counted_by_outcome_and_repetitions_apart() -> None:
    metrics = Metrics()
    metrics.delivered("applied", duplicate=False)
    metrics.delivered("applied", duplicate=True)
    metrics.refused(401)

    found = samples(metrics)

    assert found["tracker_webhook_deliveries_total|applied"] == 1
    assert found["tracker_webhook_duplicates_total"] == 1
    assert found["tracker_webhook_refused_total|401"] == 1


def test_translations_are_those_of_this_moment() -> None:
    metrics = Metrics()
    samples(metrics, counts=[("running", "overdue", 3)])

    found = samples(metrics, counts=[("success", None, 5)])

    assert {name: value for name, value in found.items() if name.startswith("tracker_translations|")} == {
        "tracker_translations|none|success": 5
    }


def test_a_pause_is_shown_while_it_lasts() -> None:
    metrics = Metrics()

    paused = samples(metrics, poller=PollerState(NOON, paused="key rejected"))
    assert paused["tracker_polling_paused|key rejected"] == 1
    assert not any("paused" in name for name in samples(metrics))


def test_only_the_api_and_the_mode_of_this_moment_are_shown() -> None:
    metrics = Metrics()
    samples(metrics, poller=PollerState(NOON, api="v2", mode="eager"))

    found = samples(metrics, poller=PollerState(NOON, api="v3", mode="saturated"))

    assert {name: value for name, value in found.items() if "_api|" in name or "_mode|" in name} == {
        "tracker_heygen_api|v3": 1,
        "tracker_polling_mode|saturated": 1,
    }


def test_the_planned_staleness_stands_beside_the_promised() -> None:
    found = samples(Metrics(), poller=PollerState(NOON, staleness=71.5, promised=60.0))

    assert found["tracker_staleness_seconds|planned"] == 71.5
    assert found["tracker_staleness_seconds|promised"] == 60.0


def test_what_is_not_known_is_no_number() -> None:
    metrics = Metrics()
    samples(metrics, poller=PollerState(NOON, staleness=71.5, promised=60.0, delivery_rate=0.5))

    found = samples(metrics)

    for name in ("staleness_seconds|planned", "staleness_seconds|promised", "webhook_delivery_rate"):
        assert math.isnan(found[f"tracker_{name}"])


def test_webhooks_are_shown_by_their_rate_and_each_problem_of_their_endpoint() -> None:
    metrics = Metrics()
    problems = PollerState(NOON, delivery_rate=0.75, webhook_problems=["disabled", "moved"])

    found = samples(metrics, poller=problems)

    assert found["tracker_webhook_delivery_rate"] == 0.75
    assert found["tracker_webhook_endpoint_problem|disabled"] == 1
    assert found["tracker_webhook_endpoint_problem|moved"] == 1
    assert not any("endpoint_problem" in name for name in samples(metrics))


def test_requests_to_heygen_are_counted_by_kind() -> None:
    metrics = Metrics()
    for kind in ("status", "statuses", "status"):
        metrics.asked(kind)

    found = samples(metrics)

    assert found["tracker_heygen_requests_total|status"] == 2
    assert found["tracker_heygen_requests_total|statuses"] == 1


def test_polls_lag_age_and_stretch_are_shown() -> None:
    metrics = Metrics()
    metrics.polled("changed")
    metrics.lagged(0.25)

    found = samples(metrics, oldest_due_age=12.5, stretch=4.0)

    assert found["tracker_polls_total|changed"] == 1
    assert found["tracker_loop_lag_seconds"] == 0.25
    assert found["tracker_oldest_due_poll_age_seconds"] == 12.5
    assert found["tracker_poll_interval_stretch"] == 4.0


def test_two_sets_of_figures_do_not_disturb_each_other() -> None:
    first, second = Metrics(), Metrics()
    first.polled("changed")

    assert "tracker_polls_total|changed" not in samples(second)


def test_what_retention_deleted_is_counted_and_its_backlog_is_that_of_this_moment() -> None:
    metrics = Metrics()
    metrics.pruned("deliveries", 200)
    metrics.pruned("deliveries", 3)
    samples(metrics, backlog={"translations": 7})

    found = samples(metrics, backlog={"deliveries": 10_000})

    assert found["tracker_retention_deleted_total|deliveries"] == 203
    assert {name: value for name, value in found.items() if name.startswith("tracker_retention_backlog")} == {
        "tracker_retention_backlog|deliveries": 10_000
    }


def test_what_is_archived_is_counted_and_what_is_missing_is_that_of_this_moment() -> None:
    metrics = Metrics()
    metrics.archived("video", 1000)
    metrics.archived("srt", 10)
    samples(metrics, missing=Missing({"failed": 9}, 1.0))

    found = samples(metrics, missing=Missing({"waiting": 3, "downloading": 0}, 90.5))

    assert found["tracker_archived_files_total|video"] == 1
    assert found["tracker_archived_bytes_total"] == 1010
    assert found["tracker_archive_oldest_waiting_seconds"] == 90.5
    assert {name: value for name, value in found.items() if name.startswith("tracker_archive_files|")} == {
        "tracker_archive_files|waiting": 3,
        "tracker_archive_files|downloading": 0,
    }
    assert samples(metrics)["tracker_archive_oldest_waiting_seconds"] == 0
