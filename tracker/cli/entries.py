"""What `tracker add` reads: ids one per line, CSV, or JSON lines."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from tracker.errors import InputError

FIELDS = ("video_translate_id", "callback_id", "title")
SHOWN_ERRORS = 10


def read_entries(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every entry with the name of its line; raises InputError naming every line that cannot be read."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError("standard input has no ids; write one id per line, CSV or JSON lines")
    first = lines[0][1]
    if first.startswith("["):
        return _from_json_array(text)
    if first.startswith("{"):
        return _collect(lines, _from_json)
    header = [name.strip().lower() for name in first.split(",")]
    if "video_translate_id" in header or "callback_id" in header:
        if strangers := [name for name in header if name not in FIELDS]:
            raise InputError(
                f"line {lines[0][0]}: unknown column {strangers[0]!r}; known columns: {', '.join(FIELDS)}"
            )
        return _collect(lines[1:], lambda line: _from_csv(line, header))
    return _collect(lines, lambda line: _from_csv(line, list(FIELDS)))


def _collect(lines: list[tuple[int, str]], read: Any) -> list[tuple[str, dict[str, str | None]]]:
    entries, errors = [], []
    for number, line in lines:
        try:
            entries.append((f"line {number}", read(line)))
        except InputError as error:
            errors.append(f"line {number}: {error}")
    refuse_all(errors)
    return entries


def refuse_all(errors: list[str]) -> None:
    """Raise InputError for these errors, if there are any; nothing is added then."""
    if errors:
        more = [f"and {len(errors) - SHOWN_ERRORS} more"] if len(errors) > SHOWN_ERRORS else []
        raise InputError("\n".join(["nothing was added:", *errors[:SHOWN_ERRORS], *more]))


def _from_json(line: str) -> dict[str, str | None]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError("is not JSON") from error
    if not isinstance(value, dict) or not all(isinstance(text, str | None) for text in value.values()):
        raise InputError("is not an object with string values")
    if strangers := sorted(value.keys() - set(FIELDS)):
        raise InputError(f"unknown field {strangers[0]!r}; known fields: {', '.join(FIELDS)}")
    return value


def _from_json_array(text: str) -> list[tuple[str, dict[str, str | None]]]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("standard input begins with [ but is not a JSON array") from error
    return _collect([(number, json.dumps(item)) for number, item in enumerate(items, 1)], _from_json)


def _from_csv(line: str, names: list[str]) -> dict[str, str | None]:
    cells: Iterator[list[str]] = csv.reader(io.StringIO(line), skipinitialspace=True)
    values = [cell.strip() or None for cell in next(cells)]
    if len(values) > len(names):
        raise InputError(f"has {len(values)} columns; known columns: {', '.join(names)}")
    return dict(zip(names, values, strict=False))
