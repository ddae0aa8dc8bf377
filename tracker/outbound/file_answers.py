"""What a file host's answer promises, and the answers that give no file (RFC 9110)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tracker.errors import BrokenTransferError, LinkRefusedError

STRONG_ETAG = re.compile(r'"[!#-~]{1,250}"')
HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
CONTENT_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,127}/[a-zA-Z0-9!#$&^_.+-]{1,127}")
NUMBER = r"([0-9]{1,18})"
WORTH_A_RETRY = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Promise:
    """`length` bytes will come, from `offset` on, of a file of `size` bytes; None: the host does not say."""

    offset: int
    size: int | None
    length: int | None
    validator: str | None
    content_type: str | None


def refuse_status(status: int, shown: str) -> None:
    """Raise what an HTTP status without a file stands for."""
    if 400 <= status < 500 and status not in WORTH_A_RETRY and status != 416:
        raise LinkRefusedError(
            f"{shown}: the host refuses the link (HTTP {status}); it has expired or was revoked"
        )
    if not (200 <= status < 300 or status == 416):
        raise BrokenTransferError(f"{shown}: HTTP {status}")


def read_promise(
    status: int, headers: Mapping[str, str], asked: int, validator: str | None, shown: str
) -> Promise | None:
    """What comes now; None where the rest that was asked for cannot be had, and all of it is to be asked for.

    `asked`: the offset, 0 for all of it; `validator`: the version that the rest has to be of. Raises
    BrokenTransferError for what cannot be relied on.
    """
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise BrokenTransferError(f"{shown}: the file comes encoded, which was not asked for")
    if asked and status in (206, 416):
        promise = (_resumed if status == 206 else _nothing_left)(headers, asked)
        return promise if _is_same(headers, validator) else None
    if status != 200:
        raise BrokenTransferError(f"{shown}: HTTP {status} does not answer what was asked")
    length = _length(headers)
    if length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
        raise BrokenTransferError(f"{shown}: the host does not say how long the file is")
    return _promise(headers, 0, length)


def is_validator(text: str | None) -> bool:
    """True for what may be sent as If-Range: a strong ETag or a date."""
    return text is not None and bool(STRONG_ETAG.fullmatch(text) or HTTP_DATE.fullmatch(text))


def _resumed(headers: Mapping[str, str], asked: int) -> Promise | None:
    match = re.fullmatch(rf"bytes {NUMBER}-{NUMBER}/{NUMBER}", headers.get("Content-Range", ""))
    if match is None:
        return None
    first, last, size = map(int, match.groups())
    fits = first == asked <= last < size and _length(headers) in (None, last - first + 1)
    return _promise(headers, asked, size) if fits else None


def _nothing_left(headers: Mapping[str, str], asked: int) -> Promise | None:
    """The host has no more than we already have; None where it has less, or something else."""
    has_all = headers.get("Content-Range") == f"bytes */{asked}"
    return _promise(headers, asked, asked) if has_all else None


def _is_same(headers: Mapping[str, str], validator: str | None) -> bool:
    """False where the host names another version than was asked for."""
    now = headers.get("ETag") if validator and validator.startswith('"') else headers.get("Last-Modified")
    return now in (None, validator)


def _promise(headers: Mapping[str, str], offset: int, size: int | None) -> Promise:
    said = headers.get("Content-Type", "").partition(";")[0].strip()
    validators = (headers.get("ETag"), headers.get("Last-Modified"))
    return Promise(
        offset=offset,
        size=size,
        length=None if size is None else size - offset,
        validator=next((one for one in validators if is_validator(one)), None),
        content_type=said if CONTENT_TYPE.fullmatch(said) else None,
    )


def _length(headers: Mapping[str, str]) -> int | None:
    match = re.fullmatch(NUMBER, headers.get("Content-Length", ""))
    return int(match[1]) if match else None
