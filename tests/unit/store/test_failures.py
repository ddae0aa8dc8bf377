"""What people are told of a database's error: known by its code, and not by its words."""

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from tracker.store.failures import explain

ROW = "DETAIL: Failing row contains (hunter2)"


class RefusedError(Exception):
    """A driver's error, in whatever language the server speaks."""

    def __init__(self, **code: str) -> None:
        super().__init__(f"nein, danke\n{ROW}")
        for name, value in code.items():
            setattr(self, name, value)


def failed(statement: str | None = "SELECT 1", **code: str) -> DBAPIError:
    return OperationalError(statement, {"password": "hunter2"}, RefusedError(**code))


def test_a_known_code_has_a_way_out() -> None:
    for error, told in [
        (failed(sqlstate="08006"), "cannot be reached: nein, danke; try again when the server is up"),
        (failed(sqlstate="25006"), "is read-only: nein, danke; set TRACKER_DATABASE_URL to the primary"),
        (failed(sqlstate="42501"), "denied access: nein, danke; grant the rights"),
        (failed(sqlstate="53100"), "is out of resources: nein, danke; check the server's disk"),
        (failed(sqlstate="57P01"), "closed the connection: nein, danke; try again"),
        (
            failed(sqlite_errorname="SQLITE_READONLY_DIRECTORY"),
            "is read-only: nein, danke; make the file, its",
        ),
        (failed(sqlite_errorname="SQLITE_FULL"), "is out of disk space: nein, danke; free some"),
        (failed(sqlite_errorname="SQLITE_CORRUPT"), "is damaged: nein, danke; restore a backup"),
        (failed(None), "cannot be reached: nein, danke; check host, port"),
    ]:
        assert explain(error).startswith(f"the database {told}")


@pytest.mark.parametrize(
    "error", [failed(sqlstate="42P01"), failed(sqlite_errorname="SQLITE_ERROR"), failed("COMMIT")]
)
def test_any_other_is_told_in_the_drivers_words(error: DBAPIError) -> None:
    assert explain(error) == "database error: nein, danke"


def test_neither_statement_nor_data_is_told() -> None:
    for error in (failed(sqlstate="25006"), failed(None), failed("SELECT hunter2")):
        assert "hunter2" not in explain(error)
        assert "\n" not in explain(error)


def test_an_error_without_a_word_is_told_by_its_name() -> None:
    assert explain(SQLAlchemyError("")) == "database error: SQLAlchemyError"
