"""Which names a disk tells apart; the answers are compared with what the disk here does."""

from pathlib import Path

import pytest

from stemsplit.disk.names import Distinctions, distinctions
from tests.conftest import snapshot


def does(folder: Path, name: str, other: str) -> bool:
    """Whether the disk keeps two files of these names."""
    folder.mkdir()
    for each in (name, other):
        (folder / each).touch()
    return len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("there", ["Song.wav", "1", "Caf\u00e9", "\u00df", ""])
def test_the_answer_is_what_the_disk_does_and_nothing_is_written(tmp_path: Path, there: str) -> None:
    case, forms = does(tmp_path / "Case", "a", "A"), does(tmp_path / "Forms", "\u00e9", "e\u0301")
    (tmp_path / "Asked").mkdir()
    if there:
        (tmp_path / "Asked" / there).touch()
    before = snapshot(tmp_path)
    for place in ("Asked", "Asked/not/there"):
        assert distinctions(tmp_path / place) == Distinctions(case, forms)
    assert snapshot(tmp_path) == before


def test_names_that_differ_are_there_at_once_only_where_they_are_told_apart(tmp_path: Path) -> None:
    if does(tmp_path / "Asked", "song", "SONG"):
        assert distinctions(tmp_path / "Asked").case


@pytest.mark.parametrize(
    ("case", "forms", "same"),
    [(True, True, 4), (False, True, 2), (True, False, 2), (False, False, 1)],
)
def test_keys_are_equal_for_the_names_of_one_file(case: bool, forms: bool, same: int) -> None:
    names = ["\u00c9t\u00e9", "\u00e9t\u00e9", "E\u0301t\u00e9", "e\u0301t\u00e9"]
    assert len({Distinctions(case, forms).key(name) for name in names}) == same


def test_where_case_does_not_count_a_name_in_another_spelling_is_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk that ignores letter case answers."""
    (tmp_path / "Song").touch()
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda _: lstat(tmp_path / "Song"))
    assert not distinctions(tmp_path).case
