"""How long a file host is waited for, and how slow it may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a host is waited for, in seconds, and its least rate: `least` bytes a second over `window`."""

    connect: float = 10.0
    head: float = 60.0  # until all headers are there
    read: float = 30.0  # between two reads
    least: float = 1024.0
    window: float = 60.0


class PollLimits:
    """Whether a host that sends a little now and then sends enough. Only the time we wait for it counts."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._waited = 0.0
        self._came = 0

    def suffices(self, came: int, waited: float) -> bool:
        self._came += came
        self._waited += waited
        if self._waited < self._patience.window:
            return True
        enough = self._came >= self._patience.least * self._waited
        self._came, self._waited = 0, 0.0
        return enough
