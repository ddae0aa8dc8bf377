"""How `tracker archive` shows what comes: bars on a terminal, and a line for each file that is there."""

import sys
import time
from collections.abc import Iterable
from typing import Any, Self

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tracker.archive.lease import ActiveDownload
from tracker.cli.common import out, shown
from tracker.domain.files.states import FileState

Row = dict[str, Any]


def named(video_translate_id: str | None, kind: str) -> str:
    """A file, as people name it."""
    return f"{video_translate_id} {kind}"


def view(*, silent: bool, total: int | None = None) -> "View":
    """The view for this standard output. `total`: of files; None: as many as are left at first."""
    return Bars(total) if sys.stdout.isatty() and not silent else View(silent=silent)


class View:
    """A line for each file that is there; a context manager. `files` and `bytes`: what came here."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._told: set[str] = set()
        self._coming: dict[int, ActiveDownload] = {}
        self.files, self.bytes = 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def told_of(self, rows: Iterable[Row]) -> None:
        """These rows are in the database: what is archived, by whomever, is told once."""
        for row in rows:
            if row["state"] == FileState.ARCHIVED:
                self._tell(named(row["video_translate_id"], row["kind"]), row["location"], row["bytes"])

    def update(self, under_way: Iterable[ActiveDownload], left: int | None = None) -> None:
        """What is under way now, and how many files are left in all, as far as that is known."""
        now = {id(one): one for one in under_way}
        for key in self._coming.keys() - now.keys():
            self._ended(self._coming[key])
        self._coming = now

    def _ended(self, one: ActiveDownload) -> None:
        if one.archived is not None:
            self.files, self.bytes = self.files + 1, self.bytes + one.archived.bytes
            name = named(one.claim.video_translate_id, one.claim.kind)
            self._tell(name, one.archived.location, one.archived.bytes)

    def _tell(self, name: str, location: str, size: int) -> None:
        if name not in self._told and not self._silent:
            self._told.add(name)
            out.print(f"{shown(name)} archived: {shown(location)} ({size} bytes)")


class Bars(View):
    """Below these lines a bar for each file that comes, in bytes, and one for all of them, in files."""

    def __init__(self, total: int | None) -> None:
        super().__init__(silent=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[amount]}", justify="right"),
            TextColumn("{task.fields[speed]}", justify="right"),
            TimeRemainingColumn(),
            console=out.console,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._bars: dict[int, TaskID] = {}
        self._total, self._begun = total, time.monotonic()

    def __enter__(self) -> Self:
        self._all = self._progress.add_task("all files", total=self._total, amount="", speed="")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            self._progress.remove_task(bar)
        self._progress.stop()

    def update(self, under_way: Iterable[ActiveDownload], left: int | None = None) -> None:
        """See `View`."""
        super().update(under_way, left)
        for key in self._bars.keys() - self._coming.keys():
            self._progress.remove_task(self._bars.pop(key))
        for key, one in self._coming.items():
            self._show(key, one)
        if left is not None and self._total is None:
            self._total = left
        self._show_all(left)

    def _show(self, key: int, one: ActiveDownload) -> None:
        if key not in self._bars:
            name = shown(named(one.claim.video_translate_id, one.claim.kind))
            self._bars[key] = self._progress.add_task(name, total=None, amount="", speed="")
        bar = self._bars[key]
        of = "" if one.size is None else f" of {decimal(one.size)}"
        speed = self._progress.tasks[self._progress.task_ids.index(bar)].speed
        self._progress.update(
            bar,
            completed=one.done,
            total=one.size,
            amount=f"{decimal(one.done)}{of}",
            speed=f"{decimal(int(speed))}/s" if speed else "",
        )

    def _show_all(self, left: int | None) -> None:
        """Of files, for nobody knows how large those are that have not begun."""
        total = self._total or 0
        done = self.files if left is None else max(self.files, total - left)
        came = self.bytes + sum(one.done for one in self._coming.values())
        speed = int(came / max(1.0, time.monotonic() - self._begun))
        self._progress.update(
            self._all,
            completed=done,
            total=max(total, done),
            amount=f"{done} of {max(total, done)} files, {decimal(came)}",
            speed=f"{decimal(speed)}/s" if speed else "",
        )
