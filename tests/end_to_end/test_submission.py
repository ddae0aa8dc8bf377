"""`tracker submit`, killed while HeyGen has created everything and answered nothing."""

import pytest

from .processes import SECRET, Daemon, Simulator, Stage
from .truths import check_invariants, is_right

LANGUAGES = ("Spanish (Spain)", "German", "Urdu (Pakistan)")
FAR = 1000.0  # seconds that only a jump of the simulator's clock brings about


def killed_submit(stage: Stage, simulator: Simulator) -> None:
    """It dies after HeyGen has created what it asked for."""
    simulator.client.set_faults("hang_after", routes=["create"])
    named = [word for language in LANGUAGES for word in ("--language", language)]
    settings = stage.settings(simulator, heygen_api="v3", request_timeout=60)
    video = ("--video-url", "https://example.com/talk.mp4")
    submit = stage.start("submit", "submit", *video, *named, **settings)
    submit.until(lambda: len(simulator.truth().translations) == len(LANGUAGES), "HeyGen to create them")
    submit.kill()
    simulator.client.set_faults(None)
    rows = stage.database.query("SELECT video_translate_id, status FROM translations")
    assert rows == [{"video_translate_id": None, "status": "pending"}] * len(LANGUAGES)
    assert state(stage) == "sent"


def state(stage: Stage) -> str:
    [submission] = stage.database.query("SELECT state FROM submissions")
    return str(submission["state"])


def let_lapse(stage: Stage) -> None:
    """As if the time had gone by in which the dead verb might have got its answer."""
    stage.database.execute("UPDATE submissions SET next_attempt_at = sent_at", [[]])


def check_exactly_once(stage: Stage, simulator: Simulator) -> None:
    """Nothing was lost, nothing doubled, and each row is of the language that it was made for."""
    truth = simulator.truth()
    assert [one.output_language for one in truth.translations] == list(LANGUAGES)
    rows = stage.database.query("SELECT video_translate_id, output_language FROM translations ORDER BY id")
    assert [(row["video_translate_id"], row["output_language"]) for row in rows] == [
        (one.video_translate_id, one.output_language) for one in truth.translations
    ]
    check_invariants(stage.database)


def right(stage: Stage, daemon: Daemon, simulator: Simulator) -> None:
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "all rows to be right")


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_the_daemon_asks_again_with_the_same_key(stage: Stage, outcome: str) -> None:
    fates = [{"outcome": outcome, "webhook": "lost"}] * len(LANGUAGES)
    simulator = stage.simulator(fates=fates, hang_seconds=60, event_log_complete=False)
    stage.done("migrate", **stage.settings())
    killed_submit(stage, simulator)
    let_lapse(stage)
    daemon = stage.daemon(simulator, heygen_api="v3")
    right(stage, daemon, simulator)
    assert state(stage) == "done"
    check_exactly_once(stage, simulator)
    assert simulator.truth().requests.by_route["v3.create"] == 2


def test_webhooks_tell_the_ids_before_the_daemon_may_ask_again(stage: Stage) -> None:
    simulator = stage.simulator(running_seconds=FAR, hang_seconds=60)
    stage.done("migrate", **stage.settings())
    killed_submit(stage, simulator)
    daemon = stage.daemon(simulator, heygen_api="v3")
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    simulator.client.advance(FAR)
    right(stage, daemon, simulator)
    check_exactly_once(stage, simulator)
    assert simulator.truth().requests.by_route["v3.create"] == 1
    assert daemon.program.terminate() == 0

    let_lapse(stage)
    again = stage.daemon(simulator, heygen_api="v3")
    again.program.until(lambda: state(stage) == "done", "the submission to be settled")
    right(stage, again, simulator)
    check_exactly_once(stage, simulator)
