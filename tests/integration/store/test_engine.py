"""The two engines on a real SQLite file: what is promised of them is really set."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tracker.errors import SettingsError
from tracker.store.engine import Engines, open_engines, parse_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracker.db"


@pytest.fixture
def engines(path: Path) -> Iterator[Engines]:
    engines = open_engines(f"sqlite:///{path}")
    with engines.writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    yield engines
    engines.dispose()


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


FULL, NORMAL = 2, 1


def test_the_writer_is_durable_patient_and_keeps_foreign_keys(engines: Engines) -> None:
    told = {name: pragma(engines.writer, name) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert told == {"journal_mode": "wal", "synchronous": FULL, "foreign_keys": 1}
    assert pragma(engines.writer, "busy_timeout") == 5_000


def test_the_reader_is_patient_and_sees_the_same_journal(engines: Engines) -> None:
    assert pragma(engines.reader, "journal_mode") == "wal"
    assert pragma(engines.reader, "busy_timeout") == 5_000


def test_the_reader_cannot_write(engines: Engines) -> None:
    with pytest.raises(OperationalError, match="readonly"), engines.reader.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")


def test_less_durable_can_be_chosen(path: Path) -> None:
    engines = open_engines(f"sqlite:///{path}", synchronous="normal")
    assert pragma(engines.writer, "synchronous") == NORMAL
    engines.dispose()


def test_the_writer_takes_the_lock_before_it_reads(engines: Engines, path: Path) -> None:
    with (
        engines.writer.begin() as connection,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as rival,
    ):
        connection.exec_driver_sql("SELECT * FROM t")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("INSERT INTO t VALUES (1)")


def test_readers_are_not_held_up_by_the_writer_and_see_only_what_is_committed(engines: Engines) -> None:
    with engines.writer.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with engines.reader.begin() as reading:
            assert reading.exec_driver_sql("SELECT COUNT(*) FROM t").scalar() == 0
    with engines.reader.begin() as reading:
        assert reading.exec_driver_sql("SELECT COUNT(*) FROM t").scalar() == 1


@pytest.mark.parametrize(
    ("pasted", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite:///tracker.db", "sqlite"),
    ],
)
def test_urls_are_taken_as_operators_paste_them(pasted: str, driver: str) -> None:
    assert parse_url(pasted).drivername == driver


@pytest.mark.parametrize(
    "pasted",
    [
        "hunter2-is-no-url", "nonsense://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h:port/d", "",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_showing_them(pasted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_url(pasted)

    assert str(refused.value).startswith("TRACKER_DATABASE_URL: ")
    assert "hunter2" not in str(refused.value)
    assert "sqlite" in str(refused.value)
