"""`tracker webhook`: our endpoint at the look-alike, its secrets in a file, real processes."""

import http.server
import json
import re
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker.heygen.webhook_events import find_signer, sign
from tracker.simulator.remote import SimulatorClient
from tracker.simulator.truth import EndpointTruth

from .conftest import Program, Ran

KEY = "simulator-key"
URL = "https://tracker.example/webhooks/heygen"
OUR_EVENTS = ("video_translate.success", "video_translate.fail")


class Webhook:
    """`tracker webhook ...` against the look-alike, with a file for secrets unless it is taken away."""

    def __init__(self, program: Program, simulator: SimulatorClient) -> None:
        self.program = program
        self.simulator = simulator
        self.path = program.directory / "secrets.json"
        self.settings: dict[str, Any] = {
            "heygen_base_url": simulator.base_url,
            "heygen_api_key": KEY,
            "rate_limit": 200,
            "webhook_secrets_file": self.path,
        }

    def __call__(self, *arguments: str, **settings: object) -> Ran:
        return self.program("webhook", *arguments, **{**self.settings, **settings})

    @property
    def secrets(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())  # type: ignore[no-any-return]

    @property
    def endpoint(self) -> EndpointTruth:
        [one] = self.simulator.endpoints()
        return one

    @property
    def remembered(self) -> Any:
        rows = self.program.query("SELECT value FROM tracker_state WHERE name = 'webhook_endpoint'")
        return json.loads(rows[0]["value"]) if rows else None


@pytest.fixture
def webhook(migrated: Program, simulator: SimulatorClient) -> Webhook:
    return Webhook(migrated, simulator)


# register


def test_an_endpoint_is_registered_and_its_secret_kept(webhook: Webhook) -> None:
    ran = webhook("register", "--url", URL)

    one = webhook.endpoint
    assert (ran.code, ran.err) == (0, "")
    assert (one.url, one.events, one.status) == (URL, OUR_EVENTS, "enabled")
    assert ran.out == (
        f"endpoint {one.endpoint_id} is registered: {URL}\nits secret is stored in {webhook.path} as heygen\n"
    )
    assert (webhook.secrets["heygen"]["secret"], webhook.secrets["heygen"]["endpoint_id"]) == (
        one.secret,
        one.endpoint_id,
    )
    assert stat.S_IMODE(webhook.path.stat().st_mode) == 0o600
    assert webhook.remembered == {"endpoint_id": one.endpoint_id, "url": URL, "legacy": False}


def test_the_setting_names_the_url_and_a_flag_the_secret(webhook: Webhook) -> None:
    ran = webhook("register", "--name", "v3.main", "--json", webhook_url=URL)

    assert (ran.code, ran.json["url"], ran.json["name"]) == (0, URL, "v3.main")
    assert (ran.json["secret"], ran.json["settings"]) == (None, [])
    assert list(webhook.secrets) == ["v3.main"]


