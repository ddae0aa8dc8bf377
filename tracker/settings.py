"""The only reader of the environment: TRACKER_* over systemd credentials over a TOML file over defaults."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from tracker.errors import SettingsError

PREFIX = "TRACKER_"
IN_THE_QUERY = r"[?&](?:ssl)?password="  # where a database url may carry one, too
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `host` and `port`, or the `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_private(self) -> bool:
        """True where only this machine can connect."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return (
            f"unix:{self.path}"
            if self.path
            else f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        )


def parse_address(value: object) -> object:
    """`host:port`, `[ipv6]:port` or `unix:/path`."""
    if not isinstance(value, str):
        return value
    if value.startswith("unix:") and len(value) > len("unix:"):
        return Address(path=value.removeprefix("unix:"))
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("is no address")
    return Address(host=host.strip("[]"), port=int(port))


def parse_seconds(value: object) -> object:
    """Seconds as a number, or with a unit: 90, 15s, 10m, 1h, 7d."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value)):
        number, unit = match.groups()
        if unit in UNITS:
            return float(number) * UNITS[unit]
    return value


def parse_json(value: object) -> object:
    """Lists and objects come as JSON text from the environment and from credentials."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error


def strip(value: object) -> object:
    """Files and shells like to add a newline to a secret."""
    return value.strip() if isinstance(value, str) else value


def check_header(secret: SecretStr) -> SecretStr:
    """An HTTP header carries it."""
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("has characters that no HTTP header can carry")
    return secret


Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0, le=10 * 365 * 86400)]
Secret = Annotated[SecretStr, BeforeValidator(strip), Field(min_length=1)]
HeaderSecret = Annotated[Secret, AfterValidator(check_header)]
Where = Annotated[Address, BeforeValidator(parse_address)]


def setting(default: Any, meaning: str, example: str) -> Any:
    return Field(default, description=meaning, examples=[example])


class Settings(BaseModel):
    """Every setting; the environment variable is the name in upper case after TRACKER_."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", arbitrary_types_allowed=True, validate_default=True
    )

    database_url: Secret = setting(
        "sqlite:///tracker.db", "the database, as SQLAlchemy url", "postgresql://tracker@db.example/tracker"
    )
    heygen_api_key: HeaderSecret | None = setting(
        None, "HeyGen's API key; without one nothing is polled", "your-key"
    )
    heygen_base_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] = setting(
        "https://api.heygen.com", "where HeyGen's API is", "https://api.heygen.com"
    )
    heygen_api: Literal["auto", "v2", "v3"] = setting(
        "auto", "HeyGen's API to speak; this release speaks v2", "v2"
    )
    webhook_secret: Secret | None = setting(
        None, "the webhook endpoint's secret, named `main`, whsec_ included", "whsec_..."
    )
    webhook_secrets: Annotated[dict[str, Secret], BeforeValidator(parse_json)] = setting(
        {},
        "JSON object of names and secrets, for rotation; all are accepted",
        '{"old": "whsec_a", "new": "whsec_b"}',
    )
    callback_tokens: Annotated[list[Secret], BeforeValidator(parse_json)] = setting(
        [],
        "JSON list of tokens of the unsigned callback route; none: it answers 404",
        '["a-long-random-word"]',
    )
    listen: Where = setting(
        "127.0.0.1:8321", "where webhooks are received", "127.0.0.1:8321 or unix:/run/tracker.sock"
    )
    admin_listen: Where = setting(
        "127.0.0.1:8322", "where the admin pages and /metrics are", "127.0.0.1:8322"
    )
    admin_token: HeaderSecret | None = setting(
        None, "bearer token of the admin listener; required unless it binds loopback", "a-long-random-word"
    )
    rate_limit: Annotated[float, Field(gt=0, le=10_000)] = setting(5, "requests a second to HeyGen", "5")
    concurrency: Annotated[int, Field(ge=1, le=1000)] = setting(
        10, "requests to HeyGen in flight at once", "10"
    )
    request_timeout: Seconds = setting(15, "seconds for one request to HeyGen", "15")
    poll_min_interval: Seconds = setting(15, "shortest time between two polls of a translation", "15")
    poll_max_interval: Seconds = setting(600, "longest time between two polls of a translation", "600")
    overdue_after: Seconds = setting(3600, "age at which a translation is flagged overdue", "1h")
    give_up_after: Seconds = setting(7 * 86400, "age at which polling becomes daily", "7d")
    stop_timeout: Annotated[Seconds, Field(ge=3)] = setting(20, "seconds the daemon may take to stop", "20")
    sqlite_synchronous: Literal["full", "normal"] = setting(
        "full", "full: what was answered survives a power cut; normal: a crash of the program", "full"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "least serious event to log", "info"
    )
    log_format: Literal["auto", "console", "json"] = setting(
        "auto", "auto: JSON under systemd, else for people", "json"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Settings that are right alone and wrong together."""
        if self.heygen_api == "v3":
            raise SettingsError("TRACKER_HEYGEN_API: this release does not speak v3 yet; use auto or v2")
        if self.poll_min_interval > self.poll_max_interval:
            raise SettingsError(
                "TRACKER_POLL_MIN_INTERVAL: is larger than TRACKER_POLL_MAX_INTERVAL; example: 15"
            )
        if self.webhook_secret and "main" in self.webhook_secrets:
            raise SettingsError(
                "TRACKER_WEBHOOK_SECRETS: main is TRACKER_WEBHOOK_SECRET's name; example: call it old"
            )
        if not self.admin_listen.is_private and self.admin_token is None:
            raise SettingsError(
                f"TRACKER_ADMIN_TOKEN: is required while TRACKER_ADMIN_LISTEN is {self.admin_listen}; "
                "example: a long random word, or TRACKER_ADMIN_LISTEN=127.0.0.1:8322"
            )
        return self

    @property
    def signing_secrets(self) -> dict[str, str]:
        """Every webhook secret in the clear, by name; for the receiver alone."""
        main = {"main": self.webhook_secret} if self.webhook_secret else {}
        return {name: secret.get_secret_value() for name, secret in (main | self.webhook_secrets).items()}

    def secret_values(self) -> list[str]:
        """Every secret in the clear, so that the log can keep them out."""
        single = [self.heygen_api_key, self.admin_token, *self.callback_tokens]
        secrets = [secret.get_secret_value() for secret in single if secret]
        url = self.database_url.get_secret_value()
        passwords = re.findall(r"^[^:]*://[^:/@]*:([^@]+)@", url) + re.findall(rf"{IN_THE_QUERY}([^&]+)", url)
        return [*secrets, *self.signing_secrets.values(), *passwords, *map(unquote, passwords)]


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
