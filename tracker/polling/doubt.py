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
        """One answer: any translation in it that HeyGen knows ends the doubt.

        What is partial is no stranger yet: asked alone, it is asked about in the other dialect, too.
        """
        if any(one.problem is None for one in seen):
            self._strangers.clear()
            return
        for one in seen:
            is_stranger = one.problem is not None and one.problem.kind is ProblemKind.NOT_FOUND
            if is_stranger and not one.partial and not self.is_raised:
                self._strangers.add(one.video_translate_id or "")
