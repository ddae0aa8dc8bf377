"""A daemon that has no API key and an old database: what is too old goes, and the rest stays."""

from .processes import Daemon, Stage

OLD, NEW = "2020-01-01 00:00:00.000000", "2020-06-01 00:00:00.000000"
DELIVERY = (
    "INSERT INTO deliveries (body_sha256, outcome, received_at, last_received_at) VALUES (?, 'ignored', ?, ?)"
)
END = (
    "INSERT INTO translations (video_translate_id, status, finished_at, next_poll_at) "
    "VALUES (?, 'success', ?, NULL)"
)


def backlog(daemon: Daemon) -> dict[str, float]:
    lines = daemon.get("/metrics").text.splitlines()
    told = [line.rpartition(" ") for line in lines if line.startswith("tracker_retention_backlog{")]
    return {name.split('"')[1]: float(value) for name, _, value in told}


def fill(stage: Stage, count: int) -> None:
    """Old rows of each kind, and one of each that comes last."""
    stage.done("migrate", **stage.settings())
    names = [f"x{number}" for number in range(count)]
    stage.database.execute(DELIVERY, [*((name, OLD, OLD) for name in names), ("last", NEW, NEW)])
    stage.database.execute(END, [*((name, OLD) for name in names), ("last", NEW)])
    stage.database.execute("INSERT INTO delivery_bodies SELECT id, '[]', 'x' FROM deliveries WHERE ?", [(1,)])


def test_what_is_too_old_goes_without_an_api_key(stage: Stage) -> None:
    fill(stage, 3000)
    daemon = stage.daemon(heygen_api_key=None, keep_finished="30d")

    told = daemon.program.until_event("pruned")

    assert (told["delivery_bodies"], told["deliveries"], told["translations"]) == (3001, 3000, 3000)
    assert backlog(daemon) == {"delivery_bodies": 0, "deliveries": 0, "translations": 0}
    assert stage.database.statuses() == {"last": "success"}
    assert 'tracker_retention_deleted_total{kind="deliveries"} 3000.0' in daemon.get("/metrics").text
    assert daemon.program.terminate() == 0


def test_finished_translations_stay_for_ever_unless_a_setting_says_otherwise(stage: Stage) -> None:
    fill(stage, 10)
    daemon = stage.daemon(heygen_api_key=None, log_level="debug")

    told = daemon.program.until_event("pruned")

    assert (told["delivery_bodies"], told["deliveries"], told["translations"]) == (11, 10, 0)
    assert backlog(daemon) == {"delivery_bodies": 0, "deliveries": 0}
    assert len(stage.database.statuses()) == 11
