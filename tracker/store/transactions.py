"""How a part of the repository gets its work done: in a transaction that it is handed."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Run(Protocol):
    """Runs one piece of work in a transaction."""

    def __call__(self, run: Callable[[Connection], T], /) -> Awaitable[T]: ...
