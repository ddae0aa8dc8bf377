"""Where files may be fetched from: which urls are asked at all, and which addresses are connected to.

A link comes from outside, and so does every redirect; what it names may be a machine of our own network.
A url is taken only in the one plain form that all parsers read alike.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urljoin

from tracker.errors import UnsafeLinkError

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = rf"(?:{LABEL}\.)*{LABEL}"
# A last label that begins with a digit makes an address of it, in one of many spellings.
PATTERN = re.compile(rf"(?:\*\.)?(?:{LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
AUTHORITY = rf"({NAME}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?"
SIGNS = r"[!-\[\]-~]*"  # printable ASCII without the backslash, which some parsers take for a slash
URL = re.compile(rf"(https?)://{AUTHORITY}((?:[/?#]{SIGNS})?)", re.IGNORECASE | re.ASCII)
PORTS = {"https": 443, "http": 80}
SHOWN = 200  # characters of a link in a message

# What the IANA registries keep apart from the public internet, and ways to IPv4 that nobody serves files on.
NOT_PUBLIC = tuple(
    map(
        ip_network,
        [
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ],
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")  # all of IPv6 that is public
NAT64 = IPv6Network("64:ff9b::/96")  # how a network without IPv4 reaches it (RFC 6052)


@dataclass(frozen=True, slots=True)
class Storage:
    """A url that may be asked. `shown` is what may be told of it: host and path, no query."""

    url: str = field(repr=False)
    host: str
    port: int
    secure: bool
    shown: str


class FileHosts:
    """The hosts of files: names, or `*.` and a name for all below it.

    `unsafe`: `host:port` that may be asked with http, and may have a private address.
    """

    def __init__(self, patterns: Iterable[str], unsafe: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._unsafe = frozenset(unsafe)

    def place(self, url: str) -> Storage:
        """The url, if we go there; raises UnsafeLinkError, which says why not."""
        match = URL.fullmatch(url)
        if match is None:
            raise UnsafeLinkError(
                "the link is no plain url: https, host, path and query, "
                "without a user name, a backslash, or signs beyond ASCII"
            )
        scheme, host, port, rest = match.groups()
        scheme, host, rest = scheme.lower(), host.lower(), rest.partition("#")[0]
        number = int(port or PORTS[scheme])
        origin = f"{scheme}://{host}" + ("" if number == PORTS[scheme] else f":{number}")
        place = Storage(
            url=f"{origin}{rest}",
            host=host.strip("[]"),
            port=number,
            secure=scheme == "https",
            shown=f"{origin}{rest.partition('?')[0]}"[:SHOWN],
        )
        if not self.is_unsafe(place.host, number):
            self._check(place)
        return place

    def onward(self, place: Storage, location: str) -> Storage:
        """Where a redirect leads; raises UnsafeLinkError."""
        try:
            onward = self.place(urljoin(place.url, location))
        except ValueError:
            raise UnsafeLinkError(f"{place.shown}: leads on to what is no url") from None
        if place.secure and not onward.secure:
            raise UnsafeLinkError(f"{place.shown}: leads on to {onward.shown}, from https to http")
        return onward

    def check_address(self, host: str, port: int, address: str) -> None:
        """Raises UnsafeLinkError where the host's address is none we connect to."""
        if not self.is_unsafe(host, port) and not is_public(address):
            raise UnsafeLinkError(
                f"{host} leads to {address[:64]}, which is no public address; "
                f"TRACKER_FILE_HOSTS_UNSAFE may name {host}:{port}"
            )

    def is_unsafe(self, host: str, port: int) -> bool:
        """True where the settings name this very host and port."""
        return f"{f'[{host}]' if ':' in host else host}:{port}" in self._unsafe

    def _check(self, place: Storage) -> None:
        way_out = f"TRACKER_FILE_HOSTS_UNSAFE may name {place.host}:{place.port}"
        if not place.secure:
            raise UnsafeLinkError(f"{place.shown}: is not https; {way_out}")
        if not any(_matches(place.host, pattern) for pattern in self._patterns):
            raise UnsafeLinkError(
                f"{place.shown}: the host is none of TRACKER_FILE_HOSTS ({', '.join(self._patterns)})"
            )
        if place.port != PORTS["https"]:
            raise UnsafeLinkError(f"{place.shown}: port {place.port} is not 443; {way_out}")


def host_pattern(text: str) -> str:
    """`*.heygen.ai`, or a name; raises ValueError."""
    if not PATTERN.fullmatch(text.lower()):
        raise ValueError("has what is neither the name of a host nor *. and a name")
    return text.lower()


def host_and_port(text: str) -> str:
    """`127.0.0.1:8399`, `[::1]:8399` or `name:8399`; raises ValueError."""
    match = re.fullmatch(AUTHORITY, text.lower())
    if match is None or not match[2] or not 0 < int(match[2]) < 65536:
        raise ValueError("has what is no host:port")
    return f"{match[1]}:{int(match[2])}"


def is_public(address: str) -> bool:
    """True for addresses of the public internet, in whatever form they come."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in NAT64:
            found = IPv4Address(int(found) & 0xFFFF_FFFF)
        elif found not in GLOBAL_UNICAST:
            return False
    return not any(found in network for network in NOT_PUBLIC)


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
