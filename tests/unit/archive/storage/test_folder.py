"""The folder: at once under its name, never over another's."""

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tracker.archive.storage.folder import Complete, FolderStorage
from tracker.errors import KeyTakenError, StorageError

DATA = b"a whole film"
KEY = "2026/11/Talk-German-7544/video.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> FolderStorage:
    folder = FolderStorage(tmp_path)
    folder.prepare()
    return folder


def complete(folder: FolderStorage, data: bytes = DATA, known: str | None = None) -> Complete:
    path = folder.spool / "name.part"
    path.write_bytes(data)
    return Complete(
        path=path,
        key=KEY,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        content_type="video/mp4",
        of="video of 7544",
        known=known,
        stopped=lambda: False,
    )


def without_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_it_is_under_its_name_and_the_name_is_told(folder: FolderStorage, tmp_path: Path) -> None:
    assert folder.publish(complete(folder)) == str(tmp_path / KEY)
    assert (tmp_path / KEY).read_bytes() == DATA


@pytest.mark.parametrize("links", [True, False])
def test_once_more_changes_nothing(
    folder: FolderStorage, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash before the row was stored, also on a disk that knows no hard links."""
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    folder.publish(complete(folder))
    before = (tmp_path / KEY).stat()

    folder.publish(complete(folder) if not links else replace(complete(folder)))

    assert (tmp_path / KEY).stat().st_ino == before.st_ino
    assert (tmp_path / KEY).read_bytes() == DATA


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", [b"another film", b"of the same l", b"longer than the film"])
def test_another_s_file_stays(
    folder: FolderStorage, tmp_path: Path, there: bytes, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    (tmp_path / KEY).parent.mkdir(parents=True)
    (tmp_path / KEY).write_bytes(there)

    with pytest.raises(KeyTakenError, match="move it away"):
        folder.publish(complete(folder, known="/elsewhere/video.mp4"))

    assert (tmp_path / KEY).read_bytes() == there


def test_an_older_version_of_the_same_file_gives_way_at_once(folder: FolderStorage, tmp_path: Path) -> None:
    known = folder.publish(complete(folder, b"the first version"))

    assert folder.publish(complete(folder, known=known)) == known
    assert (tmp_path / KEY).read_bytes() == DATA


def test_the_names_are_made_durable_up_to_the_root(
    folder: FolderStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        real(file)

    monkeypatch.setattr(os, "fsync", note)
    folder.publish(complete(folder))

    assert synced == [str(one) for one in (tmp_path / KEY).parents if one.is_relative_to(tmp_path)]


def test_a_folder_that_is_not_there_is_not_made_for_its_disk_may_not_be_mounted(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is no folder; make it, or mount its disk"):
        FolderStorage(tmp_path / "nas").prepare()
    assert not (tmp_path / "nas").exists()


def test_what_the_system_refuses_is_told(folder: FolderStorage, tmp_path: Path) -> None:
    (tmp_path / "2026").write_text("a file in the way of the folder")

    with pytest.raises(StorageError, match="2026"):
        folder.publish(complete(folder))
