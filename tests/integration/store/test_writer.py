"""The writer thread on a real SQLite file."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from tracker.errors import StoreError
from tracker.store.engine import Engines, open_engines
from tracker.store.writer import ATTEMPTS, LostRaceError, Writer

DEADLINE = 10.0


class Opened:
    """A started writer on a table of numbers, with its commits counted."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.commits = 0
        event.listen(engines.writer, "commit", self._count)
        self.writer = Writer(engines.writer)
        self.writer.start()

    def _count(self, _connection: Connection) -> None:
        self.commits += 1

    def numbers(self) -> list[int]:
        with self.engines.reader.connect() as connection:
            return [row[0] for row in connection.exec_driver_sql("SELECT n FROM t ORDER BY n")]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    engines = open_engines(f"sqlite:///{tmp_path / 'numbers.db'}")
    with engines.writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    opened = Opened(engines)
    yield opened
    opened.writer.close()
    engines.dispose()


def inserting(number: int) -> Callable[[Connection], int]:
    def run(connection: Connection) -> int:
        connection.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
        return number

    return run


class Gate:
    """Work that keeps the writer busy until `open`."""

    def __init__(self, writer: Writer) -> None:
        self._entered, self._open = threading.Event(), threading.Event()
        self.done = writer.submit(self._run)
        assert self._entered.wait(DEADLINE)

    def _run(self, _connection: Connection) -> None:
        self._entered.set()
        assert self._open.wait(DEADLINE)

    def open(self) -> None:
        self._open.set()
        self.done.result(DEADLINE)


def gathered(opened: Opened, *work: Callable[[Connection], int]) -> list[Future[int]]:
    """Hand over work that becomes one batch, and wait until it is done."""
    gate = Gate(opened.writer)
    futures = [opened.writer.submit(run) for run in work]
    gate.open()
    opened.commits = 0
    wait(futures, DEADLINE)
    return futures


def test_work_that_gathered_is_committed_together(opened: Opened) -> None:
    done = gathered(opened, *(inserting(number) for number in range(100)))

    assert [one.result() for one in done] == opened.numbers() == list(range(100))
    assert opened.commits <= 1


def test_a_result_is_given_only_once_it_is_committed(opened: Opened) -> None:
    for number in range(20):
        opened.writer.submit(inserting(number)).result(DEADLINE)
        assert number in opened.numbers()


def test_what_fails_in_a_batch_fails_alone(opened: Opened) -> None:
    def bad(connection: Connection) -> int:
        inserting(99)(connection)
        raise ArithmeticError("bad")

    first, failed, second = gathered(opened, inserting(1), bad, inserting(2))

    assert (first.result(), second.result()) == (1, 2)
    with pytest.raises(ArithmeticError, match="bad"):
        failed.result()
    assert opened.numbers() == [1, 2]


def test_a_wrong_statement_becomes_a_store_error_without_the_statement(opened: Opened) -> None:
    failed = opened.writer.submit(
        lambda connection: connection.exec_driver_sql("INSERT INTO secrets VALUES (1)")
    )

    with pytest.raises(StoreError, match=r"^database error: no such table: secrets$"):
        failed.result(DEADLINE)


def test_a_lost_race_is_run_again_in_a_new_transaction(opened: Opened) -> None:
    losses = iter(range(ATTEMPTS - 1))

    def raced(connection: Connection) -> int:
        inserting(1)(connection)
        if next(losses, None) is not None:
            raise LostRaceError
        return 1

    assert opened.writer.submit(raced).result(DEADLINE) == 1
    assert opened.numbers() == [1]


def test_a_race_that_is_always_lost_is_given_up(opened: Opened) -> None:
    attempts = []

    def raced(_connection: Connection) -> None:
        attempts.append(1)
        raise LostRaceError

    with pytest.raises(StoreError, match="kept changing the same row"):
        opened.writer.submit(raced).result(DEADLINE)
    assert len(attempts) == ATTEMPTS


def test_work_nobody_waits_for_any_more_is_left_out_if_it_has_not_begun(opened: Opened) -> None:
    gate = Gate(opened.writer)
    dropped, kept = opened.writer.submit(inserting(1)), opened.writer.submit(inserting(2))
    assert dropped.cancel()
    gate.open()

    assert kept.result(DEADLINE) == 2
    assert opened.numbers() == [2]


def test_closing_finishes_what_was_handed_over(opened: Opened) -> None:
    gate = Gate(opened.writer)
    futures = [opened.writer.submit(inserting(number)) for number in range(450)]  # more than one batch
    closing = threading.Thread(target=opened.writer.close)
    closing.start()
    gate.open()
    closing.join(DEADLINE)

    assert not opened.writer.is_alive
    assert all(future.done() for future in futures)
    assert opened.numbers() == list(range(450))


def test_a_closed_writer_takes_nothing(opened: Opened) -> None:
    opened.writer.close()

    with pytest.raises(StoreError, match="the store is closed"):
        opened.writer.submit(inserting(1))


def test_a_writer_that_never_started_takes_nothing_and_closes(opened: Opened) -> None:
    idle = Writer(opened.engines.writer)

    with pytest.raises(StoreError, match="the store is closed"):
        idle.submit(inserting(1))
    idle.close()


def test_what_gathers_for_the_same_is_done_together_and_in_order(opened: Opened) -> None:
    calls: list[list[int]] = []

    def add(connection: Connection, numbers: list[int]) -> list[int]:
        calls.append(numbers)
        connection.exec_driver_sql(f"INSERT INTO t VALUES {', '.join(f'({one})' for one in numbers)}")
        return [one * 10 for one in numbers]

    gate = Gate(opened.writer)
    done = [opened.writer.submit_to(add, one) for one in (1, 2)]
    between = opened.writer.submit(inserting(3))
    done.append(opened.writer.submit_to(add, 4))
    gate.open()

    assert [one.result(DEADLINE) for one in done] == [10, 20, 40]
    assert between.result(DEADLINE) == 3
    assert calls == [[1, 2], [4]]
    assert opened.numbers() == [1, 2, 3, 4]


def test_one_that_fails_sinks_no_other_that_was_done_with_it(opened: Opened) -> None:
    def add(connection: Connection, numbers: list[int]) -> list[int]:
        connection.exec_driver_sql(f"INSERT INTO t VALUES {', '.join(f'({one})' for one in numbers)}")
        if 2 in numbers:
            raise ValueError("poison")
        return numbers

    gate = Gate(opened.writer)
    done = [opened.writer.submit_to(add, one) for one in (1, 2, 3)]
    gate.open()

    assert done[0].result(DEADLINE) == 1
    with pytest.raises(ValueError, match="poison"):
        done[1].result(DEADLINE)
    assert done[2].result(DEADLINE) == 3
    assert opened.numbers() == [1, 3]
