"""Files are read within limits, and only stemsplit's own are opened, listed and removed, never through a link."""

import os
import re
from pathlib import Path, PurePath

import pytest

from stemsplit import disk
from tests.conftest import snapshot, unix


@unix
def test_only_stemsplit_s_own_file_is_opened_for_writing(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("nothing")
    os.link(tmp_path / "victim", tmp_path / "hard link")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    before = snapshot(tmp_path)
    for name in ("link", "dangling", "hard link", "pipe", "folder"):
        for append in (True, False):
            with pytest.raises(OSError, match=re.escape(name)):
                disk.open_own(tmp_path / name, append)
    assert snapshot(tmp_path) == before


def test_an_own_file_is_appended_to_or_overwritten(tmp_path: Path) -> None:
    for append, content in ((False, b"a"), (True, b"b"), (True, b"c")):
        with disk.open_own(tmp_path / "a", append) as file:
            file.write(content)
    assert snapshot(tmp_path) == {"a": b"abc"}
    with disk.open_own(tmp_path / "a", append=False) as file:
        file.write(b"d")
    assert snapshot(tmp_path) == {"a": b"d"}


@unix
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "pipe", "folder", "endless"])
def test_reading_a_pipe_a_device_or_a_folder_fails_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        disk.read(tmp_path / name)


def test_a_text_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 16 MB"):
        disk.read_text(tmp_path / "a")


def test_removing_returns_the_size_and_none_the_second_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert disk.remove(tmp_path / "a") == 3
    assert disk.remove(tmp_path / "a") is None


def test_only_an_empty_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    (tmp_path / "empty").mkdir()
    for name in ("full", "empty", "missing"):
        disk.remove_empty_folder(tmp_path / name)
    assert set(snapshot(tmp_path)) == {"full", "full/a"}


@unix
def test_nothing_is_made_listed_or_removed_through_a_link_below_an_own_folder(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/diary.txt").write_bytes(b"mine")
    (tmp_path / "ours/real").mkdir(parents=True)
    (tmp_path / "ours/real/link").symlink_to("../../victim")
    before = snapshot(tmp_path)
    for relative in ("real/link", "real/link/new"):
        for use in (disk.make_below, disk.names_below):
            with pytest.raises(OSError, match="link"):
                use(tmp_path / "ours", PurePath(relative))
    with pytest.raises(OSError, match="link"):
        disk.remove_below(tmp_path / "ours", PurePath("real/link/diary.txt"))
    assert snapshot(tmp_path) == before
    # The link itself can be removed like any file.
    assert disk.remove_below(tmp_path / "ours", PurePath("real/link")) is not None
    assert snapshot(tmp_path) == {name: content for name, content in before.items() if name != "ours/real/link"}


def test_folders_and_files_below_an_own_folder_are_made_listed_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "new"
    assert disk.names_below(root, PurePath("a")) == []
    assert disk.remove_below(root, PurePath("a/b")) is None
    assert disk.make_below(root, PurePath("a/b")) == root / "a/b"
    (root / "a/b/c").write_bytes(b"abc")
    assert disk.names_below(root, PurePath("a/b")) == ["c"]
    assert disk.size_of_own(root / "a/b/c") == 3
    assert disk.remove_below(root, PurePath("a/b/c")) == 3
    assert disk.size_of_own(root / "a/b/c") == 0


@unix
def test_a_file_with_more_than_one_name_is_not_stemsplit_s_own(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    os.link(tmp_path / "victim", tmp_path / "hard link")
    (tmp_path / "link").symlink_to("victim")
    for name in ("hard link", "link"):
        with pytest.raises(FileExistsError, match="not made by stemsplit"):
            disk.size_of_own(tmp_path / name)
