"""How often is asked: by what webhooks prove, and within the rate limit or plainly not."""

from .processes import SECRET, Stage
from .truths import check_invariants, is_right

FIRST, SECOND = 100.0, 400.0  # seconds that only a jump of the simulator's clock brings about


def test_webhooks_that_arrive_relax_polling_and_one_that_does_not_ends_that_at_once(stage: Stage) -> None:
    told = [{"running_seconds": FIRST}] * 5
    lost = [{"running_seconds": FIRST + SECOND, "webhook": "lost"}] * 2
    simulator = stage.simulator(fates=told + lost)
    daemon = stage.daemon(simulator, heygen_api="v3", poll_min_interval=3, poll_max_interval=6)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    assert daemon.ready()["poller"]["mode"] == "eager"
    stage.database.track(simulator.client.create_many(7))
    running = "SELECT id FROM translations WHERE status = 'running'"
    daemon.program.until(lambda: len(stage.database.query(running)) == 7, "the first poll of each")

    simulator.client.advance(FIRST)
    relaxed = daemon.until_ready(lambda ready: ready["poller"]["mode"] == "relaxed", "trust")
    assert relaxed["webhooks"]["delivery_rate"] == 1.0
    assert 'tracker_polling_mode{mode="relaxed"} 1.0' in daemon.get("/metrics").text

    simulator.client.advance(SECOND)
    lower = daemon.program.until_event("webhooks no longer reliable")
    assert (lower["level"], lower["stretch_before"], lower["stretch"]) == ("warning", 2.0, 1.0)
    eager = daemon.ready()
    assert (eager["poller"]["mode"], eager["webhooks"]["delivery_rate"] < 1) == ("eager", True)
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")
    check_invariants(stage.database)


def test_a_promise_that_the_rate_limit_breaks_is_told_once_and_by_how_much(stage: Stage) -> None:
    simulator = stage.simulator(running_seconds=FIRST)
    settings = stage.settings(simulator, heygen_api="v2", rate_limit=1, max_staleness=10, stop_timeout=3)
    stage.done("migrate", **settings)
    stage.database.track(simulator.client.create_many(20))
    daemon = stage.up(stage.start("tracker", "run", **settings))
    told = daemon.program.until_event("max_staleness cannot be kept")
    assert (told["level"], told["promised"], told["young"], told["older"]) == ("error", 10.0, 20, 0)
    assert told["possible"] == 22.2  # 20 translations, of one request a second nine tenths
    assert told["short_by"] == 12.2

    ready = daemon.ready()["poller"]
    assert (ready["mode"], ready["max_staleness_seconds"]) == ("saturated", 10.0)
    assert round(ready["staleness_seconds"], 1) == told["possible"]
    metrics = daemon.get("/metrics").text
    assert 'tracker_polling_mode{mode="saturated"} 1.0' in metrics
    assert 'tracker_staleness_seconds{kind="promised"} 10.0' in metrics

    stage.database.track(simulator.client.create_many(20))
    daemon.until_ready(lambda ready: ready["poller"]["staleness_seconds"] > 40, "the next plan")
    assert len(daemon.program.events_named("max_staleness cannot be kept")) == 1
    assert daemon.program.events_named("max_staleness can be kept") == []
