"""A page that listens to news, as a browser's EventSource does."""

import http.client
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

DEADLINE = 10.0
PATH = "/api/news"


class Page:
    """An open stream of `address` (host:port), and what comes on it."""

    def __init__(
        self, address: str, headers: Mapping[str, str] | None = None, deadline: float = DEADLINE
    ) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=deadline)
        self._connection.request("GET", PATH, headers=dict(headers or {}))
        self.answer = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self._connection.close()

    def next_event(self) -> tuple[str, str] | None:
        """The next event and its data; None: the other side has ended the stream."""
        told: dict[str, str] = {}
        while line := self.answer.readline().decode():
            if line == "\n" and "data" in told:
                return told.get("event", "message"), told["data"]
            name, _, value = line.rstrip("\n").partition(":")
            told = told | {name: value.strip()} if line != "\n" else {}
        return None

    def until_told(self) -> float:
        """Wait for news; how many seconds that took."""
        began = time.monotonic()
        assert self.next_event() == ("change", "{}")
        return time.monotonic() - began
