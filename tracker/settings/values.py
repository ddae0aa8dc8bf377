"""The kinds of values that settings have, and how each is read from text."""

import json
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from tracker.domain.adoption import Adoption
from tracker.domain.files.allowed_hosts import host_and_port, host_pattern
from tracker.domain.files.keys import KeyTemplate
from tracker.domain.files.states import Destination, Kinds

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
SIZES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


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
        raise ValueError("is not an address")
    return Address(host=host.strip("[]"), port=int(port))


def parse_seconds(value: object) -> object:
    """Seconds as a number, or with a unit: 90, 15s, 10m, 1h, 7d."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value)):
        number, unit = match.groups()
        if unit in UNITS:
            return float(number) * UNITS[unit]
    return value


def parse_bytes(value: object) -> object:
    """Bytes as a number, or with a unit: 500MB, 20GiB.

    Not pydantic's ByteSize, which reads no further than it understands: 1,5GB is 1 byte there.
    """
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]{1,18})\s*([A-Za-z]*)\s*", value)):
        number, unit = match.groups()
        if unit in SIZES:
            return int(number) * SIZES[unit]
    return value


def parse_json(value: object) -> object:
    """Lists and objects come as JSON text from the environment and from credentials."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error


def parse_template(value: object) -> object:
    """A template of keys; one that was read already is one."""
    return value if isinstance(value, KeyTemplate) else KeyTemplate.parse(value)


def strip(value: object) -> object:
    """Files and shells like to add a newline to a secret."""
    return value.strip() if isinstance(value, str) else value


def check_header(secret: SecretStr) -> SecretStr:
    """An HTTP header carries it."""
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("has characters that are not allowed in an HTTP header")
    return secret


def check_absolute(path: Path) -> Path:
    """The daemon and the verbs are started in different folders, and mean the same file."""
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError("is not an absolute path of a file")
    return path


Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0, le=10 * 365 * 86400)]
# HeyGen sends a webhook again for a day: until then it has to be known, and what it is about as well.
KeptTime = Annotated[Seconds, Field(ge=2 * 86400)]
Secret = Annotated[SecretStr, BeforeValidator(strip), Field(min_length=1)]
HeaderSecret = Annotated[Secret, AfterValidator(check_header)]
Where = Annotated[Address, BeforeValidator(parse_address)]
AbsolutePath = Annotated[Path, AfterValidator(check_absolute)]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0, le=2**60)]
HostPattern = Annotated[str, AfterValidator(host_pattern)]
HostAndPort = Annotated[str, AfterValidator(host_and_port)]
Adopt = Annotated[Adoption, BeforeValidator(Adoption.parse)]
ArchivePlace = Annotated[Destination, BeforeValidator(Destination.parse)]
ArchiveKinds = Annotated[Kinds, BeforeValidator(Kinds.parse)]
ArchiveKey = Annotated[KeyTemplate, BeforeValidator(parse_template)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
EndpointUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s#]*)?$")]


def setting(default: Any, meaning: str, example: str, *, live: bool = False) -> Any:
    """A field with its meaning. `live`: a reload is enough, where others need a restart."""
    return Field(default, description=meaning, examples=[example], json_schema_extra={"live": live})
