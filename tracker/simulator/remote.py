"""A synchronous client of a running simulator, for the demo and the tests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from tracker.simulator.answers import Generation
from tracker.simulator.delivery import SignatureHeader
from tracker.simulator.faults import Fault, FaultRoute, Oddities
from tracker.simulator.file_faults import FileFault, Forced
from tracker.simulator.scenario import RetiredAnswer
from tracker.simulator.truth import DeliveryTruth, EndpointTruth, Truth

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
        *,
        api: Generation = "v2",
        idempotency_key: str | None = None,
    ) -> list[str]:
        """The ids of the new translations, one per language; a string is one language.

        Only v3 knows idempotency keys.
        """
        optional = {"title": title, "callback_id": callback_id, "callback_url": callback_url}
        given = {key: value for key, value in optional.items() if value is not None}
        if api == "v3":
            return self._create_v3(languages, {**given, "captions": caption}, idempotency_key)
        named: dict[str, object] = (
            {"output_language": languages}
            if isinstance(languages, str)
            else {"output_languages": list(languages)}
        )
        body = {"video_url": SOURCE_VIDEO, **named, **given, "caption": caption}
        data = self._ask("POST", "/v2/video_translate", body)["data"]
        return (
            list(data["video_translate_ids"])
            if "video_translate_ids" in data
            else [data["video_translate_id"]]
        )

    def _create_v3(
        self, languages: str | Sequence[str], given: Mapping[str, object], key: str | None
    ) -> list[str]:
        named = [languages] if isinstance(languages, str) else list(languages)
        body = {"video": {"type": "url", "url": SOURCE_VIDEO}, "output_languages": named, **given}
        headers = {} if key is None else {"Idempotency-Key": key}
        data = self._ask("POST", "/v3/video-translations", body, headers)["data"]
        return list(data["video_translation_ids"])

    def create_many(
        self, count: int, *, title: str | None = None, callback_id_prefix: str | None = None
    ) -> list[str]:
        """Makes so many translations at once, with callback ids `<prefix>0`, `<prefix>1` and so on."""
        body = {"count": count, "title": title, "callback_id_prefix": callback_id_prefix}
        return list(self._ask("POST", "/simulator/translations", body)["ids"])

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

    def set_faults(
        self, answer: Fault | None, *, retry_after: int = 1, routes: Sequence[FaultRoute] | None = None
    ) -> None:
        """Answers every request of these routes like this until changed; None goes back to the scenario.

        Routes not given are those that ask for a status, of one translation or of many.
        """
        named = None if routes is None else list(routes)
        body = {"answer": answer, "retry_after": retry_after, "routes": named}
        self._ask("PUT", "/simulator/faults", body)

    def set_file_faults(
        self,
        answer: FileFault | None,
        *,
        times: int | None = None,
        after_bytes: int = 1000,
        bytes_per_second: float = 100.0,
        location: str | None = None,
    ) -> None:
        """So many of the next answers for files go wrong like this, None: all; a None answer ends it."""
        forced = Forced(
            answer=answer,
            times=times,
            after_bytes=after_bytes,
            bytes_per_second=bytes_per_second,
            location=location,
        )
        self._ask("PUT", "/simulator/file-faults", forced.model_dump())

    def revoke_links(self, video_translate_id: str | None = None) -> None:
        """The links given out so far cease to work, of one translation or of all."""
        self._ask("POST", "/simulator/revocations", {"video_translate_id": video_translate_id})

    def set_oddities(self, **oddities: object) -> None:
        """Strange answers in good form, by the fields of `faults.Oddities`; what is not given is normal."""
        body = Oddities.model_validate(oddities).model_dump(mode="json")
        self._ask("PUT", "/simulator/oddities", body)

    def set_events(self, events: Sequence[object]) -> None:
        """Puts these entries, whatever they are, in front of the event log, in place of those of before."""
        self._ask("PUT", "/simulator/events", {"events": list(events)})

    def set_retirement(self, **versions: RetiredAnswer | None) -> None:
        """`v2="410"`, `v3="404"`, ...: how a version answers from now on; None lets it speak again."""
        self._ask("PUT", "/simulator/retirement", versions)

    def advance(self, seconds: float) -> datetime:
        """Moves the simulator's clock forward; gives its new time."""
        return datetime.fromisoformat(
            self._ask("POST", "/simulator/clock", {"advance_seconds": seconds})["now"]
        )

    def endpoints(self) -> list[EndpointTruth]:
        """All registered webhook endpoints, with their secrets."""
        listed = self._ask("GET", "/simulator/endpoints")["endpoints"]
        return [EndpointTruth.model_validate(one) for one in listed]

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

    def _ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        try:
            answer = self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as problem:
            raise SimulatorError(f"{method} {path}: {problem}") from problem
        if answer.status_code != 200:
            raise SimulatorError(f"{method} {path}: HTTP {answer.status_code}: {answer.text}")
        return answer.json()
