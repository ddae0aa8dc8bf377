"""docs/operations.md names every setting, verb, flag, metric, log event and attention flag."""

import ast
import json
import re

import pytest
import typer
from starlette.routing import Route
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from tests.house.pages import OPERATIONS, ROOT, rows, section
from tracker.cli import app
from tracker.cli.common import Exit
from tracker.domain.status import Attention
from tracker.observability.metrics import Metrics
from tracker.polling.endpoint_check import ADVICE
from tracker.settings import PREFIX, Settings, redacted

COMMON = {"--help", "--json", "--config"}  # told once for all


def _verbs(group: TyperGroup, before: str = "") -> dict[str, TyperCommand]:
    """Every verb by the words that call it; those of a group follow its own name."""
    verbs: dict[str, TyperCommand] = {}
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, TyperGroup):
            verbs |= _verbs(command, f"{before}{name} ")
        else:
            assert isinstance(command, TyperCommand)
            verbs[f"{before}{name}"] = command
    return verbs


VERBS = _verbs(typer.main.get_group(app))


def test_every_setting_is_named_and_none_that_does_not_exist() -> None:
    assert list(rows(section(OPERATIONS, "## Settings"))) == [
        PREFIX + name.upper() for name in Settings.model_fields
    ]


def test_the_defaults_of_the_settings_are_the_real_ones() -> None:
    table = rows(section(OPERATIONS, "## Settings"))
    shown = {name: table[PREFIX + name.upper()][1].strip("`") for name in Settings.model_fields}

    defaults = redacted(Settings())
    assert shown == {name: defaults[name] or "none" for name in Settings.model_fields}


def test_the_examples_of_the_settings_are_accepted() -> None:
    table = rows(section(OPERATIONS, "## Settings"))
    for name in Settings.model_fields:
        example = table[PREFIX + name.upper()][2].strip("`")
        Settings.model_validate({"admin_token": "a-long-random-word", name: example})


def test_every_verb_has_a_section_and_none_that_does_not_exist() -> None:
    told = re.findall(r"^### `tracker ([a-z -]+)`$", OPERATIONS.read_text(), re.MULTILINE)

    assert told == list(VERBS)


def test_the_section_of_a_verb_names_its_flags_alone_and_shows_an_example() -> None:
    for verb, command in VERBS.items():
        text = section(OPERATIONS, f"### `tracker {verb}`")
        flags = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
        others = {flag for parameter in command.params for flag in parameter.secondary_opts}
        named = set(re.findall(r"`?(--[a-z0-9-]+)", text.partition("```")[0]))

        assert {flag for flag in flags - COMMON if flag not in text} == set(), verb
        assert named - flags - others <= {"--config"}, verb
        assert "```console" in text, verb


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_no_type_of_python(verb: str) -> None:
    context = typer.Context(VERBS[verb])
    parameters = VERBS[verb].get_params(context)
    shown = [
        one.display_type_rich(context) for one in parameters if isinstance(one, TyperArgument | TyperOption)
    ]

    assert shown[-1] == ""  # --help
    assert [text for text in shown if re.match(r"<(bool|float|int|list|path|str)\b", text or "")] == []


def test_only_the_verbs_that_the_page_excepts_have_no_config() -> None:
    without = {
        verb for verb, command in VERBS.items() if not any("--config" in one.opts for one in command.params)
    }

    told = {
        verb
        for verb in VERBS
        if "It has no `--config`" in " ".join(section(OPERATIONS, f"### `tracker {verb}`").split())
    }
    assert told == without


def test_every_exit_code_is_named() -> None:
    [line] = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("Exit codes of every")]

    assert [int(code) for code in re.findall(r"`(\d)`", line)] == [int(code) for code in Exit]


def test_every_metric_is_named_with_its_labels() -> None:
    metrics = Metrics()
    registered = {
        name: list(collector._labelnames)
        for collector, names in metrics.registry._collector_to_names.items()
        for name in names
        if name.startswith("tracker_") and hasattr(collector, "_labelnames")
    }
    exposed = {
        name: labels
        for name, labels in registered.items()
        if name.endswith("_total") or (f"{name}_total" not in registered and not name.endswith("_created"))
    }

    told = {
        name: re.findall(r"`(\w+)`", cells[0])
        for name, cells in rows(section(OPERATIONS, "## Metrics")).items()
    }
    assert told == exposed


def test_every_log_event_is_named_and_none_that_does_not_exist() -> None:
    assert set(rows(section(OPERATIONS, "## Log events"))) == _logged_events()


def _logged_events() -> set[str]:
    """The first argument of every call of `log.<level>` or `log_event` outside the simulator."""
    levels = {"debug", "info", "warning", "error", "critical", "exception"}
    events = set()
    for path in (ROOT / "tracker").rglob("*.py"):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func
            logs = (
                isinstance(called, ast.Attribute)
                and called.attr in levels
                and isinstance(called.value, ast.Name)
                and called.value.id == "log"
            )
            if logs or (isinstance(called, ast.Name) and called.id in {"log_event", "tell"}):
                events |= _texts(node.args[0])
    return events


def _texts(event: ast.expr) -> set[str]:
    """What is written there; one or the other where a condition chooses."""
    if isinstance(event, ast.IfExp):
        return _texts(event.body) | _texts(event.orelse)
    assert isinstance(event, ast.Constant), f"an event that cannot be found by its text: {ast.unparse(event)}"
    return {str(event.value)}


def test_every_problem_of_the_webhook_endpoint_is_named() -> None:
    assert set(rows(section(OPERATIONS, "### What the watch finds"))) == set(ADVICE)


def test_every_attention_flag_is_named() -> None:
    assert set(rows(section(OPERATIONS, "## Attention"))) == {str(flag) for flag in Attention}


@pytest.mark.parametrize(
    ("heading", "path"),
    [
        ("### Public listener (`TRACKER_LISTEN`)", "tracker/web/public.py"),
        ("### Admin listener (`TRACKER_ADMIN_LISTEN`)", "tracker/web/admin.py"),
    ],
)
def test_every_route_is_named(heading: str, path: str) -> None:
    text = section(OPERATIONS, heading).replace("/api/translations/{video_translate_id}", "{one}")
    tree = ast.parse((ROOT / path).read_text())
    routes = [
        ast.unparse(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Route.__name__
    ]
    wanted = {"{one}" if route == "one" else route.strip("f'\"") for route in routes}

    assert routes
    assert {route for route in wanted if f" {route}`" not in text} == set()


def test_the_json_examples_are_json() -> None:
    told = rows(section(OPERATIONS, "## Settings"))
    for name in ("TRACKER_WEBHOOK_SECRETS", "TRACKER_CALLBACK_TOKENS"):
        json.loads(told[name][2].strip("`"))
