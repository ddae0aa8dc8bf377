"""How many bytes a second all downloads may take together."""

from aiolimiter import AsyncLimiter

SLICES = 10  # a second: the rate is spread evenly, and small pieces need not wait long


class Throttle:
    """Shared by all downloads; `limit` bytes a second, None: as many as come."""

    def __init__(self, limit: int | None) -> None:
        self.set_limit(limit)

    def set_limit(self, limit: int | None) -> None:
        """From the next piece on."""
        self._piece = max(1, limit // SLICES) if limit else 0
        self._limiter = AsyncLimiter(self._piece, self._piece / limit) if limit else None

    async def take(self, count: int) -> None:
        """Come back when so many bytes more may be taken."""
        while count > 0 and (limiter := self._limiter) is not None:
            piece = min(count, self._piece)
            await limiter.acquire(piece)
            count -= piece
