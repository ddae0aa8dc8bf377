"""Names of kept files: a template that people choose, filled with values that nobody can trust.

Titles, languages and callback ids come from outside. Whatever they are, a key is a relative path that every
file system and object store takes, and no two files get the same one.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from urllib.parse import urlsplit

from tracker.domain.links import LinkKind

PART_BYTES = 255  # of one part between two slashes, on every common file system
KEY_BYTES = 900  # S3 takes 1024, and a prefix stands before it
LEAST_BYTES = 24  # what a value that gets cut keeps at least
CHANGED = "~"  # stands only where a value had to be changed beyond its signs

FREE = {
    "title": "untitled",
    "output_language": "unknown",
    "input_language": "unknown",
    "callback_id": "none",
}  # and what stands for a value that is missing, or of which nothing is left
WIDTHS = {"video_translate_id": 64, "kind": 8, "extension": 4}  # most bytes
MOMENTS = ("finished_at", "created_at")
MOMENT_CODES = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2}
EXTENSIONS = {
    LinkKind.VIDEO: (
        "mp4",
        "mov",
        "webm",
        "mkv",
        "mp3",
        "m4a",
        "wav",
    ),  # audio, where only that was translated
    LinkKind.AUDIO: ("mp3", "wav", "m4a", "aac", "ogg", "flac"),
    LinkKind.CAPTIONS: ("ass",),
    LinkKind.SRT: ("srt",),
    LinkKind.VTT: ("vtt",),
}

PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
FORBIDDEN = re.compile(r'[\\/:*?"<>|~]')
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOf:
    """Which file of which translation; times are aware."""

    video_translate_id: str
    kind: LinkKind
    finished_at: datetime
    created_at: datetime
    title: str | None = None
    output_language: str | None = None
    input_language: str | None = None
    callback_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFields(FileOf):
    """What a template can name. `extension` is one of EXTENSIONS, without a dot."""

    extension: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text of the template, or a field of it; `code` is one of MOMENT_CODES."""

    text: str = ""
    field: str = ""
    code: str = ""

    @property
    def width(self) -> int:
        """Most bytes it takes; 0 for a value that is cut to what is left."""
        return (
            len(self.text.encode()) if self.text else MOMENT_CODES.get(self.code) or WIDTHS.get(self.field, 0)
        )


_Part = tuple[_Piece, ...]


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """Such as `{finished_at:%Y/%m}/{title} [{video_translate_id}] {kind}.{extension}`.

    Two files never get one key: the template holds the id and the kind, what stands beside the id
    is replaced in the other values of that part, and an id that cannot stay as it is gets a digest of itself.
    """

    text: str
    _parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: object) -> "KeyTemplate":
        """Read what people write; raises ValueError that says what is wrong with it."""
        if not isinstance(text, str):
            raise ValueError("is no text")  # noqa: TRY004 - as all that is wrong with a setting
        parts = tuple(_split(_pieces(text)))
        for part in parts:
            _check_part(part, len(parts))
        if [piece.field or piece.text[-1:] for piece in parts[-1][-2:]] != [".", "extension"]:
            raise ValueError("does not end in .{extension}")
        fields = [piece.field for part in parts for piece in part]
        for needed in ("video_translate_id", "kind"):
            if needed not in fields:
                raise ValueError(f"has no {{{needed}}}, so that two files could get the same name")
        return cls(text, parts)

    def key_of(self, fields: FileFields) -> str:
        """The relative path, with `/` between its parts; the same fields give the same key."""
        room = _room(len(self._parts)) - len(CHANGED)
        return "/".join(self._fill(part, fields, room) for part in self._parts)

    def _fill(self, part: _Part, fields: FileFields, room: int) -> str:
        free = [piece.field for piece in part if piece.field in FREE]
        beside = {sign for _, sign in _neighbours(part)}
        values = [_value(getattr(fields, name), FREE[name], beside) for name in free]
        left = iter(_cut(values, room - _width(part)))
        name = "".join(next(left) if piece.field in FREE else _fixed(piece, fields) for piece in part)
        name = unicodedata.normalize("NFC", name)  # pieces may compose
        stem, dot, rest = name.partition(".")
        return f"{stem}{CHANGED}{dot}{rest}" if RESERVED.fullmatch(stem) else name

    def __str__(self) -> str:
        return self.text


def extension_of(url: str, kind: LinkKind) -> str:
    """What the path of the link ends in where such a file can be of this kind, else the usual one."""
    known = EXTENSIONS[kind]
    try:
        path = urlsplit(url).path
    except ValueError:
        return known[0]
    said = path.rpartition(".")[2].lower()
    return said if said in known else known[0]


def _pieces(text: str) -> Iterator[_Piece]:
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"is no template: {error}") from error
    for literal, field, code, conversion in parsed:
        if literal:
            yield _Piece(literal)
        if field is not None:
            yield from _field(field, code or "", conversion)


