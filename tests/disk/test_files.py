"""Files are replaced whole or not at all, and foreign files in their way are left alone."""

import os
import re
from pathlib import Path, PurePath

import pytest

from stemsplit import disk
from stemsplit.disk import files
from tests.conftest import snapshot, unix


def test_a_file_is_replaced_when_everything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with disk.replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert snapshot(tmp_path) == {"a": b"new"}


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), disk.replacing(path) as file:  # noqa: PT012  # what ends the block is the last line
        file.write(b"new")
        raise KeyboardInterrupt
    assert snapshot(tmp_path) == {"a": b"old"}


def test_the_same_file_may_be_written_twice_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with disk.replacing(path) as first:
        first.write(b"first")
        with disk.replacing(path) as second:
            second.write(b"second")
    assert snapshot(tmp_path) == {"a": b"first"}


@unix
def test_only_unfinished_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    mine = [".a.12345678.partial.txt", ".ab.12345678.partial", ".a.1234567.partial", "a.12345678.partial"]
    for name in mine:
        (tmp_path / name).touch()
    (tmp_path / ".a.0123abcd.partial").write_bytes(b"half")
    (tmp_path / ".a.99999999.partial").symlink_to("elsewhere")
    with disk.replacing(tmp_path / "a"):
        pass
    assert set(snapshot(tmp_path)) == {"a", ".a.99999999.partial", *mine}


@unix
def test_a_new_file_has_the_umask_s_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with disk.replacing(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@unix
def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    for name in ("replaced", "moved over"):
        (tmp_path / name).symlink_to("victim")
    with disk.replacing(tmp_path / "replaced") as file:
        file.write(b"new")
    (tmp_path / "b").write_bytes(b"new")
    disk.move(tmp_path / "b", tmp_path / "moved over")
    assert snapshot(tmp_path) == {"victim": b"mine", "replaced": b"new", "moved over": b"new"}


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
def test_a_symbolic_link_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    disk.link(tmp_path / "a", "b")
    assert snapshot(tmp_path) == {"a": "-> b"}


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


def test_a_full_disk_leaves_the_old_file_only(tmp_path: Path) -> None:
    """Closing the file fails too, because it writes what is still buffered."""
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    (tmp_path / "a").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"), disk.replacing(tmp_path / "a") as file:
            file.write(bytes(2_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert snapshot(tmp_path) == {"a": b"old"}


def test_another_machine_s_unfinished_file_stays_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock cannot be seen from here, on a disk that machines share."""
    monkeypatch.setattr(files, "is_local", lambda _: False)
    fresh, old = tmp_path / f".a.{'0' * 16}.partial", tmp_path / f".a.{'1' * 16}.partial"
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with disk.replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert snapshot(tmp_path) == {"a": b"new", fresh.name: b"half"}
