"""What happens to the translations of a simulator, and how badly the HTTP around them behaves.

A scenario is a TOML or JSON file, flags, or both. Everything random is drawn from the seed and the
number of the translation, so that one scenario always tells the same story.
"""

import difflib
import json
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tracker.errors import InputError

DeliveryOutcome = Literal["success", "failed"]
WebhookFate = Literal["prompt", "lost", "doubled", "late", "reordered"]
UrlFate = Literal["at_once", "later"]
RetiredAnswer = Literal["404", "405", "410", "redirect", "html", "not_found"]
"""`not_found`: each translation is unknown, in HeyGen's own JSON; 404 is a gateway's."""
LinkExpiry = Literal["Expires", "Policy", "Amz", "none"]
"""How a link says until when it works: CloudFront's two ways, S3's, or not at all."""


def _as_range(value: object) -> object:
    """Takes `[1, 2]`, `"1,2"` (as flags have it), and one number for both ends."""
    parts: object = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, int | float) and not isinstance(parts, bool):
        parts = [parts]
    if not isinstance(parts, list | tuple) or len(parts) not in (1, 2):
        raise ValueError("not a number, nor two of them: MIN,MAX")
    try:
        low, high = float(parts[0]), float(parts[-1])
    except TypeError as problem:  # pydantic translates only ValueError
        raise ValueError("not a number, nor two of them: MIN,MAX") from problem
    if not 0 <= low <= high < float("inf"):
        raise ValueError("needs 0 <= MIN <= MAX")
    return (low, high)


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SecondsRange = Annotated[tuple[float, float], BeforeValidator(_as_range)]
BytesRange = SecondsRange
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Strict(BaseModel):
    # An unknown key is an error: a misspelt one would otherwise silently do nothing.
    model_config = ConfigDict(frozen=True, extra="forbid")


class FateRule(_Strict):
    """What one translation is told to do; whatever is None is drawn from the scenario."""

    outcome: DeliveryOutcome | None = Field(default=None, examples=["failed"])
    webhook: WebhookFate | None = Field(default=None, examples=["lost"])
    url: UrlFate | None = Field(default=None, examples=["later"])
    pending_seconds: Seconds | None = Field(default=None, examples=[1.5])
    running_seconds: Seconds | None = Field(default=None, examples=[4])


class Fate(_Strict):
    """All that will happen to one translation; durations in seconds."""

    outcome: DeliveryOutcome
    webhook: WebhookFate
    url: UrlFate
    pending_seconds: float
    running_seconds: float
    url_delay_seconds: float
    late_seconds: float
    not_found_seconds: float
    message: str


FAILURE_MESSAGES = (
    "Video is too short. The minimum duration is 1 second.",
    "No speech was detected in the source video.",
    "Failed to download the video, please check that the URL is public.",
    "Video rendering failed, please contact support.",
)


