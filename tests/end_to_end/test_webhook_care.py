"""The endpoint at HeyGen and its secrets: registered and rotated while the daemon runs."""

import json
import stat

from .processes import Daemon, Simulator, Stage
from .truths import check_invariants

LATE = 600.0  # seconds that only a jump of the simulator's clock brings about


def test_webhooks_of_the_old_and_the_new_secret_are_accepted_without_a_restart(stage: Stage) -> None:
    simulator = stage.simulator(fates=[{}, {"webhook": "late"}, {}], late_seconds=LATE, webhook_retries=0)
    file = stage.directory / "secrets.json"
    settings = stage.settings(
        simulator, webhook_secret=None, webhook_secrets_file=file, heygen_api="v3", poll_min_interval=1
    )
    daemon = stage.up(stage.start("tracker", "run", **settings))
    told = json.loads(stage.done("webhook", "register", "--url", daemon.webhooks, "--json", **settings))
    [endpoint] = simulator.client.endpoints()
    assert (endpoint.endpoint_id, endpoint.url) == (told["endpoint_id"], daemon.webhooks)
    assert told["secret"] is None  # it is in the file alone
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    prompt = _made(simulator)
    _until_signed(stage, daemon, prompt, "heygen")
    late = _made(simulator)  # is signed at its end, and sent later
    simulator.program.until(lambda: simulator.truth().of(late).deliveries, "its end")
    stage.done("webhook", "rotate", **settings)
    [rotated] = simulator.client.endpoints()
    assert rotated.secret != endpoint.secret
    after = _made(simulator)
    _until_signed(stage, daemon, after, "heygen")
    simulator.client.advance(LATE)
    [before] = [name for name in json.loads(file.read_text()) if name != "heygen"]
    _until_signed(stage, daemon, late, before)

    def answered() -> list[tuple[int, int]]:
        sent = [one for each in simulator.truth().translations for one in each.deliveries]
        return [(one.attempts, one.last_status) for one in sent if one.last_status is not None]

    simulator.program.until(lambda: len(answered()) == 3, "the answers to be heard")
    assert answered() == [(1, 200)] * 3
    assert "tracker_webhook_refused_total{" not in daemon.get("/metrics").text
    used = json.loads(stage.done("webhook", "status", "--json", **settings))["secrets"]
    assert {one["name"]: one["times_used"] for one in used} == {"heygen": 2, before: 1}
    assert all(one["last_used"] for one in used)
    for secret in (endpoint.secret, rotated.secret):
        assert secret is not None
        assert secret not in daemon.program.output
    check_invariants(stage.database)


def _made(simulator: Simulator) -> str:
    """One that its webhook alone makes known here."""
    [one] = simulator.client.create("es")
    return one


def _until_signed(stage: Stage, daemon: Daemon, video_translate_id: str, name: str) -> None:
    """Wait for its webhook, signed with the secret of that name."""
    sql = "SELECT signed_by FROM deliveries WHERE video_translate_id = ?"
    found = daemon.program.until(lambda: stage.database.query(sql, video_translate_id), "the webhook")
    assert found == [{"signed_by": name}]
