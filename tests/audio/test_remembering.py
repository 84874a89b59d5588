"""What a look through a file found is remembered until the file changes."""

import os
from pathlib import Path

import pytest

from stemsplit.audio.remembering import until_changed


def test_a_file_is_looked_through_once_until_it_changes(tmp_path: Path) -> None:
    path, looks = tmp_path / "song.flac", list[bytes]()
    read = until_changed(lambda path: looks.append(path.read_bytes()))
    for content, seconds in [(b"one", 1_000_000_000), (b"two", 1_000_000_001), (b"three", 1_000_000_001)]:
        path.write_bytes(content)
        os.utime(path, (seconds, seconds))
        read(path)
        read(path)
    assert looks == [b"one", b"two", b"three"]


def test_a_file_that_was_just_written_is_looked_through_again(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    read = until_changed(Path.read_bytes)
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert read(path) == content


def test_errors_are_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    read = until_changed(Path.read_bytes)
    with pytest.raises(FileNotFoundError):
        read(path)
    path.write_bytes(b"here")
    assert read(path) == b"here"
