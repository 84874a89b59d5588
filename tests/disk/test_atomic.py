"""Files are replaced whole or not at all, and foreign files in their way are left alone."""

import os
from pathlib import Path

import pytest

from stemsplit import disk
from stemsplit.disk import atomic
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
def test_a_symbolic_link_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    disk.link(tmp_path / "a", "b")
    assert snapshot(tmp_path) == {"a": "-> b"}


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
    monkeypatch.setattr(atomic, "is_local", lambda _: False)
    fresh, old = tmp_path / f".a.{'0' * 16}.partial", tmp_path / f".a.{'1' * 16}.partial"
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with disk.replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert snapshot(tmp_path) == {"a": b"new", fresh.name: b"half"}