def test_a_second_time_changes_nothing(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    before, kept = webhook.endpoint, webhook.path.read_text()
    ran = webhook("register", "--url", URL)

    assert (ran.code, ran.err) == (0, "")
    assert "was already registered: " in ran.out
    assert (webhook.endpoint, webhook.path.read_text()) == (before, kept)


def test_without_a_database_it_is_made(tracker: Program, simulator: SimulatorClient) -> None:
    webhook = Webhook(tracker, simulator)

    assert webhook("register", "--url", URL).code == 0
    assert webhook.remembered["endpoint_id"] == webhook.endpoint.endpoint_id


def test_what_is_wrong_with_it_is_repaired_and_nothing_else_changed(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    one = webhook.endpoint.endpoint_id
    change(webhook, one, {"events": ["avatar_video.success", "video_translate.fail"], "status": "disabled"})
    ran = webhook("register", "--url", URL)

    assert (ran.code, ran.err) == (0, "")
    assert "repaired: events, status" in ran.out
    assert webhook.endpoint.status == "enabled"
    assert webhook.endpoint.events == (
        "avatar_video.success",
        "video_translate.fail",
        "video_translate.success",
    )


def test_one_that_is_sent_everything_needs_no_repair(webhook: Webhook) -> None:
    webhook.simulator.set_webhook(URL, "whsec_by_hand")
    ran = webhook("register", "--url", URL)

    assert (ran.code, webhook.endpoint.events) == (1, None)  # nobody here knows its secret
    assert "repaired" not in ran.out
    assert f"`tracker webhook rotate {webhook.endpoint.endpoint_id}`" in ran.err
    assert not webhook.path.exists()


def test_without_a_file_the_secret_is_shown_once_with_its_setting(webhook: Webhook) -> None:
    ran = webhook("register", "--url", URL, webhook_secrets_file=None)

    assert (ran.code, ran.err) == (0, "")
    assert f"\nTRACKER_WEBHOOK_SECRET={webhook.endpoint.secret}\n" in ran.out
    assert "secret" not in webhook.remembered
    assert "whsec" not in webhook("register", "--url", URL, webhook_secrets_file=None).out


def test_a_secret_that_is_set_already_is_not_displaced(webhook: Webhook) -> None:
    ran = webhook("register", "--url", URL, "--json", webhook_secrets_file=None, webhook_secret="whsec_a")

    [setting] = ran.json["settings"]
    name, _, value = setting.partition("=")
    assert (name, json.loads(value)) == ("TRACKER_WEBHOOK_SECRETS", {"heygen": webhook.endpoint.secret})


def test_another_url_leaves_the_endpoint_before_to_people(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    before = webhook.endpoint.endpoint_id
    ran = webhook("register", "--url", f"{URL}/new", "--name", "new")

    assert ran.code == 0
    assert f"remove it with `tracker webhook remove {before}`" in ran.out
    assert webhook.remembered["url"] == f"{URL}/new"
    assert len(webhook.simulator.endpoints()) == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://tracker.example/x", "must be https"),
        ("ftp://tracker.example/x", "is not the url of a webhook endpoint"),
        ("tracker.example", "is not the url of a webhook endpoint"),
        ("https://user:hunter2@tracker.example/x", "is not the url of a webhook endpoint"),
        ("https://tracker.example/x#y", "is not the url of a webhook endpoint"),
        ("https://tracker.example:port/", "is not the url of a webhook endpoint"),
        ("https://[::1/", "is not the url of a webhook endpoint"),
    ],
)
def test_a_url_that_heygen_should_not_call_is_refused(webhook: Webhook, url: str, told: str) -> None:
    ran = webhook("register", "--url", url)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --url: ")
    assert told in ran.err
    assert "hunter2" not in ran.err
    assert webhook.simulator.endpoints() == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:8321/x", "http://localhost/x", "http://[::1]:8321/x"])
def test_this_machine_may_be_called_without_https(webhook: Webhook, url: str) -> None:
    assert webhook("register", "--url", url).code == 0


def test_nothing_is_registered_that_could_not_be_kept(webhook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for name, told in (
        ("nowhere/secrets.json", "cannot be written: No such file or directory"),
        ("broken.json", "is not what the webhook verbs write"),
    ):
        ran = webhook("register", "--url", URL, webhook_secrets_file=tmp_path / name)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
    assert webhook.simulator.endpoints() == []


def test_a_name_that_is_taken_is_refused_first(webhook: Webhook) -> None:
    ran = webhook("register", "--url", URL, "--name", "main", webhook_secret="whsec_a")

    assert (ran.code, ran.out) == (2, "")
    assert "--name main: is the name of a secret in the settings" in ran.err
    assert webhook.simulator.endpoints() == []


def test_without_a_key_or_a_url_it_is_said_what_lacks(webhook: Webhook) -> None:
    for settings, told in (
        ({"heygen_api_key": None}, "TRACKER_HEYGEN_API_KEY: is required"),
        ({}, "--url: the public URL of this tracker is required"),
    ):
        ran = webhook("register", **settings)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err


@pytest.mark.parametrize(
    ("fault", "told"),
    [("unauthorized", "HTTP 401"), ("500", "HTTP 500"), ("html", "HTTP 502"), ("429", "HTTP 429")],
)
def test_trouble_of_heygens_is_one_clear_line(webhook: Webhook, fault: Any, told: str) -> None:
    webhook.simulator.set_faults(fault, routes=["endpoints"])
    for verb in (["register", "--url", URL], ["status"], ["rotate", "ep"], ["remove", "ep"]):
        ran = webhook(*verb)
        assert (ran.code, ran.out) == (3, ""), verb
        assert re.fullmatch(r"error: [^\n]+\n", ran.err), verb
        assert told in ran.err


class HeyGen:
    """Says what it is told to, to one kind of request each; `before` runs first at each POST."""

    def __init__(self) -> None:
        self.post: tuple[int, object] = (500, {})
        self.listed: list[object] = []
        self.before: Callable[[], object] = lambda: None
        heygen = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, {"data": heygen.listed})

            def do_OPTIONS(self) -> None:
                self.answer(200, {})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heygen.before()
                self.answer(*heygen.post)

            def do_PATCH(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(400, {"error": {"code": "invalid_parameter", "message": "no such field"}})

            def answer(self, status: int, payload: object) -> None:
                body = json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Nobody reads it."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def heygen() -> Iterator[HeyGen]:
    stub = HeyGen()
    thread = threading.Thread(target=stub.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield stub
    stub.server.shutdown()
    thread.join()
    stub.server.server_close()


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (("register", "--url", URL), "may be registered; check with `tracker webhook status`"),
        (("rotate", "ep"), "may have been rotated; run `tracker webhook rotate` again"),
    ],
)
def test_an_answer_that_was_lost_is_told_with_a_way_out(
    webhook: Webhook, heygen: HeyGen, verb: tuple[str, ...], told: str
) -> None:
    ran = webhook(*verb, heygen_base_url=heygen.url)

    assert (ran.code, ran.out) == (3, "")
    assert told in ran.err


@pytest.mark.parametrize("verb", [("register", "--url", URL), ("rotate", "ep")])
def test_a_secret_that_could_not_be_written_after_all_is_printed(
    webhook: Webhook, heygen: HeyGen, verb: tuple[str, ...]
) -> None:
    folder = webhook.program.directory / "folder"
    folder.mkdir()
    heygen.before = folder.rmdir
    heygen.post = (200, {"data": {"endpoint_id": "ep", "url": URL, "secret": "whsec_once"}})
    ran = webhook(*verb, heygen_base_url=heygen.url, webhook_secrets_file=folder / "secrets.json")

    assert ran.code == 1
    assert "\nTRACKER_WEBHOOK_SECRET=whsec_once\n" in ran.out
    assert "cannot be written: No such file or directory" in ran.err
    assert "whsec_once" not in ran.err


def test_a_registration_without_a_secret_says_how_to_get_one(webhook: Webhook, heygen: HeyGen) -> None:
    heygen.post = (200, {"data": {"endpoint_id": "ep", "url": URL}})
    ran = webhook("register", "--url", URL, heygen_base_url=heygen.url)

    assert (ran.code, webhook.remembered["endpoint_id"]) == (1, "ep")
    assert "HeyGen returned no secret; create one with `tracker webhook rotate ep`" in ran.err


def test_a_repair_that_heygen_refuses_is_told_with_a_way_out(webhook: Webhook, heygen: HeyGen) -> None:
    heygen.listed = [{"endpoint_id": "ep", "url": URL, "status": "disabled"}]
    ran = webhook("register", "--url", URL, heygen_base_url=heygen.url)

    assert ran.code == 1
    assert "HeyGen refused the repair: HTTP 400: no such field" in ran.err
    assert "`tracker webhook remove ep`, then `tracker webhook register`" in ran.err


@pytest.mark.parametrize("is_removed_here", [True, False])
def test_one_that_is_gone_is_registered_again_under_its_name(webhook: Webhook, is_removed_here: bool) -> None:
    webhook("register", "--url", URL)
    lost = webhook.secrets["heygen"]["secret"]
    former = webhook.endpoint.endpoint_id
    if is_removed_here:
        assert webhook("remove", former).code == 0
    else:
        webhook.simulator._ask("DELETE", f"/v3/webhooks/endpoints/{former}")
    ran = webhook("register", "--url", URL)

    assert (ran.code, ran.err) == (0, "")
    assert webhook.secrets["heygen"]["secret"] == webhook.endpoint.secret != lost
    before = {name: one for name, one in webhook.secrets.items() if name != "heygen"}
    assert [(one["secret"], one["valid_until"] is None) for one in before.values()] == [(lost, False)]


@pytest.mark.parametrize("name", ["", " ", "a b", '"x', "x" * 65, "main"])
def test_a_name_that_cannot_be_is_refused(webhook: Webhook, name: str) -> None:
    ran = webhook("register", "--url", URL, "--name", name)
    assert (ran.code, ran.out) == (2, "")
    assert "--name" in ran.err
    assert webhook.simulator.endpoints() == []


def test_one_whose_secret_was_lost_gets_another(webhook: Webhook) -> None:
    webhook.simulator.set_webhook(URL, "whsec_lost")
    assert "HeyGen does not show its secret again" in webhook("register", "--url", URL).err

    assert webhook("rotate").code == 0
    assert webhook.secrets["heygen"]["secret"] == webhook.endpoint.secret
    assert webhook.endpoint.secret != "whsec_lost"


# Legacy


def test_a_legacy_endpoint_is_registered_after_heygen_knocked(webhook: Webhook, heygen: HeyGen) -> None:
    ran = webhook("register", "--url", webhook.simulator.base_url + "/nowhere", "--legacy")
    assert ran.code == 3
    assert "did not answer OPTIONS" in ran.err
    assert webhook.simulator.endpoints() == []
    assert not webhook.path.exists()

    assert webhook("register", "--url", heygen.url, "--legacy").code == 0
    assert webhook.remembered["legacy"] is True
    assert webhook.secrets["heygen"]["secret"] == webhook.endpoint.secret
    assert webhook("status").code == 0
    assert "HeyGen cannot rotate the secret of a legacy endpoint" in webhook("rotate").err
    change(webhook, webhook.endpoint.endpoint_id, {"status": "disabled"})
    again = webhook("register", "--url", heygen.url, "--legacy")
    assert (again.code, "a legacy endpoint cannot be repaired" in again.err) == (1, True)
    assert webhook("remove").code == 0
    assert webhook.simulator.endpoints() == []


def test_a_legacy_list_that_tells_the_secret_is_taken_at_its_word(webhook: Webhook, heygen: HeyGen) -> None:
    heygen.listed = [{"endpoint_id": "ep", "url": URL, "status": "enabled", "secret": "whsec_told"}]
    ran = webhook("register", "--url", URL, "--legacy", heygen_base_url=heygen.url)

    assert (ran.code, webhook.secrets["heygen"]["secret"]) == (0, "whsec_told")


# status


def test_nothing_is_wrong_with_a_fresh_endpoint(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    ran = webhook("status", "--json")

    assert (ran.code, ran.err) == (0, "")
    [one], [secret] = ran.json["endpoints"], ran.json["secrets"]
    assert one == {
        "endpoint_id": webhook.endpoint.endpoint_id,
        "url": URL,
        "status": "enabled",
        "events": [*OUR_EVENTS],
        "ours": True,
    }
    assert (secret["name"], secret["origin"], secret["valid_until"]) == ("heygen", str(webhook.path), None)
    assert (secret["last_used"], secret["times_used"]) == (None, 0)
    assert ran.json["delivery"] == {"ends": 0, "by_webhook": 0, "rate": None}
    assert ran.json["problems"] == []
    assert "whsec" not in ran.out + webhook("status").out


def test_status_shows_when_a_secret_was_last_used(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    for number, (name, at) in enumerate((("heygen", "10"), ("heygen", "11"), ("main", "09"), (None, "12"))):
        webhook.program.execute(
            "INSERT INTO deliveries (body_sha256, signed_by, outcome, received_at, last_received_at, "
            "times_received) VALUES (?, ?, 'applied', ?, ?, 2)",
            f"{number:064x}",
            name,
            f"2026-11-23 {at}:00:00.000000",
            f"2026-11-23 {at}:30:00.000000",
        )
    ran = webhook("status", "--json", webhook_secret="whsec_a")

    used = {row["name"]: (row["origin"], row["last_used"], row["times_used"]) for row in ran.json["secrets"]}
    assert used == {
        "main": ("setting", "2026-11-23T09:30:00Z", 2),
        "heygen": (str(webhook.path), "2026-11-23T11:30:00Z", 4),
    }
    assert "2026-11-23 11:30:00" in webhook("status").out


def end_by(program: Program, *sources: str) -> None:
    for number, source in enumerate(sources):
        program.track(f"{source}-{number}")
        program.execute(
            "INSERT INTO changes (translation_id, old_status, new_status, source, observed_at) "
            "SELECT id, 'pending', 'success', ?, created_at FROM translations WHERE video_translate_id = ?",
            source,
            f"{source}-{number}",
        )


Break = Callable[[Webhook], object]


def change(webhook: Webhook, endpoint_id: str, what: dict[str, Any]) -> None:
    """As HeyGen, or a colleague in its web app, does."""
    webhook.simulator._ask("PATCH", f"/v3/webhooks/endpoints/{endpoint_id}", what)


def delete_ours(webhook: Webhook) -> None:
    webhook.simulator._ask("DELETE", f"/v3/webhooks/endpoints/{webhook.endpoint.endpoint_id}")


def change_ours(**what: Any) -> Break:
    return lambda webhook: change(webhook, webhook.endpoint.endpoint_id, what)


@pytest.mark.parametrize(
    ("break_it", "problem", "advice"),
    [
        (change_ours(status="disabled"), "endpoint_disabled", "tracker webhook register repairs it"),
        (change_ours(url="https://x.example/"), "endpoint_elsewhere", "TRACKER_WEBHOOK_URL"),
        (change_ours(events=["video_translate.fail"]), "endpoint_events", "adds the missing events"),
        (delete_ours, "endpoint_missing", "tracker webhook register"),
        (lambda webhook: webhook.path.unlink(), "no_secret", "tracker webhook rotate"),
        (lambda webhook: end_by(webhook.program, *["poll"] * 5), "webhooks_silent", "tracker webhook status"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_a_way_out(
    webhook: Webhook, break_it: Break, problem: str, advice: str
) -> None:
    webhook("register", "--url", URL)
    break_it(webhook)
    ran = webhook("status")

    assert (ran.code, ran.err) == (1, "")
    assert re.search(rf"^{problem}: .*{advice}", ran.out, re.MULTILINE)
    assert webhook("status", "--json").json["problems"] == [problem]


def test_the_delivery_rate_is_that_of_the_latest_ends(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    end_by(webhook.program, *["webhook"] * 5, *["poll"] * 10, *["webhook"] * 10)
    ran = webhook("status", "--json")

    assert (ran.code, ran.json["delivery"]) == (0, {"ends": 20, "by_webhook": 10, "rate": 0.5})
    assert "webhooks came first for 10 of the last 20 completions" in webhook("status").out


def test_others_endpoints_are_none_of_our_business(webhook: Webhook) -> None:
    webhook.simulator.set_webhook("https://other.example/", "whsec_other")
    ran = webhook("status", "--json")

    assert (ran.code, ran.json["problems"]) == (0, [])
    assert [one["ours"] for one in ran.json["endpoints"]] == [False]


# rotate


def test_after_a_rotation_both_secrets_are_valid_for_a_day(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    previous = webhook.endpoint.secret
    ran = webhook("rotate")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"endpoint {webhook.endpoint.endpoint_id} has a new secret\n"
        f"its secret is stored in {webhook.path} as heygen\n"
    )
    assert webhook.endpoint.secret != previous
    [before] = [name for name in webhook.secrets if name != "heygen"]
    assert re.fullmatch(r"heygen-before-\d{8}T\d{6}Z", before)
    assert (webhook.secrets["heygen"]["secret"], webhook.secrets[before]["secret"]) == (
        webhook.endpoint.secret,
        previous,
    )
    assert webhook.secrets[before]["valid_until"]
    valid = {row["name"]: row["valid_until"] for row in webhook("status", "--json").json["secrets"]}
    assert valid == {"heygen": None, before: webhook.secrets[before]["valid_until"]}


def test_without_a_file_a_rotation_says_how_to_keep_both(webhook: Webhook) -> None:
    webhook("register", "--url", URL, webhook_secrets_file=None)
    ran = webhook("rotate", webhook.endpoint.endpoint_id, webhook_secrets_file=None)

    assert ran.code == 0
    assert f"\nTRACKER_WEBHOOK_SECRET={webhook.endpoint.secret}\n" in ran.out
    assert '\nTRACKER_WEBHOOK_SECRETS={"heygen-before": "the previous secret"}\n' in ran.out
    assert "24 hours" in ran.out


def test_a_secret_that_was_set_by_hand_is_left_to_people(webhook: Webhook) -> None:
    webhook.simulator.set_webhook(URL, "whsec_by_hand")
    ran = webhook("rotate", webhook_url=URL, webhook_secret="whsec_by_hand")

    assert ran.code == 0
    assert "keep the previous secret in the settings for 24 hours" in ran.out
    assert webhook.secrets["heygen"]["secret"] == webhook.endpoint.secret
    used = {"main": "whsec_by_hand", "heygen": webhook.secrets["heygen"]["secret"]}
    for secret in ("whsec_by_hand", webhook.endpoint.secret or ""):
        assert find_signer(b"{}", [("Signature", sign(b"{}", secret))], used)


def test_nothing_is_rotated_that_could_not_be_kept(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    before = webhook.endpoint.secret
    webhook.path.write_text("{")
    ran = webhook("rotate")

    assert (ran.code, ran.out, webhook.endpoint.secret) == (2, "", before)
    assert "is not what the webhook verbs write" in ran.err


@pytest.mark.parametrize("verb", ["rotate", "remove"])
def test_nobody_guesses_which_one_is_ours(webhook: Webhook, verb: str) -> None:
    webhook.simulator.set_webhook("https://other.example/", "whsec_other")
    ran = webhook(verb)

    assert (ran.code, ran.out) == (2, "")
    assert "this tracker's endpoint is unknown" in ran.err
    assert webhook.endpoint.secret == "whsec_other"


# remove


def test_a_removed_endpoint_is_forgotten_and_its_secret_ends_in_a_day(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    one = webhook.endpoint.endpoint_id
    ran = webhook("remove")

    assert (ran.code, ran.out, ran.err) == (0, f"endpoint {one} is removed\n", "")
    assert webhook.simulator.endpoints() == []
    assert webhook.remembered is None
    assert webhook.secrets["heygen"]["valid_until"]
    assert webhook("status").code == 0
    assert webhook("register", "--url", URL, "--name", "again").code == 0


def test_one_that_heygen_lost_can_be_removed_all_the_same(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    delete_ours(webhook)
    ran = webhook("remove")

    assert (ran.code, webhook.remembered) == (0, None)
    assert "HeyGen had already removed it" in ran.out


def test_a_stranger_is_named_as_such(webhook: Webhook) -> None:
    webhook("register", "--url", URL)
    for verb in ("remove", "rotate"):
        ran = webhook(verb, "stranger")
        assert (ran.code, ran.out) == (3, "")
        assert "not found" in ran.err
    assert webhook.remembered["endpoint_id"] == webhook.endpoint.endpoint_id
