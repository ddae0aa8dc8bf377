"""Logs: one event a line, no secrets."""

import io
import json
import logging
import subprocess
import sys
from contextlib import redirect_stderr
from typing import Any

import pytest
import structlog

from tracker.observability.logs import QUIET, Redact

PREAMBLE = """
import logging, structlog
from tracker.observability import logs
secrets = ["hunter2", "hunter2-long", "s", "a.b+c*"]
logs.configure(level={level!r}, as_json={as_json}, journal={journal}, secrets=secrets)
log = structlog.get_logger("tracker")
library = logging.getLogger("library")
"""


def lines(code: str, *, level: str = "info", as_json: bool = True, journal: bool = False) -> list[str]:
    """What a program that runs `code` logs; the set-up is global, so it is put back as it was."""
    program = PREAMBLE.format(level=level, as_json=as_json, journal=journal) + code
    root = logging.getLogger()
    before, root.handlers, level_before = root.handlers, [], root.level
    try:
        with redirect_stderr(io.StringIO()) as logged:
            exec(program, {})
    finally:
        root.handlers, root.level = before, level_before
        for name in (*QUIET, "sqlalchemy.pool", "apscheduler"):
            logging.getLogger(name).setLevel(logging.NOTSET)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    return logged.getvalue().splitlines()


def events(code: str, **form: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(code, **form)]


RAISE = """
try:
    raise ValueError("no: https://files.example/a?Signature=abc hunter2")
except ValueError:
    {log}.exception("it broke")
"""


def test_an_event_is_one_line_of_json_with_time_and_level() -> None:
    [event] = events('log.info("status changed", id="a", lag=1.5, count=3, none=None, text="two\\nlines")')

    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "status changed",
        "level": "info",
        "id": "a",
        "lag": 1.5,
        "count": 3,
        "text": "two\nlines",
    }


def test_an_exception_stays_on_its_line() -> None:
    for log in ("log", "library"):
        [event] = events(RAISE.format(log=log))
        assert (event["event"], event["level"]) == ("it broke", "error")
        assert "Traceback (most recent call last)" in event["exception"]


def test_libraries_log_in_the_same_form() -> None:
    [event] = events('library.warning("about %s", "hunter2", extra={"more": "https://x.example/y?z=1"})')

    assert event["event"] == "about ***"
    assert event["more"] == "https://x.example/y?..."
    assert event["level"] == "warning"


def test_no_secret_and_no_url_query_is_shown_not_even_in_exceptions() -> None:
    for log in ["log", "library"]:
        for as_json in [True, False]:
            said = "\n".join(lines(RAISE.format(log=log), as_json=as_json))

            assert "it broke" in said
            assert "hunter2" not in said
            assert "Signature=abc" not in said
            assert "https://files.example/a?..." in said


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_hidden_wherever_they_hide(as_json: bool) -> None:
    said = "\n".join(
        lines(
            'log.info("in hunter2 text", a={"deep": ["hunter2"]}, b=ValueError("hunter2"), '
            'c=b"hunter2", d=("hunter2",))\n'
            'log.info("a.b+c* and hunter2-long")\n'
            "structlog.contextvars.bind_contextvars(request='hunter2')\n"
            'log.info("bound")',
            as_json=as_json,
        )
    )

    assert "hunter" not in said
    assert "-long" not in said
    assert "a.b+c*" not in said


def test_the_journal_gets_a_priority_before_each_line() -> None:
    said = lines(
        'log.debug("d"); log.info("i"); log.warning("w"); log.error("e"); log.critical("c"); '
        'library.warning("l")',
        level="debug",
        journal=True,
    )

    assert [line[:3] for line in said] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<4>"]
    assert all(json.loads(line[3:])["event"] for line in said)


def test_what_is_less_serious_than_the_level_is_not_logged() -> None:
    assert [
        event["event"] for event in events('log.debug("d"); log.info("i"); log.warning("w")', level="warning")
    ] == ["w"]


def test_libraries_that_talk_too_much_are_quiet() -> None:
    said = events(
        "\n".join(
            f'logging.getLogger("{name}").info("chatter"); logging.getLogger("{name}").warning("trouble")'
            for name in (
                "httpx",
                "httpcore",
                "aiohttp.client",
                "alembic.runtime",
                "uvicorn.error",
            )
        ),
        level="debug",
    )

    assert [event["event"] for event in said] == ["trouble"] * 5


def test_people_read_a_line_without_braces() -> None:
    [line] = lines('log.info("status changed", id="a", new="success")', as_json=False)

    assert "status changed" in line
    assert "id=a" in line
    assert "{" not in line


def test_queries_are_taken_out_of_urls() -> None:
    for told, shown in [
        ("GET https://x.example/a?b=c HTTP", "GET https://x.example/a?... HTTP"),
        ("'https://x.example/a?b=c'", "'https://x.example/a?...'"),
        ("https://x.example/a", "https://x.example/a"),
        ("http://x.example?b=https://y.example?c", "http://x.example?..."),
        ("why? because", "why? because"),
        (5, 5),
        (True, True),
        (None, None),
        (["https://x.example/a?b=c"], "['https://x.example/a?...']"),
    ]:
        assert Redact([]).clean(told) == shown


def test_the_longest_secret_is_hidden_first() -> None:
    assert Redact(["hunter2", "hunter2-long"]).clean("x hunter2-long y hunter2") == "x *** y ***"


def test_a_secret_of_a_letter_or_two_hides_nothing() -> None:
    assert Redact(["s", ""]).clean("secrets") == "secrets"


def test_another_level_and_further_secrets_hold_from_then_on() -> None:
    told = lines(
        """
log.debug("debug before"); library.debug("library before")
logs.reconfigure(level="debug", secrets=["learnt-later"])
log.debug("debug after learnt-later hunter2"); library.debug("library after learnt-later")
logs.reconfigure(level="error", secrets=[])
log.warning("warning after"); log.error("error after learnt-later")
"""
    )
    assert [json.loads(line)["event"] for line in told] == [
        "debug after *** ***",
        "library after ***",
        "error after ***",
    ]


AT_NEED = """
import logging, sys
from functools import partial
from pathlib import Path
from tracker.cli.database import LogsAtNeed, configure_logs
from tracker.settings import load
loaded = load(environ={"TRACKER_HEYGEN_API_KEY": "hunter2-key", "TRACKER_LOG_FORMAT": "json"})
at_need = LogsAtNeed(partial(configure_logs, loaded, level="warning"))
logging.basicConfig(handlers=[at_need], level=logging.WARNING, force=True)
logging.getLogger("library").info("no trouble")
assert "structlog" not in sys.modules
logging.getLogger("sqlalchemy.pool").error("raised as well")
logging.getLogger("library").warning("key hunter2-key at https://files.example/a?Signature=abc")
logging.getLogger("library").error("again")
"""


def test_logs_that_are_configured_at_the_first_record_lose_none_and_hide_secrets() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_NEED], capture_output=True, text=True, timeout=60, check=True
    )

    assert [json.loads(line)["event"] for line in ran.stderr.splitlines()] == [
        "key *** at https://files.example/a?...",
        "again",
    ]
