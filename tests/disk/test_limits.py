"""What a disk can hold is asked of the disk."""

import os
from pathlib import Path

import pytest

from stemsplit.disk import limits
from tests.conftest import unix


@unix
@pytest.mark.parametrize(("answer", "longest"), [(255, 255), (143, 143), (1_530, 255), (12, 80), (-1, 255)])
def test_the_disk_says_how_long_names_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, longest: int
) -> None:
    """FAT counts in another unit, 1530; an answer that leaves no room for a name is not believed."""
    asked = []

    def pathconf(path: Path, name: str) -> int:
        asked.append((path, name))
        return answer

    monkeypatch.setattr(os, "pathconf", pathconf)
    assert limits.longest_name(tmp_path / "not" / "there") == longest
    assert asked == [(tmp_path, "PC_NAME_MAX")]


def test_a_disk_that_does_not_answer_is_a_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pathconf", raising=False)
    assert limits.longest_name(tmp_path) == 255


@unix
def test_a_name_that_is_too_long_is_refused_without_being_made(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    assert not limits.is_refused(tmp_path / "not" / "there", "a" * longest)
    assert limits.is_refused(tmp_path / "not" / "there", "a" * (longest + 1))
    assert not list(tmp_path.iterdir())


def test_fat_is_known_for_its_names_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "kind", lambda _: "vfat")
    assert limits.is_refused(tmp_path, "AC:DC")
    assert not limits.is_refused(tmp_path, "AC-DC")
    assert limits.exceeded(tmp_path, 1 << 32) == (1 << 32) - 1
    assert limits.exceeded(tmp_path, 1 << 31) is None
    monkeypatch.setattr(limits, "kind", lambda _: "ext4")
    assert not limits.is_refused(tmp_path, "AC;DC")
    assert limits.exceeded(tmp_path, 1 << 32) is None
