"""One question to HeyGen, about one translation or many, and what it says of each."""

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
    """What HeyGen says of each, or the problem in its way. Raises AccountError and RefusedError alone."""
    ids = [claim.video_translate_id for claim in claims]
    good = [one for one in ids if is_video_translate_id(one)]
    invalid = Problem(ProblemKind.INVALID_ID, "HeyGen gives out no such id; it is never asked for")
    try:
        told = {one.video_translate_id: one for one in await _ask(heygen, good, now)}
        problem = invalid
    except NotFoundError as error:
        told, problem = {}, Problem(ProblemKind.NOT_FOUND, str(error))
    except TransientError as error:
        told, problem = {}, Problem(ProblemKind.UNREACHABLE, str(error))
    except (AccountError, RefusedError):
        raise
    except Exception as error:  # a poison answer must not be asked for again at once
        log.exception("poll failed", id=ids[0], count=len(ids))
        told, problem = {}, Problem(ProblemKind.UNREACHABLE, f"unexpected: {type(error).__name__}")
    return [told.get(one) or _learnt_nothing(one, problem if one in good else invalid, now) for one in ids]


async def _ask(heygen: StatusSource | None, ids: Sequence[str], now: datetime) -> list[Observation]:
    """One question to HeyGen; one about a single translation brings its urls, too."""
    if not ids or heygen is None:
        return []
    if len(ids) == 1:
        return [await heygen.fetch(ids[0], now)]
    return await heygen.fetch_many(ids, now)


def _learnt_nothing(video_translate_id: str, problem: Problem, now: datetime) -> Observation:
    return Observation(
        source=Source.POLL, observed_at=now, video_translate_id=video_translate_id, problem=problem
    )


def questions(claims: Sequence[Claim], batch: int) -> Iterable[list[Claim]]:
    """What is asked together: as many as fit into a bulk question, the others one by one."""
    together = [claim for claim in claims if not claim.alone]
    yield from ([claim] for claim in claims if claim.alone)
    yield from (together[start : start + batch] for start in range(0, len(together), batch))
