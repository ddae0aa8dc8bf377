"""Where settings come from: TRACKER_* over systemd credentials over a TOML file over defaults."""

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


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with where each came from, and the names that mean nothing to us."""

    settings: Settings
    origins: Mapping[str, str]
    unknown: tuple[str, ...]
    under_systemd: bool


def load_settings(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; raises SettingsError."""
    return load(config, environ).settings


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings and where they came from; raises SettingsError naming variable, problem and example."""
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    unknown: list[str] = []
    for layer, origin in (
        (_from_toml(config), str(config)),
        (_from_credentials(environ), "credential"),
        (_from_environment(environ), "environment"),
    ):
        known = {name: value for name, value in layer.items() if name in Settings.model_fields}
        values |= known
        origins |= dict.fromkeys(known, origin)
        strangers = sorted(layer.keys() - known.keys()) if origin != "credential" else []
        unknown += [
            PREFIX + name.upper() if origin == "environment" else f"{name} in {config}" for name in strangers
        ]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None  # its text holds the values, secrets too
    return Loaded(settings, origins, tuple(unknown), under_systemd="JOURNAL_STREAM" in environ)


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
        return f"[{', '.join('***' for _ in value)}]"
    if isinstance(value, SecretStr):
        return "***"
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value
    }


def _from_credentials(environ: Mapping[str, str]) -> dict[str, object]:
    """systemd's LoadCredential= files, named like the settings."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    found = {name: Path(directory, name) for name in Settings.model_fields}
    try:
        return {name: path.read_text().strip() for name, path in found.items() if path.is_file()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the credentials in {directory} cannot be read: {error}") from error


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