def _field(field: str, code: str, conversion: str | None) -> Iterator[_Piece]:
    known = [*FREE, *WIDTHS, *MOMENTS]
    if field not in known:
        raise ValueError(f"names {{{field}}}, and there are only {', '.join(known)}")
    if conversion or (code and field not in MOMENTS):
        raise ValueError(f"has something behind {field}, which stands alone: {{{field}}}")
    if field not in MOMENTS:
        yield _Piece(field=field)
        return
    for said in re.findall(r"%.?|[^%]+", code or "%Y-%m-%d"):
        if said.startswith("%") and said not in MOMENT_CODES:
            raise ValueError(f"has {said} in {{{field}}}, and there are only {' '.join(MOMENT_CODES)}")
        yield _Piece(field=field, code=said) if said in MOMENT_CODES else _Piece(said)


def _split(pieces: Iterable[_Piece]) -> Iterator[_Part]:
    """The pieces between slashes, with texts that touch joined."""
    part: list[_Piece] = []
    for piece in pieces:
        for number, text in enumerate(piece.text.split("/")):
            if number:
                yield tuple(part)
                part = []
            if text and part and part[-1].text:
                part[-1] = _Piece(part[-1].text + text)
            elif text or piece.field:
                part.append(_Piece(text) if text else piece)
    yield tuple(part)


def _check_part(part: _Part, parts: int) -> None:
    texts = [piece.text for piece in part]
    if not part or texts[0][:1] in (" ", ".", "-") or texts[-1][-1:] in (" ", "."):
        raise ValueError("has a part that is empty, begins with . - or a space, or ends in . or a space")
    for text in texts:
        if text and (_clean(text) != text or unicodedata.category(text[0])[0] == "M"):
            raise ValueError(f"has signs that file names should not have: {text!r}")
    for before, sign in _neighbours(part):
        if not sign or sign.isalnum() or not sign.isascii():
            raise ValueError(
                f"has {before}: beside {{video_translate_id}} must be / or a sign such as - or ["
            )
    fields = [piece.field for piece in part]
    if fields.count("video_translate_id") > 1:
        raise ValueError("has {video_translate_id} twice in one part")
    free = sum(field in FREE for field in fields)
    if _width(part) + free * LEAST_BYTES > _room(parts) - len(CHANGED):
        raise ValueError("is too long, or has too many parts")


def _neighbours(part: _Part) -> Iterator[tuple[str, str]]:
    """What touches the id in this part, and the very sign that does; "" where it is another field."""
    named = [piece.text or f"{{{piece.field}}}" for piece in part]
    for (left, first), (right, second) in pairwise(zip(part, named, strict=True)):
        if right.field == "video_translate_id":
            yield first, left.text[-1:]
        if left.field == "video_translate_id":
            yield second, right.text[:1]


def _room(parts: int) -> int:
    return min(PART_BYTES, KEY_BYTES // parts)


def _width(part: _Part) -> int:
    return sum(piece.width for piece in part)


def _fixed(piece: _Piece, fields: FileFields) -> str:
    if piece.text:
        return piece.text
    value = getattr(fields, piece.field)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(piece.code).zfill(MOMENT_CODES[piece.code])
    return _id(value) if piece.field == "video_translate_id" else str(value)


def _id(video_translate_id: str) -> str:
    """As it is, or with a digest of itself where it is too long, or something else to some system."""
    if PLAIN_ID.fullmatch(video_translate_id) and not RESERVED.fullmatch(video_translate_id):
        return video_translate_id
    digest = sha256(video_translate_id.encode(errors="surrogatepass")).hexdigest()[:16]
    kept = re.sub(r"[^A-Za-z0-9_-]", "_", video_translate_id).lstrip("-_")[:40]
    return f"{kept or 'id'}{CHANGED}{digest}"


def _value(value: str | None, missing: str, beside: set[str]) -> str:
    """What is left of a value: nothing in it separates, hides, or turns the direction of the text."""
    instead = next(sign for sign in "_-+" if sign not in beside)  # beside it are two at most
    text = _clean((value or "")[:KEY_BYTES])
    text = "".join(instead if sign in beside else sign for sign in text)
    while text and (text[0] in " .-" or unicodedata.category(text[0])[0] == "M"):
        text = text[1:]
    return text.rstrip(" .") or missing


def _clean(text: str) -> str:
    """NFC, without controls, formats, surrogates and the unassigned; one space for any white space."""
    shown = "".join(
        " " if sign.isspace() else "" if unicodedata.category(sign)[0] == "C" else sign for sign in text
    )
    return re.sub(" +", " ", FORBIDDEN.sub("_", unicodedata.normalize("NFC", shown)))


def _cut(values: list[str], room: int) -> list[str]:
    """The values, the longest cut at a character until all fit into so many bytes; none loses its place."""
    sizes = [len(value.encode()) for value in values]
    limit = max(sizes, default=0)
    while sum(min(size, limit) for size in sizes) > room:
        limit -= 1
    return [value.encode()[:limit].decode(errors="ignore").rstrip(" .") for value in values]
