"""A synchronous client of a running simulator, for the demo and the tests."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from tracker.simulator.delivery import SignatureHeader
from tracker.simulator.faults import Fault
from tracker.simulator.truth import DeliveryTruth, Truth

# Longer than the sender waits for a receiver: `deliver` answers only when the receiver has.
ANSWER_SECONDS = 15.0

SOURCE_VIDEO = "https://example.com/source.mp4"


class SimulatorError(Exception):
    """The simulator refused, with its words, or could not be reached."""


class SimulatorClient:
    """Creates translations like HeyGen's clients do, and uses the control routes; a context manager."""

    def __init__(self, base_url: str, api_key: str = "simulator-key") -> None:
        self.base_url = base_url.rstrip("/")
        self._client = httpx.Client(
            base_url=base_url,
            headers={"x-api-key": api_key},
            timeout=ANSWER_SECONDS,
            transport=httpx.HTTPTransport(trust_env=False),
            trust_env=False,
        )

    def create(
        self,
        languages: str | Sequence[str],
        title: str | None = None,
        callback_id: str | None = None,
        callback_url: str | None = None,
        caption: bool = False,
    ) -> list[str]:
        """The ids of the new translations, one per language; a string is one language."""
        named: dict[str, object] = (
            {"output_language": languages}
            if isinstance(languages, str)
            else {"output_languages": list(languages)}
        )
        optional = {"title": title, "callback_id": callback_id, "callback_url": callback_url}
        given = {key: value for key, value in optional.items() if value is not None}
        body = {"video_url": SOURCE_VIDEO, **named, **given, "caption": caption}
        data = self._ask("POST", "/v2/video_translate", body)["data"]
        return (
            list(data["video_translate_ids"])
            if "video_translate_ids" in data
            else [data["video_translate_id"]]
        )

    def truth(self) -> Truth:
        return Truth.model_validate(self._ask("GET", "/simulator/truth"))

    def set_webhook(
        self,
        url: str | None,
        secret: str | None = None,
        *,
        name: str = "main",
        signature_header: SignatureHeader = "Signature",
        event_headers: bool = False,
    ) -> None:
        """Registers the endpoint of all later events; None removes it, no secret means unsigned."""
        body = {
            "url": url,
            "secret": secret,
            "name": name,
            "signature_header": signature_header,
            "event_headers": event_headers,
        }
        self._ask("PUT", "/simulator/webhook", body)

    def set_keys(self, keys: Sequence[str]) -> None:
        """From now on these API keys are valid, and no others."""
        self._ask("PUT", "/simulator/keys", {"keys": list(keys)})

    def set_faults(self, answer: Fault | None, *, retry_after: int = 1) -> None:
        """Answers every status request like this until changed; None goes back to the scenario."""
        self._ask("PUT", "/simulator/faults", {"answer": answer, "retry_after": retry_after})

    def deliver(
        self,
        event: Mapping[str, Any] | None = None,
        *,
        body: str | None = None,
        url: str | None = None,
        secret: str | None = None,
        signed: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> DeliveryTruth:
        """Sends an event (or a raw body) once, now, and returns when the receiver has answered.

        `url` and `secret` are those of the registered endpoint where not given.
        """
        asked = {"url": url, "secret": secret, "signed": signed, "headers": dict(headers or {})}
        content = {"event": dict(event)} if event is not None else {"body": body}
        answer = self._ask("POST", "/simulator/deliveries", {**asked, **content})
        return DeliveryTruth.model_validate(answer["delivery"])

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as problem:
            raise SimulatorError(f"{method} {path}: {problem}") from problem
        if answer.status_code != 200:
            raise SimulatorError(f"{method} {path}: HTTP {answer.status_code}: {answer.text}")
        return answer.json()
