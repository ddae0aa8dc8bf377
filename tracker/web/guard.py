"""Access control of the admin listener."""

import base64
import hmac
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tracker.web.answers import refuse

OPEN_PATHS = frozenset({"/healthz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Requires the admin token if one is set, else a Host header that names this machine.

    The Host check stops DNS rebinding: a website could point its own name at 127.0.0.1 and read the pages.
    """

    def __init__(self, app: ASGIApp, token: Callable[[], str | None], any_host: bool) -> None:
        self._app, self._token, self._any_host = app, token, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        headers, token = Headers(scope=scope), self._token()
        if token is not None and not _has_token(token, headers.get("authorization", "")):
            answer = refuse(
                401, "send the admin token as a bearer token", {"WWW-Authenticate": "Basic realm=tracker"}
            )
        elif token is None and not self._any_host and not _is_this_machine(headers.get("host", "")):
            answer = refuse(403, "this Host is not served; use 127.0.0.1, or set TRACKER_ADMIN_TOKEN")
        elif scope["method"] not in SAFE_METHODS and not _is_same_origin(headers):
            answer = refuse(403, "requests from other origins are refused")
        else:
            return await self._app(scope, receive, send)
        return await answer(scope, receive, send)


def _has_token(token: str, authorization: str) -> bool:
    """Accepts a bearer token, or the token as HTTP Basic password, for which browsers prompt."""
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            credential = base64.b64decode(credential, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII or not UTF-8
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(credential.strip().encode(), token.encode())


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")
