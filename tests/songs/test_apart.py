"""Songs of one name over several runs: whoever comes or goes, each keeps its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit import Separator
from tests.songs.test_pipeline import ran
from tests.songs.test_plan import STARTER, folders, options, planned

Song = Callable[..., Path]


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator(STARTER, "cpu")


def test_a_song_is_not_split_again_because_another_of_its_name_came_or_went(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    first, second = song("four.flac", frames=3_000), song("four.wav", frames=4_000)
    assert not ran([first], options(tmp_path), separator)[0].error
    # Another one comes, and gets a name of its own.
    for order in ((first, second), (second, first)):
        jobs = planned(order, options(tmp_path))
        assert folders(jobs) == {"four.flac": "four", "four.wav": "four.wav"}
        assert [job.path for job in jobs if job.done] == [first]
    assert {outcome.skipped for outcome in ran([first, second], options(tmp_path), separator)} == {True, False}
    # Either goes, and the other one stays where it is.
    for path in (first, second):
        (job,) = planned([path], options(tmp_path))
        assert job.done
        assert not job.problem
    # One that was never here does not take the place of what is.
    (third,) = planned([song("four.aiff", frames=5_000)], options(tmp_path))
    assert (third.problem, third.record.parent.name) == ("", "four.aiff")


def test_songs_of_one_name_in_two_folders_are_refused_though_one_was_split(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    """Its record does not say which of them it is of."""
    (tmp_path / "x").mkdir()
    paths = [song("a.wav", frames=3_000), song("x/a.wav", frames=3_000)]
    assert not ran(paths[:1], options(tmp_path), separator)[0].error
    assert [bool(job.problem) for job in planned(paths, options(tmp_path))] == [True, True]


def test_a_song_that_is_not_there_does_not_change_the_names_of_others(song: Song, tmp_path: Path) -> None:
    jobs = planned([tmp_path / "a", song("a.wav", frames=3_000)], options(tmp_path))
    assert folders(jobs) == {"a.wav": "a"}
