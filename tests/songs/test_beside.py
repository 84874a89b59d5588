"""Files beside a song's record: written whole, and never over what others made."""

from pathlib import Path

import pytest

from stemsplit.errors import AudioError
from stemsplit.songs.beside import obstacle, writing

MARK = b"made by stemsplit"


def test_a_file_of_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content in (b"first", b"second"):
        with writing(path, MARK) as file:
            file.write(MARK + content)
    assert path.read_bytes() == MARK + b"second"


def test_what_others_made_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"a stranger's")
    with pytest.raises(AudioError, match="not as stemsplit left it"), writing(path, MARK):
        pass
    assert path.read_bytes() == b"a stranger's"


def test_a_link_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    target, path = tmp_path / "target.html", tmp_path / "page.html"
    target.write_bytes(MARK)
    path.symlink_to(target)
    with pytest.raises(AudioError, match="not a file"), writing(path, MARK, force=True):
        pass
    assert path.is_symlink()
    assert target.read_bytes() == MARK


def test_a_file_of_two_names_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(MARK)
    (tmp_path / "other.html").hardlink_to(path)
    assert "not as stemsplit left it" in obstacle(path, MARK)


def test_nothing_is_left_of_a_file_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "page.html"

    def fail() -> None:
        with writing(path, MARK) as file:
            file.write(MARK)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())
