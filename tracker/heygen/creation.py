"""Asking HeyGen to create translations, in the dialect that the account speaks (heygen-api section 2)."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog

from tracker.domain.submissions import Created, Order
from tracker.domain.translation import is_video_translate_id
from tracker.errors import AccountError, HeyGenError, InputError, NotSentError, RefusedError, TransientError
from tracker.heygen import v2, v3
from tracker.heygen.answers import Answer
from tracker.heygen.client import HeyGenClient
from tracker.heygen.payloads import as_object, as_text, parse_json_object

log = structlog.get_logger("tracker.heygen")

V2_TRANSLATIONS_PATH = "/v2/video_translate"
PROOFREADS_PATHS = {
    v2.API_VERSION: f"{V2_TRANSLATIONS_PATH}/proofread",
    v3.API_VERSION: f"{v3.TRANSLATIONS_PATH}/proofreads",
}
MANY = ("video_translation_ids", "video_translate_ids")
ONE = ("video_translation_id", "video_translate_id")
PERHAPS_PROCESSED = frozenset({"internal_error", "timeout", "request_in_progress"})


class Creation:
    """Creates translations. `api` says which API the account speaks, `follows` whether v2 may lead to v3."""

    def __init__(self, client: HeyGenClient, api: Callable[[], str], *, follows: bool) -> None:
        self._client = client
        self._api = api
        self._follows = follows

    def check(self, order: Order) -> None:
        """Raise InputError for what the account's API cannot do."""
        if order.asset_id is not None and self._api() == v2.API_VERSION:
            raise InputError(
                "--asset-id: HeyGen's v2 takes no assets; give a --video-url, or set TRACKER_HEYGEN_API=v3"
            )

    async def create(
        self,
        order: Order,
        idempotency_key: str,
        at: datetime,
        sending: Callable[[str], Awaitable[None]],
        api_version: str | None = None,
    ) -> Created:
        """Ask for it once; `api_version` binds it to the API whose HeyGen knows the key already.

        `sending` is awaited with the API's version before each request goes out: v2 that looks retired
        is followed by v3. Raises RefusedError for what never works, NotSentError, KeyRejectedError or
        RateLimitedError where nothing was created, and TransientError where nobody knows.
        """
        api = api_version or self._api()
        await sending(api)
        if api == v2.API_VERSION and order.asset_id is not None:  # it counts as an attempt, and backs off
            raise NotSentError("HeyGen's v2 takes no assets; set TRACKER_HEYGEN_API=v3")
        answer = await self._post(api, order, idempotency_key, at)
        # HeyGen's own 404 created nothing either, and v3 says for itself whether it is right
        if api == v2.API_VERSION and (_is_gone(answer) or (self._follows and answer.status_code == 404)):
            if not self._follows:
                raise NotSentError(
                    f"v2 answers as retired: {answer.name}; set TRACKER_HEYGEN_API to auto or v3"
                )
            log.warning("v2 answers as retired", answer=answer.name, now=v3.API_VERSION)
            api = v3.API_VERSION
            await sending(api)
            answer = await self._post(api, order, idempotency_key, at)
        return _read(answer, api)

    async def _post(self, api: str, order: Order, idempotency_key: str, at: datetime) -> Answer:
        path, body = request_of(api, order)
        headers = {"idempotency-key": idempotency_key}
        try:
            return await self._client.ask("create", path, at, method="POST", body=body, headers=headers)
        except TransientError as error:
            if _never_left(error):
                raise NotSentError(str(error)) from error
            raise


def request_of(api: str, order: Order) -> tuple[str, dict[str, Any]]:
    """Path and body of the order's request."""
    common = dict(order.more)
    if order.callback_id is not None:
        common["callback_id"] = order.callback_id
    if order.proofread_id is not None:
        return f"{PROOFREADS_PATHS[api]}/{quote(order.proofread_id, safe='')}/generate", common
    if order.title is not None:
        common["title"] = order.title
    languages = list(order.languages)
    if api == v3.API_VERSION:
        return v3.TRANSLATIONS_PATH, {"video": _video(order), "output_languages": languages, **common}
    named = {"output_language": languages[0]} if len(languages) == 1 else {"output_languages": languages}
    return V2_TRANSLATIONS_PATH, {"video_url": order.video_url, **named, **common}


def _video(order: Order) -> dict[str, str | None]:
    if order.asset_id is not None:
        return {"type": "asset_id", "asset_id": order.asset_id}
    return {"type": "url", "url": order.video_url}


def _is_gone(answer: Answer) -> bool:
    """v2 looks retired, and certainly processed nothing: a web page with 200 may hide anything."""
    certain = answer.status_code in (404, 405, 410) or 300 <= answer.status_code < 400
    return certain and answer.looks_retired


def _never_left(error: BaseException) -> bool:
    """True where no connection came about; any other failure may have come after HeyGen had read it all."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError):
            return True
        cause = cause.__cause__
    return False


def _read(answer: Answer, api: str) -> Created:
    """The ids; raises HeyGenError. v2 and v3 name them by several words (heygen-api section 2)."""
    try:
        data = answer.data()
    except AccountError:
        raise
    except HeyGenError as error:
        raise _refusal(answer, error) from error
    many = next((data[name] for name in MANY if isinstance(data.get(name), list)), None)
    one = next((data[name] for name in ONE if data.get(name) is not None), None)
    ids = tuple(_id(value) for value in (many if many is not None else [one]))
    if not any(ids):
        raise TransientError(f"{answer.name} names no ids")
    return Created(api, ids)


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and is_video_translate_id(value) else None


def _refusal(answer: Answer, error: HeyGenError) -> HeyGenError:
    """RefusedError where HeyGen itself, in its own JSON, says no; all else may have been processed."""
    try:
        said = parse_json_object(answer.body).get("error")
    except ValueError:
        return TransientError(str(error))
    code = (as_text(as_object(said).get("code")) or "").lower()
    says_no = answer.is_refusal or (bool(said) and 200 <= answer.status_code < 300)
    refused = says_no and code not in PERHAPS_PROCESSED
    return RefusedError(str(error)) if refused else TransientError(str(error))
