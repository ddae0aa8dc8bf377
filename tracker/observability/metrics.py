"""The figures that /metrics shows."""

import math
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tracker.domain.files.records import Missing
from tracker.domain.poller_state import PollerState


class Metrics:
    """Counters of this process, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter, of no use here
        self.registry = CollectorRegistry()
        for collector in (GCCollector, PlatformCollector, ProcessCollector):
            collector(registry=self.registry)
        self._changes = self._counter("changes", "status changes stored", "source", "new_status")
        self._deliveries = self._counter(
            "webhook_deliveries", "webhooks stored, by what became of them", "outcome"
        )
        self._duplicates = self._counter("webhook_duplicates", "webhooks that were known already")
        self._refused = self._counter("webhook_refused", "webhooks answered with an error", "status_code")
        self._polls = self._counter("polls", "polls, by what they learnt", "outcome")
        self._translations = self._gauge(
            "translations", "translations in the database", "status", "attention"
        )
        self._oldest_due = self._gauge(
            "oldest_due_poll_age_seconds", "how long the poll that is due longest has waited"
        )
        self._loop_lag = self._gauge(
            "loop_lag_seconds", "how late the event loop last came back from a short sleep"
        )
        self._paused = self._gauge("polling_paused", "1 while no poll may be made, by reason", "reason")
        self._requests = self._counter("heygen_requests", "requests sent to HeyGen, by kind", "kind")
        self._api = self._gauge("heygen_api", "1 for the HeyGen API that is spoken", "version")
        self._mode = self._gauge("polling_mode", "1 for the mode that polling is in", "mode")
        self._staleness = self._gauge(
            "staleness_seconds",
            "longest time without a question about a translation younger than 30 minutes",
            "kind",
        )
        self._delivery_rate = self._gauge(
            "webhook_delivery_rate", "share of the latest ends that a webhook reported first"
        )
        self._endpoint = self._gauge(
            "webhook_endpoint_problem", "1 for each problem of our webhook endpoint", "problem"
        )
        self._instances = self._gauge("instances", "trackers of this database that poll, this one included")
        self._links_renewed = self._counter(
            "links_renewed", "questions that brought new links, by what they were asked for", "cause"
        )
        self._links_not_renewed = self._counter(
            "link_renewals_failed", "questions for new links that brought none", "cause"
        )
        for counter in (self._links_renewed, self._links_not_renewed):
            for cause in ("on_demand", "always"):
                counter.labels(cause=cause)
        self._pruned = self._counter("retention_deleted", "rows deleted because of their age", "kind")
        self._backlog = self._gauge(
            "retention_backlog", "rows that are too old and still there, 10,000 at most", "kind"
        )
        self._archived = self._counter("archived_files", "files that were archived", "kind")
        self._archived_bytes = self._counter("archived_bytes", "bytes of the files that were archived")
        self._missing = self._gauge(
            "archive_files", "files that are wanted and not archived, 10,000 at most, by state", "state"
        )
        self._oldest_missing = self._gauge(
            "archive_oldest_waiting_seconds",
            "since the end of the translation that has waited longest for a file to be archived",
        )
        self._stretch = self._gauge(
            "poll_interval_stretch", "by how much webhooks stretch the poll intervals"
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"tracker_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"tracker_{name}", meaning, labels, registry=self.registry)

    def changed(self, new_status: str, source: str) -> None:
        """A status change was stored."""
        self._changes.labels(source=source, new_status=new_status).inc()

    def delivered(self, outcome: str, *, duplicate: bool) -> None:
        """A webhook was stored."""
        if duplicate:
            self._duplicates.inc()
        else:
            self._deliveries.labels(outcome=outcome).inc()

    def refused(self, status_code: int) -> None:
        """A webhook was answered with an error."""
        self._refused.labels(status_code=str(status_code)).inc()

    def polled(self, outcome: str) -> None:
        """A poll ended."""
        self._polls.labels(outcome=outcome).inc()

    def asked(self, kind: str) -> None:
        """A request went out to HeyGen."""
        self._requests.labels(kind=kind).inc()

    def link_renewed(self, cause: str) -> None:
        """HeyGen was asked for new links of one translation, and gave them."""
        self._links_renewed.labels(cause=cause).inc()

    def link_not_renewed(self, cause: str) -> None:
        """It did not, or could not be asked."""
        self._links_not_renewed.labels(cause=cause).inc()

    def pruned(self, kind: str, count: int) -> None:
        """So many rows of this kind were deleted."""
        self._pruned.labels(kind=kind).inc(count)

    def archived(self, kind: str, size: int) -> None:
        """A file of so many bytes is there."""
        self._archived.labels(kind=kind).inc()
        self._archived_bytes.inc(size)

    def lagged(self, seconds: float) -> None:
        """The event loop came back this late."""
        self._loop_lag.set(seconds)

    def expose(
        self,
        counts: Iterable[tuple[str, str | None, int]],
        *,
        oldest_due_age: float,
        poller: PollerState,
        stretch: float,
        backlog: Mapping[str, int],
        missing: Missing | None = None,
    ) -> bytes:
        """The exposition text, with what the database holds at this moment; ages in seconds."""
        self._translations.clear()
        for status, attention, count in counts:
            self._translations.labels(status=status, attention=attention or "none").set(count)
        self._backlog.clear()
        for kind, count in backlog.items():
            self._backlog.labels(kind=kind).set(count)
        self._missing.clear()
        for state, count in (missing.counts if missing else {}).items():
            self._missing.labels(state=state).set(count)
        self._oldest_missing.set(missing.oldest if missing else 0.0)
        self._oldest_due.set(oldest_due_age)
        self._stretch.set(stretch)
        self._instances.set(poller.instances)
        for gauge, words in (
            (self._paused, [poller.paused]),
            (self._api, [poller.api]),
            (self._mode, [poller.mode]),
            (self._endpoint, poller.webhook_problems),
        ):
            gauge.clear()
            for word in filter(None, words):
                gauge.labels(word).set(1)
        for kind, seconds in (("planned", poller.staleness), ("promised", poller.promised)):
            self._staleness.labels(kind=kind).set(math.nan if seconds is None else seconds)
        self._delivery_rate.set(math.nan if poller.delivery_rate is None else poller.delivery_rate)
        return generate_latest(self.registry)
