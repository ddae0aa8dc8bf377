"""The answer of GET /simulator/truth as typed values."""

from datetime import datetime
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tracker.simulator.delivery import State, Target
from tracker.simulator.endpoints import EndpointStatus
from tracker.simulator.scenario import Fate
from tracker.simulator.world import Status


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeliveryTruth(_Value):
    """One event to one receiver, over all its attempts."""

    event_id: str
    event_type: str
    target: Target
    url: str
    endpoint_id: str | None = None
    fate: str
    state: State
    attempts: int
    last_status: int | None
    last_error: str | None
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    delivered_at: datetime | None


class FileTruth(_Value):
    """One file of a translation; `size` in bytes."""

    size: int
    sha256: str
    content_type: str


class TranslationTruth(_Value):
    """One translation; `status` and `url_ready` are those of the moment of the question.

    `files` are those it has in the end, by name, where the simulator serves them.
    """

    video_translate_id: str
    callback_id: str | None
    title: str | None
    output_language: str
    status: Status
    created_at: datetime
    running_at: datetime
    finished_at: datetime
    url_at: datetime | None
    url_ready: bool
    message: str | None
    fate: Fate
    deliveries: tuple[DeliveryTruth, ...]
    files: dict[str, FileTruth] = {}

    @property
    def outcome(self) -> Literal["success", "failed"]:
        """The status it ends with."""
        return self.fate.outcome


class RequestsTruth(_Value):
    """Counters of the requests to HeyGen's own routes."""

    create_total: int
    status_total: int
    status_by_id: dict[str, int]
    status_by_answer: dict[str, int]
    status_in_flight_max: int
    status_overlaps: int
    statuses_ids_total: int = 0
    statuses_by_id: dict[str, int] = {}
    shortest_gap: float | None = None
    files_with_secrets: int = 0
    file_bytes: int = 0
    by_route: dict[str, int] = {}
    answers_by_route: dict[str, dict[str, int]] = {}


class EndpointTruth(_Value):
    """One registered webhook endpoint, with its secret; `events` None means all."""

    endpoint_id: str
    url: str
    events: tuple[str, ...] | None
    status: EndpointStatus
    created_at: datetime
    secret: str | None


class Truth(_Value):
    """All that a simulator knows."""

    now: datetime
    translations: tuple[TranslationTruth, ...]
    other_deliveries: tuple[DeliveryTruth, ...]
    requests: RequestsTruth

    def of(self, video_translate_id: str) -> TranslationTruth:
        """Raises KeyError for an id that this simulator did not make."""
        return self._by_id[video_translate_id]

    @cached_property
    def _by_id(self) -> dict[str, TranslationTruth]:
        return {translation.video_translate_id: translation for translation in self.translations}

    @property
    def all_finished(self) -> bool:
        return all(translation.status in ("success", "failed") for translation in self.translations)
