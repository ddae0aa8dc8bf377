"""Runs the program inside the test process, with everything of its own that a real process would have."""

import contextlib
import gc
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog

import tracker
from tracker.cli import main

PATIENCE = 30.0
MAIN = Path(tracker.__file__).with_name("__main__.py")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a verb ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(arguments: Sequence[str], stdin: bytes, environment: Mapping[str, str], directory: Path) -> Ran:
    """`tracker ARGUMENTS` to its end; any exception but SystemExit is the test's failure."""
    out, err = _stream(), _stream()
    with (
        patch.object(sys, "argv", [str(MAIN), *arguments]),
        patch.object(sys, "stdin", _stream(stdin)),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        patch.object(sys, "excepthook", sys.excepthook),  # typer sets its own
        patch("typer.rich_utils.FORCE_TERMINAL", None),  # read at import, from the environment of pytest
        patch.dict(os.environ, environment, clear=True),
        contextlib.chdir(directory),
        _own_logs(),
        _own_signals(),
        _own_threads(),
    ):
        code = _exit_code()
    gc.unfreeze()  # the program may exempt from collection what it imported, for it ends soon
    return Ran(code, _text(out), _text(err))


def _exit_code() -> int:
    """What the interpreter would make of SystemExit."""
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, str):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


def _stream(content: bytes = b"") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), "utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def _own_logs() -> Iterator[None]:
    """The log's configuration before, and pytest's handlers, are back afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, root.handlers = root.handlers, []
    levels = {logger: logger.level for logger in _loggers()}
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        for logger in _loggers():
            logger.setLevel(levels.get(logger, logging.NOTSET))


def _loggers() -> list[logging.Logger]:
    named = logging.Logger.manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in named if isinstance(logger, logging.Logger))]


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """No handler outlives the program, and the program does not outlive PATIENCE."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    expired = False

    def expire(*_: object) -> None:
        nonlocal expired
        expired = True
        raise KeyboardInterrupt

    alarm = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in {**before, signal.SIGALRM: alarm}.items():
            signal.signal(number, handler)
        assert not expired, f"the program had not ended after {PATIENCE:g} s"


@contextlib.contextmanager
def _own_threads() -> Iterator[None]:
    """A process would wait for its threads before it exits."""
    before = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} keeps the program from exiting"
