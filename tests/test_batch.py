"""Plans and runs of a batch; what the command makes of them is in tests/cli."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit import Separator, WeightsError, batch
from stemsplit.job import Job, Options

Song = Callable[..., Path]


def options(folder: Path, **changes: str | bool) -> Options:
    return Options(folder / "out", ("drums", "vocals"), **changes)  # type: ignore[arg-type]


def ignore(_job: Job, _done: float, _total: float) -> None:
    pass


def test_a_plan_says_what_goes_where_and_how_large_it_is(song: Song, tmp_path: Path) -> None:
    (job,) = batch.plan([song("a.flac", frames=1_000)], options(tmp_path, format="flac", bit_depth="16"))
    assert job.target("drums") == tmp_path / "out" / "a" / "drums.flac"
    assert (job.problem, job.size) == ("", 1_000 * 2 * 2 * 2)


def test_a_plan_touches_nothing(song: Song, tmp_path: Path) -> None:
    path = song("a.wav")
    batch.plan([path, tmp_path / "missing.wav"], options(tmp_path))
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_song_twice_is_a_slip(song: Song, tmp_path: Path) -> None:
    path = song("a.wav")
    with pytest.raises(batch.PlanError, match="twice"):
        batch.plan([path, path], options(tmp_path))


def test_the_model_is_not_loaded_for_songs_that_cannot_be_split(song: Song, tmp_path: Path) -> None:
    """Not even for one whose fault shows only when it is decoded to its end."""
    whole = song("a.flac", frames=300_000)
    half = tmp_path / "half.flac"
    half.write_bytes(whole.read_bytes()[:100_000])

    def load() -> Separator:
        pytest.fail("the model was loaded")

    jobs = batch.plan([half, tmp_path / "missing.flac"], options(tmp_path))
    assert [bool(outcome.error) for outcome in batch.run(jobs, load, ignore)] == [True, True]
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_loaded_ends_the_batch_and_leaves_nothing(song: Song, tmp_path: Path) -> None:
    def load() -> Separator:
        raise WeightsError("gone")

    with pytest.raises(WeightsError, match="gone"):
        list(batch.run(batch.plan([song("a.wav")], options(tmp_path)), load, ignore))
    assert not (tmp_path / "out").exists()


def test_progress_ends_at_the_songs_end(song: Song, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    jobs = batch.plan([song("a.wav", frames=44_100)], options(tmp_path))
    separator = Separator(device="cpu", chunk_seconds=0.2)
    list(batch.run(jobs, lambda: separator, lambda _, done, total: seen.append((done, total))))
    assert seen[0] == (0, 1)
    assert seen[-1] == (1, 1)
    assert seen == sorted(seen)
