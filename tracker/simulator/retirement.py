"""What a version of the API answers when it is no more; nobody knows which of these HeyGen will choose."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from tracker.simulator.answers import Generation
from tracker.simulator.scenario import RetiredAnswer, Scenario
from tracker.simulator.world import Clock

MOVED_TO = "https://developers.heygen.com/"


@dataclass
class Retirement:
    """Which versions are retired: by the scenario's plan, until somebody says it by hand."""

    scenario: Scenario
    clock: Clock
    started_at: datetime
    said: dict[Generation, RetiredAnswer | None] = field(default_factory=dict)

    def answer(self, generation: Generation) -> RetiredAnswer | None:
        """How this version answers now that it is retired; None while it is spoken."""
        if generation in self.said:
            return self.said[generation]
        after = self.scenario.retire_v2_after_seconds
        if generation != "v2" or after is None or self.clock() < self.started_at + timedelta(seconds=after):
            return None
        return self.scenario.retired_answer


def retired_response(answer: RetiredAnswer, not_found: Response) -> Response:
    """`not_found` is what the version says of a translation that it does not know."""
    match answer:
        case "not_found":
            return not_found
        case "404":
            # A gateway's 404: not HeyGen's own words about a translation.
            return JSONResponse({"message": "Not Found"}, 404)
        case "405":
            return PlainTextResponse("Method Not Allowed", 405, headers={"Allow": "OPTIONS"})
        case "410":
            error = {"code": "endpoint_retired", "message": f"This endpoint was retired, see {MOVED_TO}"}
            return JSONResponse({"data": None, "error": error}, 410)
        case "redirect":
            return RedirectResponse(MOVED_TO, 301)
        case "html":
            return HTMLResponse(
                f'<html><body><h1>We have moved</h1><a href="{MOVED_TO}">v3</a></body></html>'
            )
