"""Folders are held open, and links in them are not followed."""

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemsplit.disk import Folder
from stemsplit.disk.folder import is_plain
from tests.conftest import snapshot, unix


@given(st.text(max_size=5))
def test_a_plain_name_is_one_step_on_every_system(name: str) -> None:
    if is_plain(name):
        assert PurePath(name).parts == (name,)
        name.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "\ud800"])
def test_only_plain_names_are_accepted(tmp_path: Path, name: str) -> None:
    with Folder(tmp_path) as folder:
        for use in (folder.make, folder.create, folder.remove, folder.stat, folder.enter, folder.remove_folder):
            with pytest.raises(OSError, match="not a file name"):
                use(name)
    assert snapshot(tmp_path) == {}


def test_folders_on_the_way_down_are_made_on_request(tmp_path: Path) -> None:
    with Folder(tmp_path) as top:
        with pytest.raises(FileNotFoundError):
            top.descend(PurePath("a/b"))
        with top.descend(PurePath("a/b"), make=True) as folder:
            folder.create("c").close()
        with top.descend(PurePath()) as same:
            assert same.names() == ["a"]
    assert set(snapshot(tmp_path)) == {"a", "a/b", "a/b/c"}


@unix
@pytest.mark.parametrize("relative", ["link", "link/inner", "real/link"])
def test_no_step_on_the_way_down_follows_a_link(tmp_path: Path, relative: str) -> None:
    (tmp_path / "victim/inner").mkdir(parents=True)
    (tmp_path / "out/real").mkdir(parents=True)
    (tmp_path / "out/link").symlink_to("../victim")
    (tmp_path / "out/real/link").symlink_to("../../victim")
    before = snapshot(tmp_path)
    with Folder(tmp_path / "out") as top, pytest.raises(NotADirectoryError):
        top.descend(PurePath(relative), make=True)
    assert snapshot(tmp_path) == before


@unix
def test_a_closed_folder_is_not_reopened_by_its_path(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        folder.create("a")
    assert snapshot(tmp_path) == {}
