"""`tracker submit`: as a process, against the look-alike in both dialects."""

from collections.abc import Sequence
from typing import Any

import pytest

from tracker.simulator.remote import SimulatorClient

from .conftest import Program, Ran

KEY = "simulator-key"
VIDEO = ("--video-url", "https://example.com/talk.mp4?sig=s3cret")
APIS = ("v2", "v3")
LATER = "UPDATE submissions SET next_attempt_at = '2026-01-01 00:00:00.000000' WHERE next_attempt_at > ''"


class Submitter:
    """The verb, with settings that reach the look-alike."""

    def __init__(self, tracker: Program, simulator: SimulatorClient) -> None:
        self.tracker, self.simulator = tracker, simulator

    def __call__(self, *arguments: str, api: str = "v3", **settings: Any) -> Ran:
        given: dict[str, Any] = {
            "heygen_base_url": self.simulator.base_url,
            "heygen_api_key": KEY,
            "heygen_api": api,
            "rate_limit": 200,
            "request_timeout": 2,
        }
        return self.tracker("submit", *arguments, **given | settings)

    @property
    def created(self) -> list[tuple[str, str, str | None]]:
        """What HeyGen really has: id, language, title."""
        return [
            (one.video_translate_id, one.output_language, one.title)
            for one in self.simulator.truth().translations
        ]

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        rows = self.tracker.query(f"SELECT {', '.join(columns)} FROM translations ORDER BY id")
        return [tuple(row.values()) for row in rows]

    @property
    def state(self) -> str:
        [row] = self.tracker.query("SELECT state FROM submissions")
        return str(row["state"])


@pytest.fixture
def submit(migrated: Program, simulator: SimulatorClient) -> Submitter:
    return Submitter(migrated, simulator)


@pytest.mark.parametrize("api", APIS)
def test_each_language_has_a_row_with_its_id(submit: Submitter, api: str) -> None:
    ran = submit(
        *VIDEO, "--language", "es", "--language", "de", "--title", "Talk", "--callback-id", "o-1", api=api
    )
    assert (ran.code, ran.err) == (0, "")
    rows = submit.rows("video_translate_id", "output_language", "title")
    assert rows == submit.created
    assert [language for _, language, _ in rows] == ["es", "de"]
    assert submit.rows("callback_id", "api_version", "status") == [("o-1", api, "pending")] * 2
    for name, language, _ in rows:
        assert f"{language}: {name}  callback id o-1\n" in ran.out


def test_json_shows_the_submission_and_its_translations(submit: Submitter) -> None:
    ran = submit(*VIDEO, "--language", "es", "--json")
    told = ran.json
    assert (told["state"], told["api_version"], told["error"]) == ("done", "v3", None)
    [row] = told["translations"]
    assert [(row["video_translate_id"], row["output_language"], row["title"])] == submit.created
    assert row["callback_id"].startswith("tracker-")
    assert "s3cret" not in ran.out


def test_a_database_that_is_not_there_yet_is_made(tracker: Program, simulator: SimulatorClient) -> None:
    assert Submitter(tracker, simulator)(*VIDEO, "--language", "es").code == 0
    assert len(tracker.tracked()) == 1


@pytest.mark.parametrize("api", [*APIS, "auto"])
def test_waiting_works_without_a_daemon(submit: Submitter, api: str) -> None:
    ran = submit(*VIDEO, "--language", "es", "--language", "de", "--wait", "--timeout", "20", api=api)
    assert (ran.code, ran.err) == (0, "")
    assert submit.rows("status", "url IS NOT NULL") == [("success", 1)] * 2
    assert ran.out.endswith("2 tracked\n")


def test_waiting_has_an_end(submit: Submitter) -> None:
    submit.simulator.set_faults("500")
    ran = submit(*VIDEO, "--language", "es", "--wait", "--timeout", "1")
    assert ran.code == 4
    assert "not all translations finished within 1 s" in ran.err


