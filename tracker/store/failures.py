"""What a database's error is about, and the way out; known by its code, for its text has many languages."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

# By SQLSTATE, or its class of two characters: PostgreSQL's appendix A.
POSTGRESQL = {
    "08": ("cannot be reached", "try again once it is back"),
    "25006": (
        "is read-only",
        "TRACKER_DATABASE_URL must name the primary server, and default_transaction_read_only be off",
    ),
    "42501": ("refuses it", "grant the rights to the user that TRACKER_DATABASE_URL names"),
    "53": ("lacks room", "see the server's disk, memory and max_connections"),
    "57P": ("has ended the connection", "try again once it is back"),
}
# By SQLite's primary result code: https://www.sqlite.org/rescode.html
SQLITE = {
    "SQLITE_READONLY": ("is read-only", "the file, its folder and the disk must be writable for this user"),
    "SQLITE_CANTOPEN": (
        "cannot be opened",
        "the folder that TRACKER_DATABASE_URL names must exist and be writable for this user",
    ),
    "SQLITE_FULL": ("lacks room", "the disk is full"),
    "SQLITE_NOTADB": ("cannot be read", "does TRACKER_DATABASE_URL name the right file?"),
    "SQLITE_CORRUPT": ("is damaged", "restore a backup"),
}
NO_CONNECTION = (
    "cannot be reached",
    "TRACKER_DATABASE_URL names its host, port, user, password and database",
)


def explain(error: SQLAlchemyError) -> str:
    """One line: the problem, the driver's own words without statement or parameters, and the way out."""
    cause = getattr(error, "orig", None)
    reason = _first_line(cause or error)
    problem, way_out = _told(error, cause)
    return f"the database {problem}: {reason}; {way_out}" if way_out else f"the database {problem}: {reason}"


def _told(error: SQLAlchemyError, cause: object) -> tuple[str, str]:
    if (name := getattr(cause, "sqlite_errorname", None)) is not None:
        return _found(SQLITE, name) or ("did not do it", "")
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return _found(POSTGRESQL, state) or ("did not do it", "")
    # The server's word at the door comes without its code; nothing was executed yet.
    if isinstance(error, DBAPIError) and error.statement is None:
        return NO_CONNECTION
    return ("did not do it", "")


def _found(table: dict[str, tuple[str, str]], code: str) -> tuple[str, str] | None:
    return next((told for known, told in table.items() if code.startswith(known)), None)


def _first_line(error: BaseException) -> str:
    """What comes after it may hold data: the statement, the row."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
