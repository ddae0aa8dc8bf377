"""Which translations are tracked that nobody registered."""

from dataclasses import dataclass

from tracker.domain.observation import Observation

PREFIX = "prefix:"


@dataclass(frozen=True, slots=True)
class Adoption:
    """None, all, or `prefix:TEXT` for those whose callback_id begins with TEXT; as text it is `policy`."""

    policy: str = "none"

    @classmethod
    def parse(cls, text: object) -> "Adoption":
        """Read what people write; raises ValueError."""
        if isinstance(text, str) and (
            text in ("none", "all") or (text.startswith(PREFIX) and text != PREFIX)
        ):
            return cls(text)
        raise ValueError("is neither none, all, nor prefix:TEXT")

    def takes(self, seen: Observation) -> bool:
        if self.policy.startswith(PREFIX):
            return (seen.callback_id or "").startswith(self.policy.removeprefix(PREFIX))
        return self.policy == "all"

    def __str__(self) -> str:
        return self.policy
