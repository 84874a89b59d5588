"""Disks that can do less than others: mounts of clouds and networks, and disks put together of several ones."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit import disk
from stemsplit.disk.claim import claim
from stemsplit.disk.folder import Folder
from stemsplit.disk.moving import equal, move_between
from tests.conftest import snapshot

Break = Callable[[int], None]


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Return a function that lets fsync fail with an error of the system."""

    def broken(code: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fsync)

    return broken


def without_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk refuse to move files from folder to folder, as mergerfs does."""
    move = Folder.move

    def refusing(self: Folder, name: str, to: Folder, new_name: str) -> None:
        if not os.path.samestat(self.identity(), to.identity()):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        move(self, name, to, new_name)

    monkeypatch.setattr(Folder, "move", refusing)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_disk_without_fsync_is_written_to(no_fsync: Break, tmp_path: Path, code: int) -> None:
    no_fsync(code)
    with disk.replacing(tmp_path / "a") as file:
        file.write(b"new")
    with Folder(tmp_path) as folder:
        held = claim(folder, "0" * 16)
        held.begin(["stem"])
        held.release()
    assert snapshot(tmp_path) == {"a": b"new"}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_lost_data_is_still_an_error(no_fsync: Break, tmp_path: Path, code: int) -> None:
    (tmp_path / "a").write_bytes(b"old")
    no_fsync(code)
    with pytest.raises(OSError, match=os.strerror(code)), disk.replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert snapshot(tmp_path) == {"a": b"old"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    (old / "a").write_bytes(b"stem")
    return old, new


def test_a_file_moves_where_the_disk_moves_none(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    without_moves(monkeypatch)
    (folders[1] / "b").write_bytes(b"older")
    (folders[1] / ".b.01234567.partial").write_bytes(b"half of a copy by a killed run")
    with Folder(folders[0]) as old, Folder(folders[1]) as new:
        move_between(old, "a", new, "b")
    assert snapshot(folders[0]) == {}
    assert snapshot(folders[1]) == {"b": b"stem"}


def test_a_copy_that_fails_leaves_both_files(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    without_moves(monkeypatch)
    (folders[1] / "b").write_bytes(b"older")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", full)
    with Folder(folders[0]) as old, Folder(folders[1]) as new, pytest.raises(OSError, match="space"):
        move_between(old, "a", new, "b")
    assert snapshot(folders[0]) == {"a": b"stem"}
    assert snapshot(folders[1]) == {"b": b"older"}


def test_a_link_in_a_file_s_place_is_not_copied(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    without_moves(monkeypatch)
    try:
        (folders[0] / "link").symlink_to(folders[0] / "a")
    except OSError:
        pytest.skip("links are not allowed here")
    with Folder(folders[0]) as old, Folder(folders[1]) as new, pytest.raises(OSError, match=r"."):
        move_between(old, "link", new, "b")
    assert snapshot(folders[1]) == {}


@pytest.mark.parametrize(("content", "same"), [(b"stem", True), (b"stem.", False), (b"ste", False), (b"step", False)])
def test_files_are_equal_if_all_their_bytes_are(folders: tuple[Path, Path], content: bytes, same: bool) -> None:
    (folders[1] / "b").write_bytes(content)
    with Folder(folders[0]) as old, Folder(folders[1]) as new:
        assert equal(old, "a", new, "b") == same
        assert not equal(old, "a", new, "none")
