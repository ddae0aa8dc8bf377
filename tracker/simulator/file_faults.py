"""What goes wrong with files: by chance, or by force."""

import random
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from tracker.simulator.scenario import Scenario

RandomFileFault = Literal["500", "429", "refused", "redirect", "broken", "short"]
FileFault = Literal[
    "500", "429", "refused", "redirect", "broken", "short", "hang", "slow", "encoded", "chunked",
    "no_head", "no_range",
]  # fmt: skip
"""`short` promises more bytes than come; `chunked` does not say how many will."""

OF_BODIES: frozenset[FileFault] = frozenset({"broken", "short", "slow", "chunked", "no_range"})


class Forced(BaseModel):
    """The next answers go wrong like this: `times` of them, or all until told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: FileFault | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    after_bytes: Annotated[int, Field(ge=0)] = 1000  # of the body, then it breaks
    bytes_per_second: Annotated[float, Field(gt=0)] = 100.0  # of what is slow
    location: str | None = None  # of redirects; null leads to the file


class FileFaults:
    """Decides which answers go wrong: the forced ones first, else some by chance."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = random.Random(f"{scenario.seed}:files")
        self._forced = Forced()
        self._left: int | None = None

    def force(self, forced: Forced) -> None:
        self._forced, self._left = forced, forced.times

    def next(self, *, has_body: bool) -> Forced:
        """What the next answer suffers; a HEAD is spared what happens to bodies, and uses up none of it."""
        unlucky, drawn = self._chance.random() < self._scenario.file_error_rate, self._draw()
        forced = self._forced
        if forced.answer is None or (forced.answer in OF_BODIES and not has_body):
            return drawn if unlucky and (has_body or drawn.answer not in OF_BODIES) else Forced()
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._forced = Forced()
        return forced

    def _draw(self) -> Forced:
        fault: RandomFileFault = self._chance.choice(get_args(RandomFileFault))
        return Forced(answer=fault, after_bytes=int(self._chance.uniform(*self._scenario.file_bytes) / 2))
