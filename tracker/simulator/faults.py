"""What goes wrong with answers: broken ones by chance or by force, and odd ones on demand."""

import random
from collections.abc import Collection
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tracker.simulator.scenario import Scenario

RandomFault = Literal["500", "html", "empty", "truncated", "429", "hang"]
Fault = Literal[
    "500", "html", "empty", "truncated", "429", "hang", "not_found", "unauthorized",
    "quota", "hang_after", "500_after",
]  # fmt: skip
"""The last two do what was asked and lose the answer; all others do nothing."""
FaultRoute = Literal["status", "statuses", "list", "events", "create", "endpoints"]

STATUS_ROUTES: frozenset[FaultRoute] = frozenset({"status", "statuses"})
# Chance breaks what only reads: a creation that breaks by chance would make ids nobody was told.
RANDOM_ROUTES: frozenset[FaultRoute] = frozenset({"status", "statuses", "list", "events"})
RANDOM_RETRY_AFTER = 1


class Faults:
    """Decides which answers go wrong: those of forced routes, else some by chance."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = random.Random(f"{scenario.seed}:faults")
        self.forced: Fault | None = None
        self.routes: frozenset[FaultRoute] = STATUS_ROUTES
        self.retry_after = RANDOM_RETRY_AFTER

    def force(
        self,
        fault: Fault | None,
        retry_after: int = RANDOM_RETRY_AFTER,
        routes: Collection[FaultRoute] | None = None,
    ) -> None:
        """Routes are every status request where not named."""
        self.forced, self.retry_after = fault, retry_after
        self.routes = STATUS_ROUTES if routes is None else frozenset(routes)

    def next(self, route: FaultRoute) -> Fault | None:
        forced = self.forced if route in self.routes else None
        if route not in RANDOM_ROUTES:
            return forced
        # Drawn even when forced, so that forcing one answer does not move the later ones.
        unlucky = self._chance.random() < self._scenario.error_rate
        fault: RandomFault = self._chance.choice(get_args(RandomFault))
        return forced or (fault if unlucky else None)

    def latency(self, route: FaultRoute) -> float:
        """Seconds to wait before the next answer; only status answers are slow."""
        return self._chance.uniform(*self._scenario.latency_seconds) if route in STATUS_ROUTES else 0.0


def _as_blank(value: object) -> object:
    if isinstance(value, bool):
        return "null" if value else None
    return value


class Oddities(BaseModel):
    """Answers in good form that say strange things; ids are those of the translations meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statuses_missing: frozenset[str] = frozenset()
    statuses_null_id: frozenset[str] = frozenset()
    statuses_unknown_word: frozenset[str] = frozenset()
    statuses_doubled: frozenset[str] = frozenset()
    statuses_repeat_token: bool = False
    statuses_refused: bool = False
    list_repeat_token: bool = False
    # has_more without a way to the rest: `next_token` is null, or "" for "empty".
    list_empty_token: Annotated[Literal["null", "empty"] | None, BeforeValidator(_as_blank)] = None
    list_endless: bool = False
    list_order: Literal["newest", "oldest", "shuffled"] = "newest"
    list_absent_keys: bool = False
    events_order: Literal["newest", "oldest"] = "newest"
