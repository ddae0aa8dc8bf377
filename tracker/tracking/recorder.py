"""The one door: every observation is evaluated, stored, logged and counted here."""

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

EVIDENCE = 20  # latest completions that show whether webhooks arrive
WORDS_REMEMBERED = 1000


def registration(
    at: datetime,
    *,
    video_translate_id: str | None = None,
    callback_id: str | None = None,
    title: str | None = None,
) -> Observation:
    """The observation of a manual registration; raises InputError for invalid values."""
    if not video_translate_id and not callback_id:
        raise InputError("name a video_translate_id or a callback_id")
    if video_translate_id and not is_video_translate_id(video_translate_id):
        raise InputError(
            f"{video_translate_id[:80]!r} is not a valid video_translate_id: use 1 to 255 of A-Z a-z 0-9 _ -"
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
    """The observation of a manual request to poll a translation now, even a finished one."""
    return Observation(source=Source.MANUAL, observed_at=at, video_translate_id=video_translate_id, hint=True)


class Recorder:
    """Records observations: `record` returns once they are committed."""

    def __init__(
        self, store: Store, schedule: Schedule, figures: Figures, facts: PollingFacts | None = None
    ) -> None:
        self._store = store
        self.schedule = schedule
        self._figures = figures
        self._completion_sources: deque[Source] = deque(maxlen=EVIDENCE)
        self.facts = facts or PollingFacts()
        self._unknown_words: set[str] = set()

    @property
    def stretch(self) -> float:
        """The factor by which polling may slow down because webhooks arrive reliably."""
        return webhook_stretch(self._completion_sources)

    @property
    def delivery_rate(self) -> float | None:
        """The share of the latest completions that a webhook reported first; None before any."""
        sources = self._completion_sources
        return sum(source is Source.WEBHOOK for source in sources) / len(sources) if sources else None

    @property
    def tempo(self) -> Tempo:
        """The factors that currently lengthen the polling intervals."""
        plan = self.facts.plan
        return Tempo(self.stretch, plan.young, plan.old) if plan else Tempo(self.stretch)

    async def remember_evidence(self) -> None:
        """Load the sources of the latest completions from the database; once, at start-up."""
        self._completion_sources.extend(reversed(await self._store.recent_end_sources(EVIDENCE)))

    async def record(self, records: Sequence[Record]) -> list[RecordResult]:
        """Evaluate and store `records` in one transaction, then log and count the results.

        Raises StoreError if nothing was stored.
        """
        results = await self._store.apply(
            records, partial(determine_outcome, schedule=self.schedule, tempo=self.tempo)
        )
        for record, result in zip(records, results, strict=True):
            self._report(record, result)
        return results

    async def register(self, observations: Iterable[Observation]) -> list[RecordResult]:
        """Track new translations; for known translations only missing fields are filled in."""
        return await self.record([Record(observation=observation) for observation in observations])

    def _report(self, record: Record, result: RecordResult) -> None:
        if record.delivery is not None:
            self._figures.delivered(result.outcome, duplicate=result.is_duplicate)
        if result.is_duplicate or (observation := record.observation) is None:
            return
        if result.change is not None:
            self._report_change(observation, result, result.change)
        if result.attention is not None:
            # under doubt the poller logs one warning for all of them
            is_doubtful = self.facts.is_doubted and result.attention is Attention.NOT_FOUND
            write = log.debug if is_doubtful else log.warning
            write("translation needs attention", id=result.video_translate_id, attention=result.attention)
        if observation.status is None and observation.provider_status is not None:
            self._warn_of_unknown_word(observation.provider_status, result)

    def _report_change(self, observation: Observation, result: RecordResult, change: Change) -> None:
        if change.new.is_final and not change.old.is_final and observation.source in RACING:
            self._completion_sources.append(observation.source)
            self.facts.unreported_ends += observation.source is Source.POLL
        self._figures.changed(change.new, observation.source)
        since = result.finished_at or observation.observed_at
        lag = (result.recorded_at - since).total_seconds() if result.recorded_at else None
        log.info(
            "status changed",
            id=result.video_translate_id,
            old=change.old,
            new=change.new,
            source=observation.source,
            lag=lag and round(lag, 3),
            note=change.note,
        )

    def _warn_of_unknown_word(self, word: str, result: RecordResult) -> None:
        """Once per word, so that a new word of HeyGen's does not flood the log."""
        if word in self._unknown_words or len(self._unknown_words) >= WORDS_REMEMBERED:
            return
        self._unknown_words.add(word)
        log.warning("unknown status word", id=result.video_translate_id, word=word)
