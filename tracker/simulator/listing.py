"""The list of all translations, page by page, and the strange ways in which it may go on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from tracker.simulator.paging import Page, asked, cut, token
from tracker.simulator.request_handler import RequestHandler
from tracker.simulator.world import Translation

# Multiplying by an odd number goes through all of 32 bits once: an order without any order.
_STIR = 2654435761

_PLACES: dict[str, Callable[[Translation], int]] = {
    "newest": lambda translation: -translation.index,
    "oldest": lambda translation: translation.index,
    "shuffled": lambda translation: (translation.index + 1) * _STIR % 2**32,
}


@dataclass
class Listing:
    """GET /v3/video-translations; `describe` writes one object."""

    desk: RequestHandler
    describe: Callable[[Translation], dict[str, Any]]
    _tokens_given: int = 0

    def page(self, request: Request) -> dict[str, Any]:
        """Raises Refusal for a limit or a token that cannot be."""
        wanted, odd = asked(request), self.desk.oddities
        place, now = _PLACES[odd.list_order], self.desk.world.clock()
        if odd.list_endless or odd.list_repeat_token:
            wanted = replace(wanted, after=None)  # the same objects again
        visible = [one for one in self.desk.world.all() if one.visible(now)]
        page, next_token = cut(sorted(visible, key=place), place, wanted)
        objects = [self._object(translation) for translation in page]
        return Page(objects, next_token).as_dict() | self._strange()

    def _object(self, translation: Translation) -> dict[str, Any]:
        whole = self.describe(translation)
        return {key: whole[key] for key in ("id", "status")} if self.desk.oddities.list_absent_keys else whole

    def _strange(self) -> dict[str, Any]:
        odd = self.desk.oddities
        if odd.list_endless:
            self._tokens_given += 1
            return {"has_more": True, "next_token": token(self._tokens_given)}
        if odd.list_repeat_token:
            return {"has_more": True, "next_token": token(0)}
        if odd.list_empty_token is not None:
            return {"has_more": True, "next_token": {"null": None, "empty": ""}[odd.list_empty_token]}
        return {}
