"""What people name to the webhook verbs: a url that HeyGen can call, and a secret's name."""

import re
from collections.abc import Container
from ipaddress import ip_address
from urllib.parse import urlsplit

from tracker.errors import InputError

SECRET_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
EXAMPLE = "https://tracker.example/webhooks/heygen"


def check_name(name: str | None, configured: Container[str]) -> None:
    """Raise InputError for what cannot name a secret beside the `configured` ones."""
    if name is not None and not SECRET_NAME.fullmatch(name):
        raise InputError("--name: must be 1 to 64 characters of A-Z a-z 0-9 . _ -; example: --name heygen")
    if name == "main" or name in configured:
        raise InputError(f"--name {name}: is the name of a secret in the settings; example: --name heygen")


def checked_url(url: str | None) -> str:
    """A url that HeyGen can call and nobody can listen to on the way; raises InputError."""
    if url is None:
        raise InputError(f"--url: the public URL of this tracker is required; example: --url {EXAMPLE}")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:
        usable, host, parts = False, "", urlsplit("")
    if not usable or parts.fragment or "@" in parts.netloc or any(char.isspace() for char in url):
        raise InputError(f"--url: is not the url of a webhook endpoint; example: {EXAMPLE}")
    if parts.scheme != "https" and not _is_loopback(host):
        raise InputError(f"--url: must be https; example: {EXAMPLE}")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