class Scenario(_Strict):
    """The rules of one simulator; all durations are seconds, all rates probabilities from 0 to 1."""

    seed: int = Field(default=1, description="what all draws start from", examples=[7])
    pending_seconds: SecondsRange = Field(default=(1, 3), description="time in the queue", examples=[[1, 3]])
    running_seconds: SecondsRange = Field(default=(2, 8), description="time of rendering", examples=[[2, 8]])
    failure_rate: Probability = Field(default=0.0, description="translations that fail", examples=[0.1])
    url_delay_rate: Probability = Field(
        default=0.0, description="successes whose url is null at first, in the webhook too", examples=[0.2]
    )
    url_delay_seconds: Seconds = Field(default=30.0, description="how long such a url is null", examples=[30])

    webhook_lost: Probability = Field(default=0.0, description="events never sent", examples=[0.2])
    webhook_doubled: Probability = Field(
        default=0.0, description="events sent twice, at once", examples=[0.2]
    )
    webhook_late: Probability = Field(
        default=0.0, description="events held back for late_seconds", examples=[0.2]
    )
    webhook_reordered: Probability = Field(
        default=0.0,
        description="events held back until another translation's was sent, for late_seconds at most",
        examples=[0.1],
    )
    late_seconds: SecondsRange = Field(
        default=(5, 20), description="how late a late event is", examples=[[5, 20]]
    )
    webhook_retries: int = Field(
        default=8, ge=0, le=1000, description="attempts after the first, until a 2xx", examples=[8]
    )
    retry_seconds: Seconds = Field(default=2.0, description="first gap; it doubles each time", examples=[2])

    error_rate: Probability = Field(
        default=0.0,
        description="status answers that are 500, HTML, empty, truncated, 429 or hung",
        examples=[0.1],
    )
    hang_seconds: Seconds = Field(
        default=60.0, description="silence of a hung answer, then 504", examples=[60]
    )
    latency_seconds: SecondsRange = Field(
        default=(0, 0), description="delay of each status answer", examples=[[0.05, 0.3]]
    )
    not_found_rate: Probability = Field(
        default=0.0, description="ids unknown right after creation", examples=[0.1]
    )
    not_found_seconds: Seconds = Field(
        default=3.0, description="how long such an id is unknown", examples=[3]
    )
    unknown_id_http_status: Literal[200, 404, 500] = Field(
        default=404,
        description="HTTP status of `Video translate not found`; nobody has recorded it",
        examples=[500],
    )
    event_log_complete: bool = Field(
        default=True, description="whether the event log lists lost events too", examples=[False]
    )
    v2_deprecated: bool = Field(
        default=False, description="whether v2 answers warn of their retirement", examples=[True]
    )
    retire_v2_after_seconds: Seconds | None = Field(
        default=None, description="when v2 and v1 are retired, from the start on; null: never", examples=[60]
    )
    retired_answer: RetiredAnswer = Field(
        default="410", description="what a retired version answers", examples=["404"]
    )
    serve_files: bool = Field(
        default=False, description="whether links lead to the simulator, which has files", examples=[True]
    )
    file_bytes: BytesRange = Field(
        default=(100_000, 300_000), description="size of a video", examples=[[100_000, 300_000]]
    )
    file_bytes_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="how fast a file comes; null: as fast as it can", examples=[50_000]
    )
    file_error_rate: Probability = Field(
        default=0.0,
        description="files that are 500, 429, refused, redirected, broken off or shorter than promised",
        examples=[0.2],
    )
    link_expiry: LinkExpiry = Field(
        default="Expires", description="how links say until when they work", examples=["Amz"]
    )
    link_life_seconds: Annotated[float, Field(ge=1, le=3650 * 86400)] = Field(
        default=7 * 86400.0, description="how long links work", examples=[3600]
    )
    link_revoked_after_seconds: Seconds | None = Field(
        default=None, description="when links cease to work, whatever they say; null: never", examples=[60]
    )
    fates: tuple[FateRule, ...] = Field(
        default=(), description="fates of the 1st, 2nd, ... translation", examples=[[{"outcome": "failed"}]]
    )

    @model_validator(mode="after")
    def _one_webhook_fate_each(self) -> Self:
        total = self.webhook_lost + self.webhook_doubled + self.webhook_late + self.webhook_reordered
        if total > 1 + 1e-9:
            raise ValueError(
                f"webhook_lost, _doubled, _late and _reordered add up to {total:g}, at most 1 is possible"
            )
        return self

    def fate(self, index: int) -> Fate:
        """The fate of the translation with this number, from 0; the same every time."""
        drawn = self._draw(random.Random(f"{self.seed}:{index}"))
        if index < len(self.fates):
            drawn |= self.fates[index].model_dump(exclude_none=True)
        return Fate(**drawn)

    def _draw(self, chance: random.Random) -> dict[str, Any]:
        # Always all draws in one order: a rule for one field must not move the others.
        return {
            "outcome": "failed" if chance.random() < self.failure_rate else "success",
            "webhook": self._webhook_fate(chance.random()),
            "url": "later" if chance.random() < self.url_delay_rate else "at_once",
            "pending_seconds": chance.uniform(*self.pending_seconds),
            "running_seconds": chance.uniform(*self.running_seconds),
            "url_delay_seconds": self.url_delay_seconds,
            "late_seconds": chance.uniform(*self.late_seconds),
            "not_found_seconds": self.not_found_seconds if chance.random() < self.not_found_rate else 0.0,
            "message": chance.choice(FAILURE_MESSAGES),
        }

    def _webhook_fate(self, draw: float) -> WebhookFate:
        rates: tuple[tuple[WebhookFate, float], ...] = (
            ("lost", self.webhook_lost),
            ("doubled", self.webhook_doubled),
            ("late", self.webhook_late),
            ("reordered", self.webhook_reordered),
        )
        for fate, rate in rates:
            if draw < rate:
                return fate
            draw -= rate
        return "prompt"


def load_scenario(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> Scenario:
    """The scenario of the file, with `overrides` (of flags; None means not given) on top.

    Raises InputError that names the file or flag, the key, the problem and an example.
    """
    values = {} if path is None else _read(path)
    from_file = _validate(values, f"scenario {path}")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return _validate({**values, **given}, "scenario flags") if given else from_file


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as problem:
        raise InputError(f"scenario {path}: cannot be read: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InputError(
            f"scenario {path}: not {kind}: {problem}; for example: {_example(kind)}"
        ) from problem
    if not isinstance(values, dict):
        raise InputError(f"scenario {path}: not an object; for example: {_example('JSON')}")
    return values


def _example(kind: str) -> str:
    return '{"seed": 7, "webhook_lost": 0.2}' if kind == "JSON" else "seed = 7"


def _validate(values: Mapping[str, object], source: str) -> Scenario:
    try:
        return Scenario.model_validate(values)
    except ValidationError as problem:
        # One problem at a time: the first one is the one to repair first.
        raise InputError(f"{source}: {_explain(problem.errors()[0])}") from problem


def _explain(error: ErrorDetails) -> str:
    location = error["loc"]
    names = [str(part) for part in location if isinstance(part, str)]
    if not names:
        return error["msg"].removeprefix("Value error, ")
    model: type[BaseModel] = FateRule if names[0] == "fates" and len(names) > 1 else Scenario
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_known(names[-1], model)}"
    problem = error["msg"].removeprefix("Value error, ")
    return f"{key}: {problem}, got {error['input']!r}; for example: {_assignment(names, model)}"


def _known(name: str, model: type[BaseModel]) -> str:
    close = difflib.get_close_matches(name, model.model_fields, n=1)
    return (
        f"did you mean {_assignment(close, model)}?" if close else f"known: {', '.join(model.model_fields)}"
    )


def _assignment(names: list[str], model: type[BaseModel]) -> str:
    name = names[1] if model is FateRule and len(names) > 1 else names[0]
    field = model.model_fields.get(name)
    example = field.examples[0] if field is not None and field.examples else None
    return f"{name} = {json.dumps(example)}"
