"""Whether the API key belongs to the account that made the translations."""

from collections.abc import Sequence

from tracker.domain.observation import Observation, ProblemKind

STRANGERS = 5  # translations that HeyGen does not know, with none that it knows


class Doubt:
    """Raised while HeyGen knows none of several translations: then the key is another account's."""

    def __init__(self) -> None:
        self._strangers: set[str] = set()

    @property
    def is_raised(self) -> bool:
        return len(self._strangers) >= STRANGERS

    def hear(self, seen: Sequence[Observation]) -> None:
        """One answer: any translation in it that HeyGen knows ends the doubt."""
        if any(one.problem is None for one in seen):
            self._strangers.clear()
            return
        for one in seen:
            if one.problem is not None and one.problem.kind is ProblemKind.NOT_FOUND and not self.is_raised:
                self._strangers.add(one.video_translate_id or "")
