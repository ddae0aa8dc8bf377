"""The bytes of a simulator's files: always the same for one scenario, and never all in memory."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tracker.simulator.scenario import Scenario

BLOCK = 64 * 1024
# What a file is, and how large beside the video.
KINDS = {
    "original.mp4": ("video/mp4", 1.0),
    "audio.mp3": ("audio/mpeg", 0.1),
    "caption.ass": ("text/x-ssa; charset=utf-8", 0.01),
    "caption.srt": ("application/x-subrip", 0.01),
    "caption.vtt": ("text/vtt; charset=utf-8", 0.01),
}


@dataclass(frozen=True)
class Content:
    """One file; `size` in bytes, `key` what its bytes are drawn from."""

    key: str
    size: int
    content_type: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.key.encode()).hexdigest()[:32]}"'

    @property
    def sha256(self) -> str:
        return _sha256(self)

    def chunks(self, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` on, those from `end` on left out."""
        while first < end:
            block, skipped = divmod(first, BLOCK)
            chunk = _block(self.key, block)[skipped : skipped + end - first]
            yield chunk
            first += len(chunk)


def content_of(scenario: Scenario, index: int, name: str) -> Content:
    """The file of this name of the translation with this number."""
    content_type, share = KINDS[name]
    key = f"{scenario.seed}:{index}:{name}"
    size = int(random.Random(key).uniform(*scenario.file_bytes) * share)
    return Content(key, size, content_type)


def _block(key: str, number: int) -> bytes:
    return hashlib.shake_128(f"{key}:{number}".encode()).digest(BLOCK)


@lru_cache(maxsize=100_000)
def _sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for chunk in content.chunks(0, content.size):
        digest.update(chunk)
    return digest.hexdigest()
