"""Explains a database error by its code (its text may be in any language), with the way out."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

# By SQLSTATE, or its class of two characters: PostgreSQL's appendix A.
POSTGRESQL = {
    "08": ("cannot be reached", "try again when the server is up"),
    "25006": (
        "is read-only",
        "set TRACKER_DATABASE_URL to the primary server, and default_transaction_read_only to off",
    ),
    "42501": ("denied access", "grant the rights to the user in TRACKER_DATABASE_URL"),
    "53": ("is out of resources", "check the server's disk space, memory and max_connections"),
    "57P": ("closed the connection", "try again when the server is up"),
}
# By SQLite's primary result code: https://www.sqlite.org/rescode.html
SQLITE = {
    "SQLITE_READONLY": ("is read-only", "make the file, its folder and its disk writable for this user"),
    "SQLITE_CANTOPEN": (
        "cannot be opened",
        "make sure that the folder in TRACKER_DATABASE_URL exists and is writable for this user",
    ),
    "SQLITE_FULL": ("is out of disk space", "free some disk space"),
    "SQLITE_NOTADB": ("cannot be read", "check that TRACKER_DATABASE_URL names the right file"),
    "SQLITE_CORRUPT": ("is damaged", "restore a backup"),
}
NO_CONNECTION = (
    "cannot be reached",
    "check host, port, user, password and database in TRACKER_DATABASE_URL",
)


def explain(error: SQLAlchemyError) -> str:
    """One line: the problem, the driver's own words without statement or parameters, and the way out."""
    cause = getattr(error, "orig", None)
    reason = _first_line(cause or error)
    if (known := _known(error, cause)) is None:
        return f"database error: {reason}"
    problem, way_out = known
    return f"the database {problem}: {reason}; {way_out}"


def _known(error: SQLAlchemyError, cause: object) -> tuple[str, str] | None:
    if (name := getattr(cause, "sqlite_errorname", None)) is not None:
        return _find(SQLITE, name)
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return _find(POSTGRESQL, state)
    # An error while connecting has no code and no statement.
    if isinstance(error, DBAPIError) and error.statement is None:
        return NO_CONNECTION
    return None


def _find(table: dict[str, tuple[str, str]], code: str) -> tuple[str, str] | None:
    return next((entry for known, entry in table.items() if code.startswith(known)), None)


def _first_line(error: BaseException) -> str:
    """The other lines may contain data: the statement, the row."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
