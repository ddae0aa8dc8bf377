"""The webhook secrets: those of the settings, and a file of those that HeyGen told us once."""

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from tracker.domain.ports import Clock
from tracker.errors import SettingsError

log = structlog.get_logger("tracker.keyring")

SETTING = "TRACKER_WEBHOOK_SECRETS_FILE"
PREVIOUS_VALID_FOR = timedelta(hours=24)  # HeyGen retries for so long (heygen-api section 4)
KEPT_AFTERWARDS = timedelta(days=1)
OTHERS_MAY_READ = 0o077
EXPECTED = '{"name": {"secret": "whsec_...", "endpoint_id": null, "added_at": "2026-11-23T22:30:00Z"}}'


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret of the file; `valid_until` None: until it is replaced."""

    secret: str = field(repr=False)
    endpoint_id: str | None
    added_at: datetime
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """False once its time is over."""
        return self.valid_until is None or now < self.valid_until


class WebhookSecrets:
    """Every webhook secret by name: the `configured` ones, and those in the file at `path`.

    The file is read again whenever it has changed. `hide` is given each secret that the log must not show.
    """

    def __init__(
        self,
        configured: Mapping[str, str],
        path: Path | None,
        clock: Clock,
        hide: Callable[[Iterable[str]], None] = lambda _secrets: None,
    ) -> None:
        self.path = path
        self.configured = dict(configured)
        self._clock = clock
        self._hide = hide
        self._entries: dict[str, Entry] = {}
        self._seen: object = None
        self._warned_of_mode = False

    def secrets(self) -> dict[str, str]:
        """Every secret that is valid now, by name; a broken file keeps what it held before."""
        now = self._clock()
        stored = {name: one.secret for name, one in self.entries().items() if one.is_valid(now)}
        return {self.name_in_use(name): secret for name, secret in stored.items()} | self.configured

    def entries(self) -> dict[str, Entry]:
        """What the file holds, over or not, as far as it can be read."""
        if self.path is not None:
            self._refresh(self.path)
        return dict(self._entries)

    def name_of(self, endpoint_id: str) -> str | None:
        """The name under which the file keeps this endpoint's present secret."""
        return next(
            (
                name
                for name, one in self.entries().items()
                if one.endpoint_id == endpoint_id and one.valid_until is None
            ),
            None,
        )

    def check_writable(self, name: str | None = None) -> None:
        """Raise SettingsError unless a secret can be kept, under that new `name` where one is given.

        Asked before HeyGen is, because HeyGen tells a secret once.
        """
        path = self._required()
        with _told(path), _locked(path):
            self._refuse_taken(name, _read(path))
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            fd, temporary = _temporary(path)
            os.close(fd)
            os.unlink(temporary)

    def add(self, name: str, secret: str, endpoint_id: str | None) -> None:
        """Keep a secret under a new name. Raises SettingsError where that fails or the name is taken."""
        path = self._required()
        with _told(path), _locked(path):
            entries = _read(path)
            self._refuse_taken(name, entries)
            self._write(path, {**entries, name: Entry(secret, endpoint_id, self._clock())})

    def replace(
        self,
        name: str,
        secret: str,
        endpoint_id: str | None,
        previous_valid_for: timedelta = PREVIOUS_VALID_FOR,
    ) -> None:
        """Keep a new secret under that name; the previous one stays valid for a while under its own."""
        path, now = self._required(), self._clock()
        with _told(path), _locked(path):
            entries = _read(path)
            previous = entries.get(name)
            if previous is not None and previous.secret != secret:
                aside = replace(previous, valid_until=now + previous_valid_for)
                entries[_free_name(f"{name}-before-{now:%Y%m%dT%H%M%SZ}", entries)] = aside
            self._write(path, {**entries, name: Entry(secret, endpoint_id, now)})

    def retire(self, endpoint_id: str, valid_for: timedelta = PREVIOUS_VALID_FOR) -> None:
        """The endpoint is gone: its secrets end after `valid_for`, for retries may still be in flight."""
        path, until = self._required(), self._clock() + valid_for
        with _told(path), _locked(path):
            entries = {
                name: replace(one, valid_until=until)
                if one.endpoint_id == endpoint_id and one.valid_until is None
                else one
                for name, one in _read(path).items()
            }
            self._write(path, entries)

    def _required(self) -> Path:
        if self.path is None:
            raise SettingsError(f"{SETTING}: is not set; example: /var/lib/tracker/webhook-secrets.json")
        return self.path

    def _refuse_taken(self, name: str | None, entries: Mapping[str, Entry]) -> None:
        if name in entries or name in self.configured:
            raise SettingsError(f"--name {name}: there is a secret of that name; give another")

    def name_in_use(self, name: str) -> str:
        """A secret of the settings that has the same name hides none of the file's."""
        return f"{name}-in-file" if name in self.configured else name

    def _write(self, path: Path, entries: Mapping[str, Entry]) -> None:
        now = self._clock()
        kept = {
            name: one
            for name, one in entries.items()
            if one.valid_until is None or now < one.valid_until + KEPT_AFTERWARDS
        }
        self._hide([one.secret for one in kept.values()])
        text = json.dumps({name: asdict(one) for name, one in kept.items()}, default=_iso, indent=2)
        _replace_file(path, text + "\n")

    def _refresh(self, path: Path) -> None:
        """Read the file if it is not the one that was read last."""
        seen = _fingerprint(path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            entries = _read(path)
        except SettingsError as error:  # said once, for the next time nothing has changed
            log.error("webhook secrets not read", error=str(error), kept=len(self._entries))
            return
        self._hide([one.secret for one in entries.values()])
        if entries != self._entries:
            log.info("webhook secrets read", names=", ".join(entries) or "none")
        self._entries = entries
        self._warn_of_mode(path)

    def _warn_of_mode(self, path: Path) -> None:
        if self._warned_of_mode or not path.exists() or not path.stat().st_mode & OTHERS_MAY_READ:
            return
        self._warned_of_mode = True
        log.warning("webhook secrets can be read by others", file=str(path), advice=f"chmod 600 {path}")


def _fingerprint(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError as error:
        return error.errno
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> dict[str, Entry]:
    """What the file holds, nothing where there is none; raises SettingsError."""
    try:
        found = json.loads(path.read_text())
        return {name: _entry(one) for name, one in found.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{SETTING}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SettingsError(
            f"{SETTING}: {path} is not what the webhook verbs write; expected: {EXPECTED}"
        ) from None  # the cause may quote a secret


def _entry(one: Mapping[str, Any]) -> Entry:
    secret, endpoint_id, until = one["secret"], one.get("endpoint_id"), one.get("valid_until")
    if not isinstance(secret, str) or not secret.strip() or not isinstance(endpoint_id, str | None):
        raise ValueError("no secret")
    return Entry(secret.strip(), endpoint_id, _time(one["added_at"]), _time(until) if until else None)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    names = (f"{name}-{number}" if number else name for number in range(len(taken) + 1))
    return next(one for one in names if one not in taken)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system refuses becomes one clear error."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{SETTING}: {path} cannot be written: {error.strerror}; name a file in a folder of your own"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two verbs write one after the other; the lock is on the folder, so that none is left behind."""
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _temporary(path: Path) -> tuple[int, str]:
    """A new file beside `path`, with mode 0600 from its first moment."""
    path = path.resolve()
    return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)


def _replace_file(path: Path, text: str) -> None:
    """All of the new content or all of the old, also after a power cut."""
    path = path.resolve()  # a link stays a link
    fd, temporary = _temporary(path)
    try:
        with os.fdopen(fd, "w") as file:
            _keep_owner(file.fileno(), path)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_owner(fd: int, path: Path) -> None:
    """What root writes belongs to whom the file, or else its folder, belongs: the daemon must read it."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
