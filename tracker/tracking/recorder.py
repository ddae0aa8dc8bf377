"""The one door: whatever anybody observed is decided, stored and told here."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

import structlog

from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import determine_outcome
from tracker.domain.polling_facts import PollingFacts
from tracker.domain.ports import Figures, Store
from tracker.domain.record import Record, RecordResult
from tracker.domain.schedule import Schedule, Tempo, webhook_stretch
from tracker.domain.status import RACING, Attention, Source
from tracker.domain.transitions import Change
from tracker.domain.translation import UNSTORABLE, is_video_translate_id
from tracker.errors import InputError

log = structlog.get_logger("tracker")

EVIDENCE = 20  # how many of the latest ends tell whether webhooks arrive
WORDS_REMEMBERED = 1000


def registration(
    at: datetime,
    *,
    video_translate_id: str | None = None,
    callback_id: str | None = None,
    title: str | None = None,
) -> Observation:
    """What a person tells us to track; raises InputError for what cannot be tracked."""
    if not video_translate_id and not callback_id:
        raise InputError("name a video_translate_id or a callback_id")
    if video_translate_id and not is_video_translate_id(video_translate_id):
        raise InputError(
            f"{video_translate_id[:80]!r} is no video_translate_id: HeyGen's have 1 to 255 of A-Z a-z 0-9 _ -"
        )
    if any(UNSTORABLE.search(text) for text in (callback_id, title) if text):
        raise InputError("callback_id and title must be text without NUL characters and lone surrogates")
    return Observation(
        source=Source.MANUAL,
        observed_at=at,
        video_translate_id=video_translate_id or None,
        callback_id=callback_id or None,
        details=Details(title=title or None),
    )


def poll_request(at: datetime, video_translate_id: str) -> Observation:
    """What a person says to have one translation polled now, also where it has ended."""
    return Observation(source=Source.MANUAL, observed_at=at, video_translate_id=video_translate_id, hint=True)


class Recorder:
    """Records observations: `record` returns once they are committed."""

    def __init__(
        self, store: Store, schedule: Schedule, figures: Figures, facts: PollingFacts | None = None
    ) -> None:
        self._store = store
        self.schedule = schedule
        self._figures = figures
        self._end_sources: deque[Source] = deque(maxlen=EVIDENCE)
        self.facts = facts or PollingFacts()
        self._unknown_words: set[str] = set()

    @property
    def stretch(self) -> float:
        """How much slower polling may be, for webhooks have proven to arrive."""
        return webhook_stretch(self._end_sources)

    @property
    def delivery_rate(self) -> float | None:
        """The share of the latest ends that a webhook told of before a poll; None where nothing has ended."""
        ends = self._end_sources
        return sum(source is Source.WEBHOOK for source in ends) / len(ends) if ends else None

    @property
    def tempo(self) -> Tempo:
        """What lengthens the intervals of polling at present."""
        plan = self.facts.plan
        return Tempo(self.stretch, plan.young, plan.old) if plan else Tempo(self.stretch)

    async def remember_evidence(self) -> None:
        """Learn from the database who reported the latest ends; once, at start."""
        self._end_sources.extend(reversed(await self._store.recent_end_sources(EVIDENCE)))

    async def record(self, records: Sequence[Record]) -> list[RecordResult]:
        """Decide and store `records` in one transaction, then tell the log and the figures.

        Raises StoreError where nothing was stored.
        """
        results = await self._store.apply(
            records, partial(determine_outcome, schedule=self.schedule, tempo=self.tempo)
        )
        for record, recorded in zip(records, results, strict=True):
            self._tell(record, recorded)
        return results

    async def register(self, observations: Iterable[Observation]) -> list[RecordResult]:
        """Track what people name; known translations only get their blanks filled."""
        return await self.record([Record(observation=observation) for observation in observations])

    def _tell(self, record: Record, recorded: RecordResult) -> None:
        if record.delivery is not None:
            self._figures.delivered(recorded.outcome, duplicate=recorded.is_duplicate)
        if recorded.is_duplicate or (seen := record.observation) is None:
            return
        if recorded.change is not None:
            self._tell_change(seen, recorded, recorded.change)
        if recorded.attention is not None:
            strange = (
                self.facts.is_doubted and recorded.attention is Attention.NOT_FOUND
            )  # told once, by the poller
            tell = log.debug if strange else log.warning
            tell("translation needs attention", id=recorded.video_translate_id, attention=recorded.attention)
        if seen.status is None and seen.provider_status is not None:
            self._warn_of_word(seen.provider_status, recorded)

    def _tell_change(self, seen: Observation, recorded: RecordResult, change: Change) -> None:
        if change.new.is_final and not change.old.is_final and seen.source in RACING:
            self._end_sources.append(seen.source)
            self.facts.unreported_ends += seen.source is Source.POLL
        self._figures.changed(change.new, seen.source)
        since = recorded.finished_at or seen.observed_at
        lag = (recorded.recorded_at - since).total_seconds() if recorded.recorded_at else None
        log.info(
            "status changed",
            id=recorded.video_translate_id,
            old=change.old,
            new=change.new,
            source=seen.source,
            lag=lag and round(lag, 3),
            note=change.note,
        )

    def _warn_of_word(self, word: str, recorded: RecordResult) -> None:
        """Once per word: a new word of HeyGen's would otherwise fill the log."""
        if word in self._unknown_words or len(self._unknown_words) >= WORDS_REMEMBERED:
            return
        self._unknown_words.add(word)
        log.warning("unknown status word", id=recorded.video_translate_id, word=word)