@pytest.mark.parametrize("api", APIS)
def test_a_proofread_makes_one_translation(submit: Submitter, api: str) -> None:
    ran = submit("--proofread-id", "proof-1", "--field", "captions=true", api=api)
    assert (ran.code, ran.err) == (0, "")
    [(name, _, _)] = submit.created
    assert submit.rows("video_translate_id") == [(name,)]
    assert f"as the proofread says: {name}" in ran.out


def test_an_asset_needs_v3(submit: Submitter) -> None:
    ran = submit("--asset-id", "asset1", "--language", "es", api="v2")
    assert (ran.code, submit.rows("id")) == (2, [])
    assert "--asset-id: HeyGen's v2 takes no assets" in ran.err
    assert submit("--asset-id", "asset1", "--language", "es", api="v3").code == 0
    assert len(submit.created) == 1


def test_further_fields_are_json_or_else_text(submit: Submitter) -> None:
    fields = ("--field", "captions=true", "--field", "speaker_num=2", "--field", "mode=precision=high")
    assert submit(*VIDEO, "--language", "es", *fields).code == 0
    [row] = submit.tracker.query("SELECT json_extract(request, '$.more') AS more FROM submissions")
    assert row["more"] == '{"captions":true,"speaker_num":2,"mode":"precision=high"}'


def test_heygens_refusal_is_told_and_the_translation_has_failed(submit: Submitter) -> None:
    ran = submit(*VIDEO, "--language", "es", "--field", "callback_url=nonsense", "--wait")
    assert ran.code == 1
    assert "error: HeyGen refused it: HTTP 400" in ran.err
    assert "not an http or https URL" in ran.err
    [(status, message)] = submit.rows("status", "message")
    assert status == "failed"
    assert message in " ".join(ran.err.split())
    assert (submit.state, submit.created) == ("refused", [])


@pytest.mark.parametrize("fault", ["hang_after", "500_after"])
def test_a_lost_answer_of_v3_is_found_out_later(submit: Submitter, fault: Any) -> None:
    submit.simulator.set_faults(fault, routes=["create"])
    ran = submit(*VIDEO, "--language", "es", "--language", "de")
    assert ran.code == 1
    assert "unknown whether HeyGen received the request" in ran.err
    assert ran.out.count("not known yet") == 2
    assert (submit.state, len(submit.created)) == ("sent", 2)
    assert submit.rows("video_translate_id", "status") == [(None, "pending")] * 2

    submit.simulator.set_faults(None)
    submit.tracker.execute(LATER)
    other = submit(*VIDEO, "--language", "fr", "--wait", "--timeout", "20")  # it drives what is due

    assert other.code == 0
    rows = submit.rows("video_translate_id", "output_language")
    assert rows[:2] == [(name, language) for name, language, _ in submit.created[:2]]
    assert len(submit.created) == 3


def test_waiting_goes_on_over_a_lost_answer(submit: Submitter) -> None:
    submit.simulator.set_faults("500_after", routes=["create"])
    ran = submit(*VIDEO, "--language", "es", "--wait", "--timeout", "1")
    assert ran.code == 4
    assert "unknown whether HeyGen received the request" in ran.err


def test_a_lost_answer_of_v2_is_never_asked_for_again(submit: Submitter) -> None:
    submit.simulator.set_faults("500_after", routes=["create"])
    ran = submit(*VIDEO, "--language", "es", api="v2")
    assert (ran.code, submit.state) == (1, "sent")
    submit.simulator.set_faults(None)
    submit.tracker.execute(LATER)
    submit(*VIDEO, "--language", "fr", "--wait", "--timeout", "20", api="v2")
    assert [language for _, language, _ in submit.created] == ["es", "fr"]
    states = submit.tracker.query("SELECT state, error FROM submissions ORDER BY id")
    assert [row["state"] for row in states] == ["sent", "done"]


