"""Plans of a batch; what comes of them is in test_pipeline.py, and what the command makes of it in tests/cli."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stemsplit import batch, recipes, registry
from stemsplit.job import Job, Options
from stemsplit.naming import Template
from stemsplit.songs import Found
from tests.cli.processes import registry as small_network

Song = Callable[..., Path]
FOLDER = TemporaryDirectory()
STARTER = registry.read(small_network(Path(FOLDER.name) / "model", "starter"))["starter"].with_chunks(0.2)
"""A small network in the place of the built-in one, which takes a second for a chunk."""


def options(folder: Path, stems: str = "drums,vocals", mixes: tuple[str, ...] = (), **changes: Any) -> Options:
    outputs = recipes.chosen(STARTER.outputs, stems.split(","), mixes)
    return Options(folder / "out", outputs, STARTER.identity("digest"), adds_up=True, **changes)


def planned(songs: list[Path], chosen: Options, template: str = "{track}/{stem}") -> list[Job]:
    return batch.plan([Found(path) for path in songs], chosen, Template(template), "starter")


def test_a_plan_says_what_goes_where_and_how_large_it_is(song: Song, tmp_path: Path) -> None:
    (job,) = planned([song("a.flac", frames=1_000)], options(tmp_path, format="flac", bit_depth="16"))
    assert job.targets["drums"] == tmp_path / "out" / "a" / "drums.flac"
    assert (job.problem, job.size, job.done) == ("", 1_000 * 2 * 2 * 2, False)


def test_a_plan_touches_nothing(song: Song, tmp_path: Path) -> None:
    path = song("a.wav")
    planned([path, tmp_path / "missing.wav"], options(tmp_path))
    assert list(tmp_path.iterdir()) == [path]


def test_the_tree_is_kept_and_names_follow_the_template(song: Song, tmp_path: Path) -> None:
    found = Found(song("a.wav"), Path("album/cd 1"))
    (job,) = batch.plan([found], options(tmp_path), Template("{stem}/{model} {track}"), "starter")
    assert job.targets["drums"] == tmp_path / "out/album/cd 1/drums/starter a.wav"
    assert job.record == tmp_path / "out/album/cd 1/stemsplit/starter a.json"


def test_songs_for_the_same_files_are_both_refused_and_the_others_are_not(song: Song, tmp_path: Path) -> None:
    jobs = planned([song("a.wav"), song("b.wav"), song("A.flac")], options(tmp_path))
    assert [("same files" in job.problem, bool(job.problem)) for job in jobs] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    apart = planned([tmp_path / "a.wav", tmp_path / "A.flac"], options(tmp_path), "{track}.{ext}/{stem}")
    assert not any(job.problem for job in apart)
