"""The simulated translations and their timelines: no I/O, and time is an argument."""

import bisect
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tracker.simulator.links import Links
from tracker.simulator.scenario import Fate, Scenario

Clock = Callable[[], datetime]
"""Gives the time, aware and in UTC, and never goes backwards."""

Status = Literal["pending", "running", "success", "failed"]


class OrderError(ValueError):
    """What was asked for cannot be made; `param` is the field at fault."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Order:
    """One request to translate: it makes one translation per language, all with its callback_id."""

    languages: tuple[str, ...]
    title: str | None = None
    callback_id: str | None = None
    callback_url: str | None = None
    caption: bool = False
    translate_audio_only: bool = False


@dataclass(frozen=True)
class Translation:
    """One translation; its whole life is known from the start."""

    index: int
    video_translate_id: str
    output_language: str
    order: Order
    fate: Fate
    created_at: datetime

    @property
    def visible_at(self) -> datetime:
        """Before this moment the status endpoint does not know the id."""
        return self.created_at + timedelta(seconds=self.fate.not_found_seconds)

    @property
    def running_at(self) -> datetime:
        return self.created_at + timedelta(seconds=self.fate.pending_seconds)

    @property
    def finished_at(self) -> datetime:
        return self.running_at + timedelta(seconds=self.fate.running_seconds)

    @property
    def url_at(self) -> datetime | None:
        """When the url appears; None for a failure, which never has one."""
        if self.fate.outcome == "failed":
            return None
        delay = self.fate.url_delay_seconds if self.fate.url == "later" else 0.0
        return self.finished_at + timedelta(seconds=delay)

    @property
    def message(self) -> str | None:
        """The reason of a failure."""
        return self.fate.message if self.fate.outcome == "failed" else None

    def status(self, now: datetime) -> Status:
        if now < self.running_at:
            return "pending"
        return "running" if now < self.finished_at else self.fate.outcome

    def url_ready(self, now: datetime) -> bool:
        return self.url_at is not None and now >= self.url_at

    def visible(self, now: datetime) -> bool:
        return now >= self.visible_at


class World:
    """All translations of one simulator."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.scenario = scenario
        self.clock = clock
        self.started_at = clock()
        self._translations: dict[str, Translation] = {}
        self._in_order: list[Translation] = []
        self._by_end: list[tuple[datetime, int]] = []
        self._orders = 0
        self.links = Links(scenario)

    def create(self, order: Order) -> list[Translation]:
        """Raises OrderError, and then nothing was created."""
        ids = self._ids(order.languages)
        now = self.clock()
        first = len(self._translations)
        made = [
            Translation(first + number, made_id, language, order, self.scenario.fate(first + number), now)
            for number, (made_id, language) in enumerate(zip(ids, order.languages, strict=True))
        ]
        self._orders += 1
        for translation in made:
            self._translations[translation.video_translate_id] = translation
            self._in_order.append(translation)
            bisect.insort(self._by_end, (translation.finished_at, translation.index))
        return made

    def find(self, video_translate_id: str) -> Translation | None:
        return self._translations.get(video_translate_id)

    def all(self) -> list[Translation]:
        """In the order of creation, so that each stands at its index."""
        return list(self._in_order)

    def ended(self, now: datetime) -> list[Translation]:
        """Those that have ended, in the order of their ends."""
        count = bisect.bisect_right(self._by_end, now, key=lambda end: end[0])
        return [self._in_order[index] for _, index in self._by_end[:count]]

    def link(self, translation: Translation, now: datetime) -> str | None:
        """The url of the result, with another query at every call; None until there is one."""
        return self.file_link(translation, "original.mp4", now)

    def caption_link(self, translation: Translation, now: datetime, name: str = "caption.ass") -> str | None:
        """The captions, which come with the url, and only when they were asked for."""
        return self.file_link(translation, name, now) if translation.order.caption else None

    def file_link(self, translation: Translation, name: str, now: datetime) -> str | None:
        """Any file of the result; all come at the same moment."""
        if not translation.url_ready(now):
            return None
        return self.links.sign(translation.video_translate_id, name, now)

    def _ids(self, languages: Sequence[str]) -> list[str]:
        # The start is part of the id: a simulator started again must not give out ids that a
        # tracker's database already knows as finished.
        shared = _digest(f"{self.scenario.seed}:{self.started_at.isoformat()}:{self._orders}")[:32]
        if len(languages) == 1:
            return [shared]
        ids = [f"{shared}-{_suffix(language)}" for language in languages]
        if len(set(ids)) != len(ids):
            raise OrderError("output_languages", "a language is named twice")
        return ids


def _suffix(language: str) -> str:
    """`ur_ur-PK` stays as it is, `Spanish (Spain)` becomes `Spanish_Spain`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", language).strip("_")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
