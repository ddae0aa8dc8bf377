"""Pages of a list and the tokens between them; a token stays good when the list grows in front of it."""

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from tracker.simulator.answers import invalid

LONGEST = 100  # heygen-api section 2
USUAL = 10

_T = TypeVar("_T")


@dataclass(frozen=True)
class Asked:
    """Which page a request is about; `after` is the place its token names."""

    limit: int
    after: int | None


@dataclass(frozen=True)
class Page:
    """Some objects, and the token of those that come after them."""

    objects: list[Any]
    next_token: str | None

    def as_dict(self) -> dict[str, Any]:
        more = self.next_token is not None
        return {"data": self.objects, "has_more": more, "next_token": self.next_token}


def asked(request: Request) -> Asked:
    """Raises Refusal for a limit outside 1 to 100, and for a token that was never given out."""
    limit = request.query_params.get("limit", str(USUAL))
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= LONGEST:
        raise invalid("limit", f"limit must be between 1 and {LONGEST}")
    given = request.query_params.get("token")
    return Asked(int(limit), None if not given else _place(given))


def token(place: int) -> str:
    return base64.urlsafe_b64encode(f"after:{place}".encode()).decode()


def _place(given: str) -> int:
    try:
        name, _, place = base64.urlsafe_b64decode(given).decode().partition(":")
        if name == "after":
            return int(place)
    except (binascii.Error, ValueError):
        pass
    raise invalid("token", "The token is not valid")


def cut(objects: Sequence[_T], place: Callable[[_T], int], wanted: Asked) -> tuple[list[_T], str | None]:
    """The page of `objects`, which are sorted by `place`, and the token of the next one."""
    start = 0 if wanted.after is None else bisect_right(objects, wanted.after, key=place)
    end = start + wanted.limit
    page = list(objects[start:end])
    return page, token(place(page[-1])) if end < len(objects) else None
