"""Where settings come from: TRACKER_* over systemd credentials over a TOML file over defaults."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr, ValidationError

from tracker.errors import SettingsError
from tracker.settings.model import IN_THE_QUERY, Settings

PREFIX = "TRACKER_"
ENVIRONMENT, CREDENTIAL = "environment", "credential"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with where each came from, and the names that mean nothing to us."""

    settings: Settings
    origins: Mapping[str, str]
    unknown: tuple[str, ...]
    empty: tuple[str, ...] = ()  # credentials without a word in them, which count as not set


def load_settings(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; raises SettingsError."""
    return load(config, environ).settings


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings and where they came from; raises SettingsError naming variable, problem and example."""
    environ = os.environ if environ is None else environ
    credentials, empty = _from_credentials(environ)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    unknown: list[str] = []
    for layer, origin in (
        (_from_toml(config), str(config)),
        (credentials, CREDENTIAL),
        (_from_environment(environ), ENVIRONMENT),
    ):
        known = {name: value for name, value in layer.items() if name in Settings.model_fields}
        values |= known
        origins |= dict.fromkeys(known, origin)
        unknown += [_called(name, origin) for name in sorted(layer.keys() - known.keys())]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None  # its text holds the values, secrets too
    return Loaded(settings, origins, tuple(unknown), empty)


def redacted(settings: Settings) -> dict[str, str]:
    """Every setting as text that may be shown."""
    shown = {name: _shown(getattr(settings, name)) for name in Settings.model_fields}
    url = re.sub(r"^([^:]*://[^:/@]*:).*@", r"\1***@", settings.database_url.get_secret_value())
    if settings.webhook_url is not None:  # its query may open a gateway
        shown["webhook_url"] = re.sub(r"\?.*", "?***", settings.webhook_url)
    return shown | {"database_url": re.sub(rf"({IN_THE_QUERY})[^&]+", r"\1***", url)}


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: ***" for name in value) + "}"
    if isinstance(value, list):
        return f"[{', '.join('***' if isinstance(one, SecretStr) else json.dumps(one) for one in value)}]"
    if isinstance(value, SecretStr):
        return "***"
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value
    }


def _called(name: str, origin: str) -> str:
    """An unknown name as people wrote it."""
    if origin == ENVIRONMENT:
        return PREFIX + name.upper()
    return f"credential {PREFIX.lower()}{name}" if origin == CREDENTIAL else f"{name} in {origin}"


def _from_credentials(environ: Mapping[str, str]) -> tuple[dict[str, object], tuple[str, ...]]:
    """The files of systemd's LoadCredential=, and the names of those that are empty.

    They are named like the settings, and `tracker_` stands before the names where a folder was loaded
    (`LoadCredential=tracker:FOLDER`). Without it, unknown names are other programs'.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}, ()
    try:
        files = {path.name: path for path in sorted(Path(directory).iterdir()) if path.is_file()}
    except OSError as error:
        raise SettingsError(f"the credentials in {directory} cannot be read: {error.strerror}") from error
    prefix = PREFIX.lower()
    plain = {name: path for name, path in files.items() if name in Settings.model_fields}
    ours = {name: path for name, path in files.items() if name.startswith(prefix)}
    found: dict[str, object] = {}
    empty: list[str] = []
    for called, path in (plain | ours).items():
        name = called.removeprefix(prefix)
        is_known = name in Settings.model_fields
        if is_known and not (text := _text(path, name)):
            empty.append(called)
        else:
            found[name] = text if is_known else None  # what is unknown is not even read
    return found, tuple(empty)


def _text(path: Path, name: str) -> str:
    """What a credential holds; an editor's newline at its end is none of it."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"the credentials in {path.parent} cannot be read: {error}") from error
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        [example] = Settings.model_fields[name].examples or [""]
        raise SettingsError(f"{PREFIX}{name.upper()}: the credential {path} is not text; example: {example}")
    return text


def _from_toml(config: Path | None) -> dict[str, object]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text())
    except OSError as error:
        raise SettingsError(
            f"--config {config}: {error.strerror}; name a TOML file that can be read"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--config {config}: is not TOML: {error}; example line: rate_limit = 5"
        ) from error


def _explain(error: ValidationError) -> str:
    """One line per wrong setting; the value itself may be a secret and stays out."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0])
        [example] = Settings.model_fields[name].examples or [""]
        said = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{PREFIX}{name.upper()}: {said[:1].lower() + said[1:]}; example: {example}")
    return "\n".join(dict.fromkeys(lines))
