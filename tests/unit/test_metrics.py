"""The figures, as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from tracker.metrics import Metrics


def samples(metrics: Metrics, **now: object) -> dict[str, float]:
    told = {"counts": [], "oldest_due_age": 0.0, "paused": None, "stretch": 1.0, **now}
    text = metrics.expose(told.pop("counts"), **told)  # type: ignore[arg-type]
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

    assert samples(metrics, paused="key rejected")["tracker_polling_paused|key rejected"] == 1
    assert not any("paused" in name for name in samples(metrics))


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
