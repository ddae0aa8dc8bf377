"""Logs: one event a line, for people on a terminal, JSON under systemd; no secrets, no url queries."""

import logging
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

URL_QUERY = re.compile(r"(https?://[^\s?#\"'<>]*)\?[^\s\"'<>]*")
SHORTEST = 4  # characters of a secret worth hiding: hiding every "s" would hide the log
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
QUIET = ("httpx", "httpcore", "aiohttp", "alembic", "uvicorn.access", "uvicorn.error")


class Redact:
    """Takes the given secrets and every url's query out of an event."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._known: set[str] = set()
        self._secrets: re.Pattern[str] | None = None
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Take these out, too, from now on."""
        self._known |= {secret for secret in secrets if len(secret) >= SHORTEST}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {name: self.clean(value) for name, value in event.items()}

    def clean(self, value: object) -> object:
        """The value as it may be shown."""
        if isinstance(value, int | float | None):
            return value
        text = URL_QUERY.sub(r"\1?...", str(value))
        return self._secrets.sub("***", text) if self._secrets else text


def configure(*, level: str, as_json: bool, journal: bool, secrets: Sequence[str]) -> None:
    """Send our events and those of the libraries to standard error; once, at start."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper("iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.format_exc_info,
        _drop_empty,
        Redact(secrets),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, sort_keys=False)
    )
    renderers = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[*renderers, *([_journal_priority] if journal else [])]
    )
    handler = _ToStandardError()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in QUIET:  # httpx logs whole urls at INFO
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # the error is raised as well
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that one call is not over yet is no news
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def reconfigure(*, level: str, secrets: Iterable[str]) -> None:
    """Another level from now on, and further secrets to keep out."""
    logging.getLogger().setLevel(level.upper())
    hide(secrets)


def hide(secrets: Iterable[str]) -> None:
    """Keep these out of the log, too: secrets that were learnt after the start."""
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, Redact):
            processor.hide(secrets)


class _ToStandardError(logging.StreamHandler[TextIO]):
    """To what is standard error at that moment: while progress bars are drawn they stand in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _drop_empty(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if value is not None}


class _WithPriority:
    """journald reads a line's priority from its first characters; JSON lines would have none."""

    def __call__(self, _logger: WrappedLogger, method: str, line: object) -> str:
        return f"<{PRIORITIES.get(method, 6)}>{line}"


_journal_priority = _WithPriority()
