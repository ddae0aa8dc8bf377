"""Requests the status of one or many translations, and turns answers and errors into observations."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from tracker.domain.claims import Claim
from tracker.domain.observation import Observation, Problem, ProblemKind
from tracker.domain.ports import StatusSource
from tracker.domain.status import Source
from tracker.domain.translation import is_video_translate_id
from tracker.errors import AccountError, NotFoundError, RefusedError, TransientError

log = structlog.get_logger("tracker.polling")


async def observe(heygen: StatusSource | None, claims: Sequence[Claim], now: datetime) -> list[Observation]:
    """Return a status or a problem for each claim. Raises only AccountError and RefusedError."""
    ids = [claim.video_translate_id for claim in claims]
    valid_ids = [translation_id for translation_id in ids if is_video_translate_id(translation_id)]
    invalid = Problem(ProblemKind.INVALID_ID, "not a valid id of HeyGen; not requested")
    observations: dict[str | None, Observation] = {}
    try:
        answers = await _request(heygen, valid_ids, now)
        observations = {answer.video_translate_id: answer for answer in answers}
        problem = invalid
    except NotFoundError as error:
        problem = Problem(ProblemKind.NOT_FOUND, str(error))
    except TransientError as error:
        problem = Problem(ProblemKind.UNREACHABLE, str(error))
    except (AccountError, RefusedError):
        raise
    except Exception as error:  # counts as a failed poll: a poison answer must not be due again at once
        log.exception("poll failed", id=ids[0], count=len(ids))
        problem = Problem(ProblemKind.UNREACHABLE, f"unexpected: {type(error).__name__}")
    return [
        observations.get(translation_id)
        or _failed(translation_id, problem if translation_id in valid_ids else invalid, now)
        for translation_id in ids
    ]


async def _request(heygen: StatusSource | None, ids: Sequence[str], now: datetime) -> list[Observation]:
    """Send one request; a request for a single translation returns its urls too."""
    if not ids or heygen is None:
        return []
    if len(ids) == 1:
        return [await heygen.fetch(ids[0], now)]
    return await heygen.fetch_many(ids, now)


def _failed(video_translate_id: str, problem: Problem, now: datetime) -> Observation:
    return Observation(
        source=Source.POLL, observed_at=now, video_translate_id=video_translate_id, problem=problem
    )


def group_by_request(claims: Sequence[Claim], batch: int) -> Iterable[list[Claim]]:
    """Group claims into requests: bulk requests of up to `batch`, and a request each for those `alone`."""
    bulk = [claim for claim in claims if not claim.alone]
    yield from ([claim] for claim in claims if claim.alone)
    yield from (bulk[start : start + batch] for start in range(0, len(bulk), batch))
