"""The public listener: two webhook routes and a health page, nothing else."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.domain.limits import MAX_BODY_BYTES
from tracker.web.answers import Json, http_error
from tracker.web.receiver import Receiver

WEBHOOK_METHODS = ["POST", "OPTIONS", "GET", "HEAD"]


def create_public_app(receiver: Receiver) -> Starlette:
    """The app that faces HeyGen."""
    app = Starlette(
        routes=[
            Route("/webhooks/heygen", receiver.signed, methods=WEBHOOK_METHODS),
            Route("/webhooks/heygen/{token}", receiver.unsigned, methods=WEBHOOK_METHODS),
            Route("/healthz", healthz, methods=["GET"]),
        ],
        exception_handlers={HTTPException: http_error},
        max_body_size=MAX_BODY_BYTES,
    )
    app.router.redirect_slashes = False
    return app


async def healthz(_request: Request) -> Response:
    """Liveness only: checks nothing but that the process answers."""
    return Json({"status": "ok"})
