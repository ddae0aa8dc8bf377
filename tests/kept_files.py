"""What an archive's folder and its table hold, held against the files that the look-alike has."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.simulator.truth import Truth


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """An archive in `root`, of the SQLite database at `database`."""

    root: Path
    database: Path

    def rows(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT t.video_translate_id AS name, f.* FROM archived_files f"
                " JOIN translations t ON t.id = f.translation_id ORDER BY t.id, f.kind"
            )
            return [dict(row) for row in found]

    def are_there(self, count: int) -> bool:
        rows = self.rows()
        return len(rows) == count and all(row["state"] == "archived" for row in rows)

    def lines(self) -> list[str]:
        """What the verb prints of each file."""
        return [
            f"{row['name']} {row['kind']} archived: {row['location']} ({row['bytes']} bytes)"
            for row in self.rows()
        ]

    def named(self) -> list[Path]:
        """What stands under a name."""
        return [one for one in self.root.rglob("*") if one.is_file() and ".parts" not in one.parts]

    def check(self, truth: Truth) -> None:
        """Every row is true: the file is there, and its bytes are those that HeyGen's host has."""
        sums = {
            (one.video_translate_id, file.sha256) for one in truth.translations for file in one.files.values()
        }
        rows = self.rows()
        for row in rows:
            data = Path(row["location"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
            assert (row["name"], row["sha256"]) in sums
        assert sorted(map(str, self.named())) == sorted(row["location"] for row in rows)
        assert list((self.root / ".parts").iterdir()) == []
