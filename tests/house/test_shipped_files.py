"""What lies in systemd/ beside the units: the example of settings, and the wrapper."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from tests.house.pages import OPERATIONS, ROOT, section
from tracker.settings import Settings, load
from tracker.settings.model import LIVE

EXAMPLE = ROOT / "systemd" / "tracker.toml"
WRAPPER = ROOT / "systemd" / "tracker.sh"
SYSUSERS = ROOT / "systemd" / "sysusers.conf"
SET = {"database_url": "sqlite:////var/lib/tracker/tracker.db"}
SET |= {"webhook_secrets_file": "/var/lib/tracker/webhook-secrets.json"}
LINE = re.compile(r"^(#?)(\w+) = (.*)$")


def settings_told() -> dict[str, tuple[bool, str]]:
    """Each setting that the example names: whether it is commented out, and the comment before it."""
    told: dict[str, tuple[bool, str]] = {}
    comment = ""
    for line in EXAMPLE.read_text().splitlines():
        if match := LINE.match(line):
            assert match[2] not in told
            told[match[2]] = (bool(match[1]), comment)
            comment = ""
        else:
            comment = f"{comment} {line}" if line.startswith("# ") else ""
    return told


def is_secret(name: str) -> bool:
    return _holds(Settings.model_fields[name].annotation)


def _holds(kind: object) -> bool:
    return kind is SecretStr or any(map(_holds, get_args(kind)))


def uncommented(tmp_path: Path, *names: str) -> Path:
    """The example with these settings in force."""
    lines = EXAMPLE.read_text().splitlines()
    found = [
        line.removeprefix("#") if (match := LINE.match(line)) and match[2] in names else line
        for line in lines
    ]
    path = tmp_path / "tracker.toml"
    path.write_text("\n".join(found))
    return path


def test_the_example_names_every_setting_that_is_no_secret() -> None:
    secrets = {name for name in Settings.model_fields if is_secret(name)}

    assert {"heygen_api_key", "webhook_secret", "webhook_secrets", "callback_tokens"} < secrets
    assert list(settings_told()) == [
        name for name in Settings.model_fields if name not in secrets or name in SET
    ]
    assert all(name in EXAMPLE.read_text() for name in secrets)


def test_the_example_loads_and_sets_what_lies_in_the_service_s_folder() -> None:
    found = load(EXAMPLE, {})

    assert found.unknown == ()
    assert set(found.origins) == {name for name, (commented, _) in settings_told().items() if not commented}
    assert tomllib.loads(EXAMPLE.read_text()) == SET


def test_the_commented_defaults_are_the_real_ones(tmp_path: Path) -> None:
    with_default = [
        name for name, field in Settings.model_fields.items() if field.default is not None and name not in SET
    ]

    found = load(uncommented(tmp_path, *with_default), {})

    assert set(found.origins) == {*SET, *with_default} & set(settings_told())
    assert found.settings == Settings.model_validate(SET)


def test_what_has_no_default_is_an_example_that_says_so(tmp_path: Path) -> None:
    without = [name for name in settings_told() if Settings.model_fields[name].default is None]

    found = load(uncommented(tmp_path, *settings_told()), {})

    assert set(found.origins) == set(settings_told())
    for name in set(without) - set(SET):
        assert "this is an example" in settings_told()[name][1]


def test_the_example_marks_what_a_reload_takes_up() -> None:
    marked = {name for name, (_, text) in settings_told().items() if "[reload]" in text}
    assert marked == LIVE & settings_told().keys()


def test_the_page_names_what_a_reload_takes_up() -> None:
    text = section(OPERATIONS, "## Under systemd")
    [told] = re.findall(r"`systemctl reload`\*\*(.*?)where they come", text, re.DOTALL)

    assert set(re.findall(r"`TRACKER_(\w+)`", told)) == {name.upper() for name in LIVE}


def test_the_wrapper_is_a_plain_shell_script() -> None:
    subprocess.run(["sh", "-n", str(WRAPPER)], check=True)


def test_the_user_of_the_units_is_the_one_that_sysusers_makes() -> None:
    [line] = [line for line in SYSUSERS.read_text().splitlines() if not line.startswith("#")]

    assert line.split()[:2] == ["u", "tracker"]
    assert "DynamicUser" not in (ROOT / "systemd" / "tracker.service").read_text()


def test_the_wrapper_uses_what_the_service_uses() -> None:
    unit = (ROOT / "systemd" / "tracker.service").read_text()
    wrapper = WRAPPER.read_text()

    [names] = re.findall(r"'/\^\((.*)\)/s/\^/--property=/p'", wrapper)
    taken = [line for line in unit.splitlines() if re.match(names, line)]
    assert {"User=tracker", "Group=tracker", "StateDirectory=tracker", "StateDirectoryMode=2770"} < set(taken)
    assert {"UMask=0027", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"} < set(taken)
    assert {"NoNewPrivileges=yes", "RestrictSUIDSGID=yes"} < set(taken)
    assert [line for line in taken if line.startswith("LoadCredential=")] != []
    assert {"ReadWritePaths=", "SupplementaryGroups="} < set(names.split("|"))
    assert "--config /etc/tracker/tracker.toml" in unit
    assert "config=/etc/tracker/tracker.toml" in wrapper
