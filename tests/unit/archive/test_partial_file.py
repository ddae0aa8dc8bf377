"""A part goes on where it was, and never with what may be wrong."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracker.archive import disk_space
from tracker.archive.partial_file import SYNCED_BYTES, PartialFile
from tracker.errors import DiskFullError, FileTooLargeError, PartialFileInUseError, StorageError

OF = "video of 7544"
DATA = bytes(range(256)) * 100


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def opened(folder: Path, of: str = OF, min_free: int = 0) -> Iterator[PartialFile]:
    partial_file = PartialFile(folder, "name", of, min_free)
    partial_file.open()
    try:
        yield partial_file
    finally:
        partial_file.close()


def begin(
    partial_file: PartialFile, offset: int = 0, size: int | None = len(DATA), validator: str | None = '"1"'
) -> None:
    partial_file.begin(offset, size=size, validator=validator, content_type="video/mp4", extension="mp4")


def test_what_was_synced_is_gone_on_with(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(DATA[:1000])
        partial_file.sync()

    with opened(tmp_path) as partial_file:
        assert (partial_file.length, partial_file.sha256, partial_file.note.validator) == (
            1000,
            sha256(DATA[:1000]),
            '"1"',
        )
        begin(partial_file, 1000)
        partial_file.write(DATA[1000:])
        partial_file.finish()
        assert (partial_file.length, partial_file.sha256) == (len(DATA), sha256(DATA))
    assert partial_file.path.read_bytes() == DATA


def test_what_was_not_synced_is_forgotten_for_it_may_not_be_on_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(DATA[:1000])
        partial_file.sync()
        partial_file.write(DATA[1000:2000])

    with opened(tmp_path) as partial_file:
        assert (partial_file.length, partial_file.sha256) == (1000, sha256(DATA[:1000]))
        assert partial_file.path.stat().st_size == 1000


def test_long_files_are_synced_on_the_way(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file, size=None)
        partial_file.write(bytes(SYNCED_BYTES - 1))
        assert partial_file.note.durable == 0
        partial_file.write(b"x")
        assert json.loads((tmp_path / "name.json").read_text())["durable"] == SYNCED_BYTES


def test_a_host_that_sends_all_of_it_again_begins_it_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(b"another version")
        partial_file.sync()
        begin(partial_file, 0, validator='"2"')
        partial_file.write(DATA)
        partial_file.finish()

        assert (partial_file.length, partial_file.sha256, partial_file.note.validator) == (
            len(DATA),
            sha256(DATA),
            '"2"',
        )
    assert partial_file.path.read_bytes() == DATA


def test_the_part_of_another_file_is_not_gone_on_with(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(DATA)
        partial_file.finish()

    with opened(tmp_path, of="video of another") as partial_file:
        assert (partial_file.length, partial_file.note.is_complete, partial_file.path.stat().st_size) == (
            0,
            False,
            0,
        )


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"of": "video of 7544", "durable": 5000}', b'{"a": 1}'])
def test_a_note_that_tells_nothing_true_is_no_note(tmp_path: Path, note: bytes) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(DATA[:100])
        partial_file.sync()
    (tmp_path / "name.json").write_bytes(note)

    with opened(tmp_path) as partial_file:
        assert (partial_file.length, partial_file.note.validator) == (0, None)


def test_a_complete_part_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file, size=None)
        partial_file.write(DATA)
        partial_file.finish()

    with opened(tmp_path) as partial_file:
        assert partial_file.note.is_complete
        assert (partial_file.note.size, partial_file.sha256) == (len(DATA), sha256(DATA))


def test_a_part_is_one_process_s_alone_until_it_is_closed(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(PartialFileInUseError), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


def test_a_removed_part_leaves_nothing_and_the_next_one_is_another(tmp_path: Path) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file)
        partial_file.write(DATA)
        partial_file.finish()
        partial_file.remove()
        assert list(tmp_path.iterdir()) == []
        with opened(tmp_path) as next_one:
            assert next_one.length == 0


def test_a_lock_on_a_part_that_was_taken_away_is_worth_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our open and our lock its owner may have finished it."""
    real, times = os.open, 0

    def open_then_lose(path: Path, flags: int, mode: int = 0o777) -> int:
        nonlocal times
        file, times = real(path, flags, mode), times + 1
        if times == 1:
            path.unlink()
        return file

    monkeypatch.setattr(os, "open", open_then_lose)
    with opened(tmp_path) as partial_file:
        assert partial_file.path.exists()
    assert times == 2


# Room on the disk


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the disk has left, as the operating system would say."""
    left = [10_000]
    monkeypatch.setattr(disk_space, "free_bytes", lambda _folder: left[0])
    return left


def test_a_file_that_would_leave_too_little_is_not_begun(tmp_path: Path, free: list[int]) -> None:
    with opened(tmp_path, min_free=5_000) as partial_file:
        begin(partial_file, size=5_000)
        with pytest.raises(DiskFullError, match="TRACKER_ARCHIVE_MIN_FREE") as refused:
            begin(partial_file, size=5_001)
    assert refused.value.needed == 10_001


def test_a_disk_that_fills_up_meanwhile_stops_it_with_what_has_come(tmp_path: Path, free: list[int]) -> None:
    with opened(tmp_path, min_free=5_000) as partial_file:
        begin(partial_file, size=3_000)
        partial_file.write(bytes(1000))
        free[0] = 5_999
        with pytest.raises(DiskFullError) as refused:
            partial_file.write(bytes(1000))
        partial_file.sync()
    assert refused.value.needed == 5_000 + 2_000
    with opened(tmp_path) as partial_file:
        assert partial_file.length == 1000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_says_so_and_nobody_knows_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With a quota the disk has room enough, as far as it says."""
    with opened(tmp_path, min_free=100) as partial_file:
        begin(partial_file, size=3_000)
        refuse_to_write(monkeypatch, number)
        with pytest.raises(DiskFullError, match=f"full: {os.strerror(number)}") as refused:
            partial_file.write(bytes(1000))
    assert refused.value.needed is None


def test_a_file_that_is_too_large_for_the_file_system_is_no_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as partial_file:
        begin(partial_file, size=3_000)
        refuse_to_write(monkeypatch, errno.EFBIG)
        with pytest.raises(FileTooLargeError, match="it is larger than"):
            partial_file.write(bytes(1000))


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refuse)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone.*No such file"), opened(tmp_path / "gone"):
        pass
