"""The writer thread: takes whatever work has gathered and commits it as one transaction."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tracker.errors import StoreError
from tracker.store.failures import explain

T = TypeVar("T")

BATCH = 200  # pieces of work in one transaction at most
ATTEMPTS = 3  # of one piece, when another program was quicker


class LostRaceError(Exception):
    """Another program changed the row between our read and our write."""


@dataclass(frozen=True, slots=True)
class _Work:
    """An item that `run` does together with the others that it does."""

    run: Callable[[Connection, list[Any]], list[Any]]
    item: Any
    done: Future[Any]


def _one_by_one(connection: Connection, items: list[Callable[[Connection], Any]]) -> list[Any]:
    return [run(connection) for run in items]


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLAlchemy's errors into StoreError, without statement or parameters."""
    try:
        yield
    except SQLAlchemyError as error:
        raise store_error(error) from error


def store_error(error: SQLAlchemyError) -> StoreError:
    """What went wrong and the way out, without statement or parameters."""
    return StoreError(explain(error))


def _is_lost_race(error: SQLAlchemyError) -> bool:
    """PostgreSQL undid it for the sake of another program: a deadlock, or a serialization failure."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) in ("40P01", "40001")


class Writer:
    """Runs functions of a connection, one transaction for all that have gathered.

    One thread of its own: nothing that a cancelled task leaves behind can hold the database's lock.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._closed = False
        self._door = threading.Lock()  # nothing is queued behind the end

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, run: Callable[[Connection], T]) -> Future[T]:
        """Queue `run`; the future is done once its transaction is committed."""
        return self.submit_to(_one_by_one, run)

    def submit_to(self, run: Callable[[Connection, list[Any]], list[T]], item: object) -> Future[T]:
        """Queue `item`: `run` gets it with all others for it that have gathered, and answers for each."""
        done: Future[T] = Future()
        with self._door:
            if self._closed or not self.is_alive:
                raise StoreError("the store is closed")
            self._queue.put(_Work(run, item, done))
        return done

    def close(self) -> None:
        """Finish what was queued, then end the thread."""
        with self._door:
            self._closed = True
            self._queue.put(None)
        if self.is_alive:
            self._thread.join()

    def _serve(self) -> None:
        while batch := self._gather():
            self._commit([work for work in batch if work.done.set_running_or_notify_cancel()])

    def _gather(self) -> list[_Work]:
        """Wait for work, and take all that has come meanwhile; empty at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < BATCH and not self._queue.empty():
            if (work := self._queue.get()) is None:
                self._queue.put(None)  # closing: seen again after this batch
                break
            batch.append(work)
        return batch

    def _commit(self, batch: list[_Work]) -> None:
        """All in one transaction; where that fails, each on its own, so that one cannot sink the others."""
        try:
            results = self._transact(batch) if len(batch) > 1 else []
        except OperationalError as error:
            if not _is_lost_race(error):  # the database is away or locked: it is so for each of them
                for work in batch:
                    work.done.set_exception(store_error(error))
                return
            results = []
        except Exception:
            results = []
        if not results:
            for work in batch:
                self._commit_alone(work)
        for work, result in zip(batch, results, strict=False):
            work.done.set_result(result)

    def _commit_alone(self, work: _Work) -> None:
        """A transaction of its own, again where another program was quicker."""
        failure: Exception = StoreError(
            "database error: other programs kept changing the same row; try again"
        )
        for _ in range(ATTEMPTS):
            try:
                [result] = self._transact([work])
            except LostRaceError:
                continue
            except SQLAlchemyError as error:
                if _is_lost_race(error):
                    continue
                failure = store_error(error)
                failure.__cause__ = error
                break
            except Exception as error:
                failure = error
                break
            else:
                work.done.set_result(result)
                return
        work.done.set_exception(failure)

    def _transact(self, batch: list[_Work]) -> list[Any]:
        results: list[Any] = []
        with self._engine.begin() as connection:
            for run, works in groupby(batch, key=lambda work: work.run):
                results += run(connection, [work.item for work in works])
        return results
