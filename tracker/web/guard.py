"""Who may use the admin listener."""

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
    """Asks for the token where there is one; else for a Host that is this machine.

    Without that, a web page somebody visits could point its own name at 127.0.0.1 and read along.
    """

    def __init__(self, app: ASGIApp, token: Callable[[], str | None], any_host: bool) -> None:
        self._app, self._token, self._any_host = app, token, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        headers, token = Headers(scope=scope), self._token()
        if token is not None and not _knows(token, headers.get("authorization", "")):
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


def _knows(token: str, authorization: str) -> bool:
    """A bearer token, or the password of HTTP Basic, which browsers ask for."""
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:  # no base64, no ASCII, no UTF-8
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")