def test_what_never_left_is_kept_and_sent_later(submit: Submitter) -> None:
    ran = submit(*VIDEO, "--language", "es", heygen_base_url="http://127.0.0.1:9")
    assert (ran.code, submit.state) == (1, "planned")
    assert "not sent yet" in ran.err


def test_a_refused_key_creates_nothing_and_keeps_the_order(submit: Submitter) -> None:
    ran = submit(*VIDEO, "--language", "es", heygen_api_key="wrong-key")
    assert (ran.code, submit.state, submit.created) == (1, "planned", [])
    assert "not sent yet: HTTP 401" in ran.err
    assert "wrong-key" not in ran.err


def test_without_a_key_nothing_is_stored(submit: Submitter) -> None:
    ran = submit(*VIDEO, "--language", "es", heygen_api_key=None)
    assert (ran.code, submit.rows("id")) == (2, [])
    assert "TRACKER_HEYGEN_API_KEY: is required to submit" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--language", "es"), "use exactly one of --video-url, --asset-id and --proofread-id"),
        (
            (*VIDEO, "--asset-id", "a", "--language", "es"),
            "use exactly one of --video-url, --asset-id and --proofread-id",
        ),
        (VIDEO, "--language: name at least one"),
        ((*VIDEO, "--language", "es", "--language", "es"), "--language 'es': appears twice"),
        ((*VIDEO, "--language", " "), "--language: must be text"),
        (
            ("--video-url", "talk.mp4?sig=s3cret", "--language", "es"),
            "--video-url: is not an http or https URL",
        ),
        (("--proofread-id", "../x"), "--proofread-id '../x': HeyGen's ids have"),
        (("--proofread-id", "p", "--language", "es"), "--language: cannot be used with --proofread-id"),
        (("--proofread-id", "p", "--title", "t"), "--title: cannot be used with --proofread-id"),
        (
            (*VIDEO, "--language", "es", "--field", "title=x"),
            "--field title: use the option --title",
        ),
        ((*VIDEO, "--language", "es", "--field", "video_url=x"), "use the option --video-url"),
        ((*VIDEO, "--language", "es", "--field", "x"), "--field 'x': is not NAME=VALUE"),
        ((*VIDEO, "--language", "es", "--field", "x=1", "--field", "x=2"), "--field x: appears twice"),
        ((*VIDEO, "--language", "es", "--timeout", "3"), "--timeout: needs --wait"),
    ],
)
def test_wrong_input_has_one_clear_error_and_stores_nothing(
    submit: Submitter, arguments: Sequence[str], said: str
) -> None:
    ran = submit(*arguments)
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
    assert "s3cret" not in ran.err
    assert submit.rows("id") == []


@pytest.mark.parametrize("answer", ["404", "405", "410", "redirect", "not_found"])
def test_a_retired_v2_is_followed_to_v3(submit: Submitter, answer: Any) -> None:
    submit.simulator.set_retirement(v2=answer)
    ran = submit(*VIDEO, "--language", "es", "--language", "de", api="auto")
    assert ran.code == 0
    assert submit.rows("video_translate_id", "output_language", "title") == submit.created
    assert submit.rows("api_version") == [("v3",)] * 2


def test_a_web_page_of_v2_may_hide_a_creation_and_is_not_followed(submit: Submitter) -> None:
    submit.simulator.set_retirement(v2="html")
    ran = submit(*VIDEO, "--language", "es", api="auto")
    assert (ran.code, submit.state, submit.created) == (1, "sent", [])
    assert "unknown whether HeyGen received the request" in ran.err


def test_a_retired_v2_that_is_a_setting_names_the_way_out(submit: Submitter) -> None:
    submit.simulator.set_retirement(v2="410")
    ran = submit(*VIDEO, "--language", "es", api="v2")
    assert (ran.code, submit.state) == (1, "planned")
    assert "set TRACKER_HEYGEN_API to auto or v3" in ran.err
